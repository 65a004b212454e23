"""Circuits ranked by what `discover` found, and their effects on the prompts of a split: what curves and races measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from diptych.experiments._folds import FoldScores
from diptych.experiments._halving import Along, Halving
from diptych.experiments._measured import (
    Ablation,
    Measured,
    Order,
    by_size,
    helpful_first,
    measure,
    random_scores,
    reversed_order,
)
from diptych.experiments._parameters import Options
from diptych.experiments._rounds import discovered_on
from diptych.experiments._survey import Selection, Survey, clusters
from diptych.items import SPLITS, Contrast, Modality, Split
from diptych.layout import Layout
from diptych.means import Means
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.result import Result
from diptych.run import Run


@dataclass(frozen=True)
class Ranked:
    """What `discover` found, by fold, and the prompts of each split that it is tried on."""

    survey: Survey
    found: Result
    folds: FoldScores
    chosen: dict[Split, Selection[Contrast]]

    @classmethod
    def of(cls, run: Run, modality: Modality, asked: Options, seed: int) -> "Ranked":
        """What `discover` finds with the parameters `asked` for."""
        survey = Survey.of(run)
        found = run.get("discover", modality=modality, **asked)
        chosen = {split: survey.contrasts(modality, split, seed=seed, positions=asked["positions"]) for split in SPLITS}
        chosen["discover"] = discovered_on(chosen["discover"], found)
        return cls(survey, found, FoldScores.of(run, found), chosen)

    @property
    def reduction(self) -> str:
        return str(self.found.conditions["reduction"])

    @property
    def main(self) -> Order:
        """How the nodes are ranked."""
        return helpful_first(str(self.found.conditions["metric"]), self.reduction)

    def work(self, run: Run, ablation: Ablation, metric: str) -> Callable[..., dict[str, Tensor]]:
        """What a chunk of prompts is measured by."""
        return partial(
            measure,
            scores=self.folds.mean(),
            ablation=ablation,
            means=_means(run, self.survey.answers, self.chosen["discover"]) if ablation == "mean" else None,
            metric=metric,
            answers=self.survey.answers,
            batch_size=run.batch_size,
        )

    def conditions(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the numbers hold for: prompts, what was asked for, and how nodes were ranked."""
        averaged = {"mean over": f"{len(self.chosen['discover'].used)} clean discover prompts"}
        return (
            self.survey.conditions
            | self.chosen["select"].conditions()
            | self.chosen["test"].conditions()
            | self.chosen["test"].alignment_conditions()
            | asked
            | (averaged if asked["ablation"] == "mean" else {})
            | {"ranked by": f"{self.found.conditions['method']}, {self.reduction}"}
            | {"completeness error (median)": self.found.conditions["completeness error (median)"]}
        )


def rankings(main: Order, reduction: str, random_circuits: int, seed: int) -> dict[str, Order]:
    """The rankings measured on test; signed scores are also ranked by their size, which CMD needs."""
    drawn = {f"random {draw}": partial(random_scores, seed=seed + draw) for draw in range(random_circuits)}
    absolute: dict[str, Order] = {"absolute": by_size} if reduction == "signed" else {}
    return {"circuit": main, **absolute, "lowest first": partial(reversed_order, order=main), **drawn}


def measured(run: Run, work: Callable[..., dict[str, Tensor]], chosen: Selection[Contrast], name: str) -> Measured:
    """The effects of circuits on all prompts of a split."""
    units = chosen.units(run.batch_size)
    found = run.map(Halving(work, Along(-1)), units, name=name)
    return Measured.of([values for _, values in found], clusters(units), chosen.seed)


def _means(run: Run, answers: AnswerTokens, chosen: Selection[Contrast]) -> Means:
    """Means of all nodes over the clean prompts of a selection, each token of a span that is one position weighing alike."""
    work = partial(node_means, answers=answers, layout=chosen.layout)
    found = run.map(Halving(work, added), chosen.units(run.batch_size), name="means")
    return reduce(add, (Means.from_tensors(values, chosen.layout) for _, values in found))


def added(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Sums of node values over one chunk from those over its parts."""
    return {name: reduce(torch.add, (part[name] for part in parts)) for name in parts[0]}


@torch.no_grad()
def node_means(
    vlm: VLM, payload: tuple[int, list[Contrast]], *, answers: AnswerTokens, layout: Layout
) -> dict[str, Tensor]:
    """Sums of node values over one chunk's clean prompts."""
    _, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts)).batches
    with vlm.record() as recording:
        vlm.run(vlm.capture(batch.clean))
    return Means.of(recording.activations(), batch.layout, layout).tensors()
