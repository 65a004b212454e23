"""Faithfulness curve: how small a circuit still does the task, chosen on select and reported on test."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from diptych.batch import Batch
from diptych.errors import InputError
from diptych.experiments._halving import Along, Halving
from diptych.experiments._parameters import Count, MetricName, Options, Positions, Seed, Share, Sizes
from diptych.experiments._survey import FoldScores, Selection, Survey, clusters
from diptych.experiments._text import fixed, interval
from diptych.faithfulness import MIB_SIZES, Array, cmd, cpr, minimal_size
from diptych.grid import Scores
from diptych.interventions import run_circuits
from diptych.items import Contrast, Modality, Split
from diptych.metrics import Metric
from diptych.metrics import metric as find_metric
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.result import Curves, Row, Series, numbers
from diptych.run import Finding, Run
from diptych.statistics import Estimate, mean_of_ratios, ratio_of_means

VERSION = 2
USES = ("accuracy", "discover")
SIZES = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


def faithfulness_curve(
    run: Run,
    *,
    modality: Modality = "image",
    sizes: Sizes = SIZES,
    threshold: Share = 0.8,
    metric: MetricName = "logit_diff",
    random_circuits: Count = 3,
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """F = (m(circuit) − m(empty))/(m(model) − m(empty)) over circuit size, everything outside counterfactual.

    The minimal circuit is the smallest size whose F on *select*, and that of all larger sizes, is at least `threshold`.
    `discovery`: parameters of `discover` that differ from their defaults, such as `{"method": "ap"}`. `positions`: what a
    position is if prompts differ in length; sizes are shares of the nodes at these positions.
    """
    if list(sizes) != sorted(set(sizes)) or sizes[-1] != 1:
        raise InputError(f"sizes are {sizes}; expected increasing fractions that end with 1.0.")
    survey = Survey.of(run)
    asked: Options = {"metric": metric, "seed": seed, "positions": positions} | discovery
    found = run.get("discover", modality=modality, **asked)
    scores = FoldScores.of(run, found).mean()
    work = partial(
        measure,
        scores=scores,
        sizes=sizes,
        metric=metric,
        answers=survey.answers,
        seed=seed,
        batch_size=run.batch_size,
    )
    draws: dict[Split, int] = {"select": 0, "test": random_circuits}
    chosen = {split: survey.contrasts(modality, split, seed=seed, positions=asked["positions"]) for split in draws}
    splits = {split: _measured(run, work, chosen[split], draws[split]) for split in draws}
    size = choose(sizes, splits, threshold)
    rows = [_row(modality, sizes, index, splits) for index in range(len(sizes))]
    return Finding(
        summary=_summary(run.task.name, modality, threshold, rows[sizes.index(size)] if size is not None else None),
        rows=rows,
        conditions=survey.conditions
        | chosen["select"].conditions()
        | chosen["test"].conditions()
        | chosen["test"].alignment_conditions()
        | {"metric": metric, "ablation": "counterfactual", "threshold": threshold, "seed": seed}
        | {"ranked by": f"{found.conditions['method']}, {found.conditions['reduction']}"}
        | {"minimal size": size, "selected on": "select", "interval": "95% cluster bootstrap, 2000 draws"},
        figures=[_curves(modality, metric, sizes, rows, size, threshold)],
        notes=_notes(sizes, splits),
    )


def choose(sizes: Sequence[float], splits: "Mapping[Split, Measured]", threshold: float) -> float | None:
    """The minimal size, from the select split alone."""
    return minimal_size(sizes, [splits["select"].estimate(index).value for index in range(len(sizes))], threshold)


def _measured(run: Run, work: Callable[..., dict[str, Tensor]], chosen: Selection[Contrast], draws: int) -> "Measured":
    units = chosen.units(run.batch_size)
    found = run.map(Halving(partial(work, random_circuits=draws), Along(-1)), units, name=chosen.split)
    return Measured.of([values for _, values in found], clusters(units), chosen.seed)


def measure(
    vlm: VLM,
    payload: tuple[int, list[Contrast]],
    *,
    scores: Scores,
    sizes: Sequence[float],
    random_circuits: int,
    metric: str,
    answers: AnswerTokens,
    seed: int,
    batch_size: int,
) -> dict[str, Tensor]:
    """The metric of each prompt for the model, the empty circuit, the circuit of each size, and random ones of each size."""
    _, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts)).batches
    with torch.no_grad():
        call = vlm.capture(batch.clean)
        clean = vlm.run(call)
        with vlm.record() as recording:
            counterfactual = vlm.run(vlm.capture(batch.counterfactual))
    value = partial(_value, find_metric(metric), batch, clean)
    drawn = (random_scores(scores, seed + draw) for draw in range(random_circuits))
    circuits = (ranking.top(size).expand(batch.layout) for ranking in chain([scores], drawn) for size in sizes)
    logits = run_circuits(vlm, call, circuits, recording.activations(), batch_size=batch_size)
    values = torch.stack([value(some) for some in logits]).unflatten(0, (1 + random_circuits, len(sizes)))
    return {"model": value(clean), "empty": value(counterfactual), "circuit": values[0], "random": values[1:]}


def _value(metric: Metric, batch: Batch, clean: Tensor, logits: Tensor) -> Tensor:
    return metric(logits, batch.answers, batch.counter_answers, clean)


def random_scores(scores: Scores, seed: int) -> Scores:
    """Random scores of the same shape: their top circuits are uniform over all nodes outside the prefix."""
    generator = torch.Generator().manual_seed(seed)
    drawn = scores.map(lambda nodes: torch.rand(nodes.shape, generator=generator))
    return drawn.without("prefix")


@dataclass(frozen=True, eq=False)
class Measured:
    """The metric of one split's prompts: of the model and the empty circuit [n], of circuits [size, n], of random ones
    [draw, size, n]."""

    model: Array
    empty: Array
    circuit: Array
    random: Array
    clusters: Sequence[str]
    seed: int

    @classmethod
    def of(cls, units: Sequence[dict[str, Tensor]], clusters: Sequence[str], seed: int) -> "Measured":
        def joined(name: str) -> Array:
            return torch.cat([unit[name] for unit in units], -1).double().cpu().numpy()

        return cls(joined("model"), joined("empty"), joined("circuit"), joined("random"), clusters, seed)

    def estimate(self, size: int) -> Estimate:
        """Ratio of means with its interval."""
        return ratio_of_means(self.circuit[size] - self.empty, self.model - self.empty, self.clusters, seed=self.seed)

    def per_prompt(self, size: int) -> tuple[Estimate, int]:
        """Mean of per-prompt ratios (Paper A), and how many denominators are near 0."""
        return mean_of_ratios(self.circuit[size] - self.empty, self.model - self.empty, self.clusters, seed=self.seed)

    def median(self, size: int) -> float:
        """Median of per-prompt ratios whose denominator is not 0."""
        total = self.model - self.empty
        return float(np.median((self.circuit[size] - self.empty)[total != 0] / total[total != 0]))

    def random_mean(self, size: int) -> float:
        """Ratio of means of random circuits over all draws; nan where that of the circuit is."""
        if math.isnan(self.estimate(size).value):
            return math.nan
        return float((self.random[:, size] - self.empty).mean() / (self.model - self.empty).mean())


def _row(modality: Modality, sizes: Sequence[float], index: int, splits: Mapping[Split, Measured]) -> Row:
    test, select = splits["test"], splits["select"]
    found, (ratios, near_zero) = test.estimate(index), test.per_prompt(index)
    return {
        "panel": modality,
        "size": sizes[index],
        "faithfulness": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "on select": select.estimate(index).value,
        "random circuits": test.random_mean(index),
        "mean of ratios": ratios.value,
        "its low": ratios.low,
        "its high": ratios.high,
        "median of ratios": test.median(index),
        "denominators near 0": near_zero,
    }


def _summary(task: str, modality: Modality, threshold: float, row: Row | None) -> str:
    if row is None:
        return (
            f"From {modality}, no circuit of {task} reaches a faithfulness of {threshold:.2f} on select; see the notes."
        )
    return (
        f"From {modality}, {row['size']:.1%} of the nodes do {task} with faithfulness {fixed(row['faithfulness'])} "
        f"{interval(row)} on test (smallest size with at least {threshold:.2f} on select); "
        f"random circuits of this size reach {fixed(row['random circuits'])}."
    )


def _notes(sizes: Sequence[float], splits: Mapping[Split, Measured]) -> list[str]:
    test = splits["test"]
    denominators = test.model - test.empty
    reasons = {split: measured.estimate(0).reason for split, measured in splits.items()}
    return [
        *(f"Faithfulness is not defined on {split}: {reason}." for split, reason in reasons.items() if reason),
        _areas({size: test.estimate(index).value for index, size in enumerate(sizes)}),
        f"The denominator m(model) − m(empty) is {denominators.mean():.2f} on average (smallest {denominators.min():.2f}).",
        "The empty circuit is the counterfactual run itself. Random circuits are drawn outside the prefix.",
    ]


def _areas(faithfulness: Mapping[float, float]) -> str:
    """CPR and CMD, which are defined over the sizes of the MIB benchmark alone."""
    if not set(MIB_SIZES) <= set(faithfulness):
        return f"CPR and CMD need the sizes {', '.join(map(str, MIB_SIZES))}."
    values = [faithfulness[size] for size in MIB_SIZES]
    return (
        f"Over the ten sizes of MIB, CPR (area of F over size) is {fixed(cpr(MIB_SIZES, values), 3)} and CMD (area of "
        f"|1 − F|) {fixed(cmd(MIB_SIZES, values), 3)}."
    )


def _curves(
    modality: Modality, metric: str, sizes: Sequence[float], rows: Sequence[Row], size: float | None, threshold: float
) -> Curves:
    return Curves(
        title=f"Faithfulness by circuit size, {modality}",
        caption=f"Share of the model's effect ({metric}, clean against counterfactual) that the circuit keeps on test "
        "prompts; the band is a 95% interval over clusters.",
        x_title="circuit size (share of all nodes)",
        y_title="faithfulness",
        x=list(sizes),
        series=[
            Series("test", numbers(rows, "faithfulness"), numbers(rows, "low"), numbers(rows, "high")),
            Series("select", numbers(rows, "on select")),
            Series("random circuits, test", numbers(rows, "random circuits")),
        ],
        log_x=True,
        lines_at=[(size, f"minimal circuit {size:.1%}")] if size is not None else [],
        levels=[(threshold, "threshold")],
    )
