"""Faithfulness curve: how small a circuit still does the task, chosen on select and reported on test."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._survey import FoldScores, Survey
from diptych.experiments._text import fixed, interval
from diptych.faithfulness import Array, cmd, cpr, minimal_size
from diptych.grid import Scores
from diptych.interventions import run_circuits
from diptych.items import Contrast, Modality, Split
from diptych.metrics import metric as find_metric
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.result import Curves, Row, Series, numbers
from diptych.run import Finding, Run
from diptych.statistics import Estimate, mean_of_ratios, ratio_of_means

VERSION = 1
USES = ("accuracy", "discover")
SIZES = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


def faithfulness_curve(
    run: Run,
    *,
    modality: Modality = "image",
    sizes: tuple[float, ...] = SIZES,
    threshold: float = 0.8,
    metric: str = "logit_diff",
    random_circuits: int = 3,
    seed: int = 0,
) -> Finding:
    """F = (m(circuit) − m(empty))/(m(model) − m(empty)) over circuit size, everything outside counterfactual.

    The minimal circuit is the smallest size whose F on *select*, and that of all larger sizes, is at least `threshold`.
    """
    if list(sizes) != sorted(set(sizes)) or not sizes or sizes[-1] != 1:
        raise InputError(f"sizes are {sizes}; expected increasing fractions that end with 1.0.")
    survey = Survey.of(run)
    scores = FoldScores.of(run, run.get("discover", modality=modality, metric=metric, seed=seed)).mean()
    work = partial(
        measure,
        scores=scores,
        sizes=sizes,
        metric=metric,
        answers=survey.answers,
        seed=seed,
    )
    splits: dict[Split, _Measured] = {}
    conditions = survey.conditions | {
        "metric": metric,
        "ablation": "counterfactual",
        "threshold": threshold,
        "seed": seed,
    }
    random: dict[Split, int] = {"select": 0, "test": random_circuits}
    for split, draws in random.items():
        chosen = survey.contrasts(modality, split, seed=seed)
        units = chosen.units(run.batch_size)
        found = [values for _, values in run.map(partial(work, random_circuits=draws), units, name=split)]
        splits[split] = _Measured(found, [contrast.clean.cluster for contrast in chosen.used], seed)
        conditions |= chosen.conditions()
    select = [splits["select"].estimate(index).value for index in range(len(sizes))]
    size = minimal_size(sizes, select, threshold)
    rows = [_row(modality, sizes, index, select, splits["test"]) for index in range(len(sizes))]
    return Finding(
        summary=_summary(run.task.name, modality, threshold, rows[sizes.index(size)] if size is not None else None),
        rows=rows,
        conditions=conditions
        | {"minimal size": size, "selected on": "select", "interval": "95% cluster bootstrap, 2000 draws"},
        figures=[_curves(modality, sizes, rows, select, size, threshold)],
        notes=_notes(sizes, rows, splits["test"]),
    )


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
) -> dict[str, Tensor]:
    """The metric of each prompt for the model, the empty circuit, the circuit of each size, and random ones of each size."""
    _, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts), layout=scores.layout).batches
    measured = find_metric(metric)

    def value(logits: Tensor) -> Tensor:
        return measured(logits, batch.answers, batch.counter_answers)

    with torch.no_grad():
        clean = vlm.capture(batch.clean)
        model = value(vlm.run(clean))
        with vlm.record() as recording:
            empty = value(vlm.run(vlm.capture(batch.counterfactual)))
    rankings = [scores, *(random_scores(scores, seed + draw) for draw in range(random_circuits))]
    circuits = [ranking.top(size) for ranking in rankings for size in sizes]
    logits = run_circuits(vlm, clean, circuits, recording.activations())
    values = torch.stack([value(some) for some in logits]).unflatten(0, (len(rankings), len(sizes)))
    return {"model": model, "empty": empty, "circuit": values[0], "random": values[1:]}


def random_scores(scores: Scores, seed: int) -> Scores:
    """Random scores of the same shape: their top circuits are uniform over all nodes outside the prefix."""
    generator = torch.Generator().manual_seed(seed)
    drawn = scores.map(lambda nodes: torch.rand(nodes.shape, generator=generator))
    return drawn.without("prefix")


class _Measured:
    """The measurements of one split, prompts in order."""

    def __init__(self, units: Sequence[dict[str, Tensor]], clusters: Sequence[str], seed: int) -> None:
        self.model, self.empty, self.circuit, self.random = (
            torch.cat([unit[name] for unit in units], -1).double().numpy()
            for name in ("model", "empty", "circuit", "random")
        )
        self.clusters, self.seed = clusters, seed

    def estimate(self, size: int) -> Estimate:
        """Ratio of means with its interval."""
        return ratio_of_means(self.circuit[size] - self.empty, self.model - self.empty, self.clusters, seed=self.seed)

    def per_prompt(self, size: int) -> tuple[Estimate, int]:
        """Mean of per-prompt ratios (Paper A), and how many denominators are near 0."""
        return mean_of_ratios(self.circuit[size] - self.empty, self.model - self.empty, self.clusters, seed=self.seed)

    def random_mean(self, size: int) -> float:
        """Ratio of means of random circuits, mean over draws."""
        drawn: Array = self.random[:, size]
        return float((drawn - self.empty).mean() / (self.model - self.empty).mean())


def _row(modality: Modality, sizes: Sequence[float], index: int, select: Sequence[float], test: _Measured) -> Row:
    found, (ratios, near_zero) = test.estimate(index), test.per_prompt(index)
    return {
        "panel": modality,
        "size": sizes[index],
        "faithfulness": found.value,
        "low": found.low,
        "high": found.high,
        "on select": select[index],
        "mean of ratios": ratios.value,
        "denominators near 0": near_zero,
        "random circuits": test.random_mean(index),
        "n": found.n,
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


def _notes(sizes: Sequence[float], rows: Sequence[Row], test: _Measured) -> list[str]:
    values = [float(test.estimate(index).value) for index in range(len(sizes))]
    denominators = test.model - test.empty
    reason = test.estimate(0).reason
    return [
        *([f"Faithfulness is not defined on test: {reason}."] if reason else []),
        f"CPR (area of F over size) {cpr(sizes, values):.3f}; CMD (area of |1 − F|) {cmd(sizes, values):.3f}; ranked by absolute scores.",
        f"The denominator m(model) − m(empty) is {denominators.mean():.2f} on average (smallest {denominators.min():.2f}).",
        "The empty circuit is the counterfactual run itself.",
    ]


def _curves(
    modality: Modality,
    sizes: Sequence[float],
    rows: Sequence[Row],
    select: Sequence[float],
    size: float | None,
    threshold: float,
) -> Curves:
    return Curves(
        title=f"Faithfulness by circuit size, {modality}",
        caption="Share of the model's logit difference that the circuit keeps on test prompts; the band is a 95% interval over clusters.",
        x_title="circuit size (share of all nodes)",
        y_title="faithfulness",
        x=list(sizes),
        series=[
            Series("test", numbers(rows, "faithfulness"), numbers(rows, "low"), numbers(rows, "high")),
            Series("select", list(select)),
            Series("random circuits, test", numbers(rows, "random circuits")),
        ],
        log_x=True,
        lines_at=[(size, f"minimal circuit {size:.1%}")] if size is not None else [],
        levels=[(threshold, "threshold")],
    )
