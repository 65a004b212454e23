"""Faithfulness curve: how small a circuit still does the task, chosen on select and reported on test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.compare import stability
from diptych.errors import InputError
from diptych.experiments._curve import areas, curves, notes, row, said_areas, summary
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
from diptych.experiments._parameters import Count, Halvings, MetricName, Options, Positions, Seed, Several, Share, Sizes
from diptych.experiments._rounds import discovered_on
from diptych.experiments._survey import Selection, Survey, clusters
from diptych.faithfulness import bisect, minimal_size
from diptych.items import SPLITS, Contrast, Modality, Split
from diptych.layout import Layout
from diptych.means import Means
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.result import Result
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, Estimate

VERSION = 4
USES = ("accuracy", "discover")
SIZES = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


def faithfulness_curve(
    run: Run,
    *,
    modality: Modality = "image",
    sizes: Sizes = SIZES,
    threshold: Share = 0.8,
    halvings: Halvings = 3,
    metric: MetricName = "logit_diff",
    ablation: Ablation = "counterfactual",
    random_circuits: Count = 3,
    rediscoveries: Several = 20,
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """F = (m(circuit) − m(empty))/(m(model) − m(empty)) over circuit size, everything outside ablated.

    The minimal circuit is the smallest size whose F on *select*, and that of all larger sizes, is at least `threshold`;
    the gap to the next smaller of `sizes` is then halved `halvings` times. `ablation`: what a node outside becomes: its
    value in the counterfactual run, 0, or its mean over the clean prompts that the circuit was discovered on.
    `rediscoveries`: circuits found anew on resampled folds, for the minimal circuit's stability. `discovery`: parameters
    of `discover` that differ from their defaults, such as `{"method": "ap"}`. `positions`: what a position is if prompts
    differ in length; sizes are shares of the nodes at these positions.
    """
    if list(sizes) != sorted(set(sizes)) or sizes[-1] != 1:
        raise InputError(f"sizes are {sizes}; expected increasing fractions that end with 1.0.")
    asked: Options = {"metric": metric, "seed": seed, "positions": positions} | discovery
    ranked = _Ranked.of(run, modality, asked, seed)
    work = ranked.work(run, ablation, metric)
    select = _Select(run, work, ranked.chosen["select"], ranked.main)
    size = select.minimal(sizes, threshold, halvings)
    reported = sorted({*sizes, *([] if size is None else [size])})
    orders = _orders(ranked.main, ranked.reduction, random_circuits, seed)
    test = _measured(run, partial(work, sizes=reported, orders=orders), ranked.chosen["test"], "test")
    rows = [row(modality, reported, index, test, select.tried) for index in range(len(reported))]
    area = areas(reported, test, ranked.reduction)
    return Finding(
        summary=summary(run.task.name, modality, threshold, rows[reported.index(size)] if size is not None else None),
        rows=rows,
        conditions=ranked.conditions({"metric": metric, "ablation": ablation, "threshold": threshold, "seed": seed})
        | {"minimal size": size, "selected on": "select", "interval": INTERVAL}
        | area
        | (_stability(ranked.folds, ranked.main, size, rediscoveries, seed) if size is not None else {}),
        figures=[curves(modality, metric, ablation, reported, rows, size, threshold)],
        notes=[*notes(test, select.tried, ablation), said_areas(area)],
    )


@dataclass(frozen=True)
class _Ranked:
    """What `discover` found, by fold, and the prompts of each split that it is tried on."""

    survey: Survey
    found: Result
    folds: FoldScores
    chosen: dict[Split, Selection[Contrast]]

    @classmethod
    def of(cls, run: Run, modality: Modality, asked: Options, seed: int) -> "_Ranked":
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


def _orders(main: Order, reduction: str, random_circuits: int, seed: int) -> dict[str, Order]:
    """The rankings measured on test; signed scores are also ranked by their size, which CMD needs."""
    drawn = {f"random {draw}": partial(random_scores, seed=seed + draw) for draw in range(random_circuits)}
    absolute: dict[str, Order] = {"absolute": by_size} if reduction == "signed" else {}
    return {"circuit": main, **absolute, "lowest first": partial(reversed_order, order=main), **drawn}


def _measured(run: Run, work: Callable[..., dict[str, Tensor]], chosen: Selection[Contrast], name: str) -> Measured:
    units = chosen.units(run.batch_size)
    found = run.map(Halving(work, Along(-1)), units, name=name)
    return Measured.of([values for _, values in found], clusters(units), chosen.seed)


class _Select:
    """Faithfulness on the select split, of the sizes tried so far."""

    def __init__(self, run: Run, work: Callable[..., Any], chosen: Selection[Contrast], main: Order) -> None:
        self._measure = lambda sizes, name: _measured(
            run, partial(work, sizes=sizes, orders={"circuit": main}), chosen, name
        )
        self.tried: dict[float, Estimate] = {}

    def minimal(self, sizes: Sequence[float], threshold: float, halvings: int) -> float | None:
        """The minimal size, from this split alone: of the sizes given, then between it and the next smaller one."""
        measured = self._measure(sizes, "select")
        self.tried = {size: measured.estimate(index) for index, size in enumerate(sizes)}
        return choose(self.tried, threshold, halvings, self._passes)

    def _passes(self, size: float, threshold: float) -> bool:
        self.tried[size] = self._measure([size], f"select at {size}").estimate(0)
        return self.tried[size].value >= threshold


def choose(
    tried: Mapping[float, Estimate], threshold: float, halvings: int, passes: Callable[[float, float], bool]
) -> float | None:
    """The minimal size among those tried, then by bisection; the empty circuit has no faithfulness."""
    sizes = list(tried)
    found = minimal_size(sizes, [tried[size].value for size in sizes], threshold)
    if found is None:
        return None
    below = max((size for size in sizes if size < found), default=0.0)
    return bisect(lambda size: passes(size, threshold), below, found, halvings)


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


def _stability(folds: FoldScores, main: Order, size: float, rediscoveries: int, seed: int) -> dict[str, float | int]:
    """Mean IoU of circuits of this size found on resampled folds; no run of the model."""
    chance = np.random.default_rng(seed)
    held = [fold for fold, prompts in enumerate(folds.prompts.tolist()) if prompts]
    picks = [chance.choice(held, size=len(held)).tolist() for _ in range(rediscoveries)]
    found = stability([main(folds.mean(pick)).top(size) for pick in picks])
    told = {f"stability of {kind}": value for kind, (value, _) in found.items()}
    expected = {f"stability of random {kind}": value for kind, (_, value) in found.items()}
    return told | expected | {"rediscoveries": rediscoveries}
