"""Overlap: do the text and the image circuit use the same nodes? Against random circuits and against split halves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diptych.compare import SEGMENTS, Overlap, ceiling, overlaps
from diptych.errors import InputError
from diptych.experiments._measured import Order, as_scored, helpful_first
from diptych.experiments._parameters import Count, MetricName, Options, Positions, Seed, Share
from diptych.experiments._survey import FoldScores, Survey
from diptych.experiments._text import fixed
from diptych.grid import KINDS, Circuit
from diptych.items import MODALITIES, Modality
from diptych.result import Bars, Row, Series, numbers
from diptych.run import Finding, Run

VERSION = 3
USES = ("accuracy", "discover", "faithfulness_curve")
BOTH = "both"

Draws = NDArray[np.float64]


def overlap(
    run: Run,
    *,
    threshold: Share = 0.8,
    metric: MetricName = "logit_diff",
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    draws: Count = 1000,
    resamples: Count = 200,
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """nIoU of the two minimal circuits per segment and node kind: 0 for random circuits of the same size, 1 for identical ones.

    `discovery`: parameters of `discover` that differ from their defaults. `draws`: random circuits for the null.
    `resamples`: bootstrap draws of the discover folds for the interval. `positions`: what a position is if prompts differ
    in length.
    """
    survey = Survey.of(run)
    for modality in MODALITIES:
        survey.items(modality, "discover")  # refuses a task that lacks a panel, before anything is computed
    shared = {"metric": metric, "seed": seed, "positions": positions}
    panels = tuple(Panel.of(run, modality, threshold, discovery, shared) for modality in MODALITIES)
    text, image = panels
    comparison = Comparison(
        whole=overlaps(text.circuit(), image.circuit()),
        halves=[overlaps(panel.circuit(panel.half(0)), panel.circuit(panel.half(1))) for panel in panels],
        across=[overlaps(a.circuit(a.half(0)), b.circuit(b.half(1))) for a, b in (panels, panels[::-1])],
        resampled=resample(panels, resamples, seed),
    )
    rows = [
        comparison.row(segment, kinds, draws, seed)
        for segment in SEGMENTS
        for kinds in ((KINDS[0],), (KINDS[1],), KINDS)
    ]
    return Finding(
        summary=_summary(run.task.name, rows, panels),
        rows=rows,
        conditions=survey.conditions
        | {f"{name} {panel.modality}": value for panel in panels for name, value in panel.conditions.items()}
        | {"split": "discover (circuits), select (sizes)", "null": f"{draws} matched random circuits"}
        | {"positions": positions, "seed": seed}
        | {"interval": f"95% bootstrap over {len(text.scores.prompts)} folds of clusters, {resamples} draws"},
        figures=[_bars(rows)],
        notes=[
            "Data: positions are dropped, a head or neuron counts if it is in the circuit at any data position. "
            "Query and generation: positions are matched.",
            "Split halves: circuits of the same size found on halves of one panel's contrasts that share no prompt; "
            "two panels cannot be expected to agree better than that.",
            "Resampled folds hold fewer different prompts than the whole, so the interval tends to lie below the value.",
            *_undefined(rows),
        ],
    )


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel's scores and the size of its minimal circuit."""

    modality: Modality
    scores: FoldScores
    size: float
    conditions: dict[str, Any]
    order: Order = as_scored

    @classmethod
    def of(cls, run: Run, modality: Modality, threshold: float, discovery: Options, shared: Options) -> "Panel":
        found = run.get("discover", modality=modality, **(shared | discovery))
        curve = run.get("faithfulness_curve", modality=modality, threshold=threshold, discovery=discovery, **shared)
        size = curve.conditions["minimal size"]
        if size is None:
            raise InputError(
                f"There is no {modality} circuit to compare: {curve.summary} Lower the threshold, or use a model that "
                f"does the task."
            )
        told = {name: found.conditions[name] for name in ("n discover", "dropped discover", "pooled spans")}
        order = helpful_first(str(found.conditions["metric"]), str(found.conditions["reduction"]))
        return cls(modality, FoldScores.of(run, found), float(size), {"size": size} | told, order)

    def circuit(self, folds: Sequence[int] | None = None) -> Circuit:
        """The minimal circuit, from all or some folds."""
        return self.order(self.scores.mean(folds)).top(self.size)

    def half(self, which: int) -> list[int]:
        """Every second fold: the two halves share no prompt, nor do they with the other panel's other half."""
        return list(range(which, len(self.scores.prompts), 2))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Overlaps of the whole circuits, within each panel's halves, across panels and halves, and resampled.

    `resampled`: nIoU [draw, overlap], in the order of `whole`.
    """

    whole: Sequence[Overlap]
    halves: Sequence[Sequence[Overlap]]
    across: Sequence[Sequence[Overlap]]
    resampled: Draws

    def row(self, segment: str, kinds: Sequence[str], draws: int, seed: int) -> Row:
        """One row of the table: a node kind, or the mean of both kinds where defined."""
        chosen = [i for i, part in enumerate(self.whole) if part.segment == segment and part.kind in kinds]
        found = [self.whole[i] for i in chosen]
        null = _mean([_shuffled(part.null(draws, seed), seed + i) for i, part in enumerate(found)])
        resampled = _mean([self.resampled[:, i] for i in chosen])
        value = float(_mean([np.array([part.niou]) for part in found])[0])
        within = [float(_mean([np.array([half[i].niou]) for i in chosen])[0]) for half in self.halves]
        return {
            "segment": segment,
            "kind": kinds[0] if len(kinds) == 1 else BOTH,
            "nodes text": sum(part.pairs[-1].a for part in found),
            "nodes image": sum(part.pairs[0].b for part in found),
            "IoU": float(np.mean([part.iou for part in found])),
            "expected IoU": float(np.mean([part.expected for part in found])),
            "nIoU": value,
            "low": _quantile(resampled, 0.025),
            "high": _quantile(resampled, 0.975),
            "null 95%": _quantile(null, 0.95),
            "percentile in null": float((null < value).mean()) if math.isfinite(value) else math.nan,
            "split half text": within[0],
            "split half image": within[1],
            "of ceiling": float(_mean([np.array([self._ceiling(i)]) for i in chosen])[0]),
        }

    def _ceiling(self, index: int) -> float:
        across = [part[index] for part in self.across]
        iou, expected = (float(np.mean([getattr(part, name) for part in across])) for name in ("iou", "expected"))
        text, image = (half[index].iou for half in self.halves)
        return ceiling(iou, text, image, expected)


def resample(panels: Sequence[Panel], resamples: int, seed: int) -> Draws:
    """nIoU [draw, overlap] of circuits found on resampled folds, the same folds in both panels."""
    chance = np.random.default_rng(seed)
    folds = [fold for fold in range(len(panels[0].scores.prompts)) if all(p.scores.prompts[fold] > 0 for p in panels)]
    picks = [chance.choice(folds, size=len(folds)).tolist() for _ in range(resamples)]
    return np.array([[part.niou for part in overlaps(*(panel.circuit(pick) for panel in panels))] for pick in picks])


def _mean(columns: Sequence[Draws]) -> Draws:
    """Mean over node kinds, leaving out those where it is undefined."""
    stacked = np.stack(columns)
    defined = np.isfinite(stacked)
    total = np.where(defined, stacked, 0).sum(0)
    return np.where(defined.any(0), total / np.maximum(defined.sum(0), 1), math.nan)


def _shuffled(draws: Draws, seed: int) -> Draws:
    """Heads and neurons of random circuits are drawn independently."""
    return np.random.default_rng(seed).permutation(draws)


def _quantile(draws: Draws, level: float) -> float:
    defined = draws[np.isfinite(draws)]
    return float(np.quantile(defined, level)) if defined.size else math.nan


def _both(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["kind"] == BOTH]


def _undefined(rows: Sequence[Row]) -> list[str]:
    """A note on what has no overlap above chance, if anything."""
    names = [f"{row['segment']} {row['kind']}" for row in rows if math.isnan(numbers([row], "nIoU")[0] or 0)]
    said = "Both circuits hold all of, or neither holds any of: "
    return [said + ", ".join(names) + ". Their nIoU is undefined and left out of the means."] if names else []


def _summary(task: str, rows: Sequence[Row], panels: Sequence[Panel]) -> str:
    said = ", ".join(f"{row['segment']} {fixed(row['nIoU'])}" for row in _both(rows))
    sizes = " and ".join(f"{panel.size:.1%} ({panel.modality})" for panel in panels)
    return f"Circuits of {task} of {sizes} of the nodes share, above chance (nIoU, mean of heads and neurons): {said}."


def _bars(rows: Sequence[Row]) -> Bars:
    both = _both(rows)
    return Bars(
        title="Overlap of the text and the image circuit",
        caption="nIoU per segment, mean of heads and neurons: 0 for random circuits of the same sizes, 1 for identical "
        "circuits. Bars: 95% bootstrap over folds.",
        x_title="segment",
        y_title="nIoU",
        categories=[str(row["segment"]) for row in both],
        series=[
            Series("text and image", *(numbers(both, column) for column in ("nIoU", "low", "high"))),
            Series("halves of text", numbers(both, "split half text")),
            Series("halves of image", numbers(both, "split half image")),
            Series("random, 95th percentile", numbers(both, "null 95%")),
        ],
    )
