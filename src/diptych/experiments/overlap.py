"""Overlap: do the text and the image circuit use the same nodes? Against random circuits and against split halves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diptych.compare import SEGMENTS, Overlap, ceiling, normalised, overlaps
from diptych.errors import InputError
from diptych.experiments._survey import FoldScores, Survey
from diptych.experiments._text import fixed
from diptych.grid import Circuit
from diptych.items import MODALITIES
from diptych.result import Bars, Row, Series, numbers
from diptych.run import Finding, Run

VERSION = 1
USES = ("accuracy", "discover", "faithfulness_curve")


def overlap(
    run: Run,
    *,
    threshold: float = 0.8,
    metric: str = "logit_diff",
    draws: int = 1000,
    resamples: int = 200,
    seed: int = 0,
) -> Finding:
    """nIoU of the two minimal circuits per segment and node kind: 0 for random circuits of the same size, 1 for identical ones.

    `draws`: random circuits for the null. `resamples`: bootstrap draws of the discover folds for the interval.
    """
    survey = Survey.of(run)
    panels = tuple(_Panel.of(run, modality, threshold, metric, seed) for modality in MODALITIES)
    text, image = panels
    found = overlaps(text.circuit(), image.circuit())
    halves = [overlaps(panel.circuit(panel.half(0)), panel.circuit(panel.half(1))) for panel in panels]
    across = [overlaps(a.circuit(a.half(0)), b.circuit(b.half(1))) for a, b in (panels, panels[::-1])]
    resampled = _resample(panels, resamples, seed)
    rows = [
        _row(found[i], resampled[:, i], [h[i] for h in halves], [a[i] for a in across], draws, seed)
        for i in range(len(found))
    ]
    return Finding(
        summary=_summary(run.task.name, rows, panels),
        rows=rows,
        conditions=survey.conditions
        | {f"size {panel.modality}": panel.size for panel in panels}
        | {f"n discover {panel.modality}": int(panel.scores.prompts.sum()) for panel in panels}
        | {"split": "discover (circuits), select (sizes)", "null": f"{draws} matched random circuits", "seed": seed}
        | {"interval": f"95% bootstrap over {len(text.scores.prompts)} folds of contrasts, {resamples} draws"},
        figures=[_bars(rows)],
        notes=[
            "Data: positions are dropped, a head or neuron counts if it is in the circuit at any data position. "
            "Query and generation: positions are matched.",
            "Split halves: circuits of the same size found on disjoint halves of one panel's contrasts; "
            "two panels cannot be expected to agree better than that.",
            "Resampled folds hold fewer different prompts than the whole, so the interval tends to lie below the value.",
            *_undefined(rows),
        ],
    )


@dataclass(frozen=True, eq=False)
class _Panel:
    """One panel's scores and the size of its minimal circuit."""

    modality: str
    scores: FoldScores
    size: float

    @classmethod
    def of(cls, run: Run, modality: str, threshold: float, metric: str, seed: int) -> "_Panel":
        scores = FoldScores.of(run, run.get("discover", modality=modality, metric=metric, seed=seed))
        curve = run.get("faithfulness_curve", modality=modality, threshold=threshold, metric=metric, seed=seed)
        size = curve.conditions["minimal size"]
        if size is None:
            raise InputError(
                f"There is no {modality} circuit to compare: {curve.summary} Lower the threshold, or use a model that does the task."
            )
        return cls(modality, scores, float(size))

    def circuit(self, folds: Sequence[int] | None = None) -> Circuit:
        """The minimal circuit, from all or some folds."""
        return self.scores.mean(folds).top(self.size)

    def half(self, which: int) -> list[int]:
        """Every second fold."""
        return list(range(which, len(self.scores.prompts), 2))


def _resample(
    panels: Sequence[_Panel], resamples: int, seed: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """nIoU [draw, segment·kind] of circuits found on resampled folds."""
    chance = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        a, b = (p.circuit(chance.integers(len(p.scores.prompts), size=len(p.scores.prompts)).tolist()) for p in panels)
        drawn.append([found.niou for found in overlaps(a, b)])
    return np.array(drawn)


def _row(
    found: Overlap,
    resampled: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    halves: Sequence[Overlap],
    across: Sequence[Overlap],
    draws: int,
    seed: int,
) -> Row:
    null = found.null(draws, seed)
    low, high = np.nanquantile(resampled, [0.025, 0.975]) if np.isfinite(resampled).any() else (np.nan, np.nan)
    within = [normalised(half.iou, half.expected) for half in halves]
    expected = float(np.mean([part.expected for part in across]))
    return {
        "segment": found.segment,
        "kind": found.kind,
        "nodes text": found.pairs[-1].a,
        "nodes image": found.pairs[0].b,
        "IoU": found.iou,
        "expected IoU": found.expected,
        "nIoU": found.niou,
        "low": float(low),
        "high": float(high),
        "null 95%": float(np.nanquantile(null, 0.95)) if np.isfinite(null).any() else None,
        "percentile in null": float((null < found.niou).mean()) if np.isfinite(found.niou) else None,
        "split half text": within[0],
        "split half image": within[1],
        "of ceiling": ceiling(float(np.mean([part.iou for part in across])), halves[0].iou, halves[1].iou, expected),
    }


def _segment(rows: Sequence[Row], segment: str, column: str) -> float:
    """Mean over heads and neurons, where defined."""
    values = numbers([row for row in rows if row["segment"] == segment], column)
    defined = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(defined)) if defined else math.nan


def _undefined(rows: Sequence[Row]) -> list[str]:
    """A note on what has no overlap above chance, if anything."""
    names = [f"{row['segment']} {row['kind']}" for row in rows if not math.isfinite(numbers([row], "nIoU")[0] or 0)]
    said = "Both circuits hold all of, or neither holds any of: "
    return [said + ", ".join(names) + ". Their nIoU is undefined and left out of the means."] if names else []


def _summary(task: str, rows: Sequence[Row], panels: Sequence[_Panel]) -> str:
    said = ", ".join(f"{segment} {fixed(_segment(rows, segment, 'nIoU'))}" for segment in SEGMENTS)
    sizes = " and ".join(f"{panel.size:.1%} ({panel.modality})" for panel in panels)
    return f"Circuits of {task} of {sizes} of the nodes share, above chance (nIoU, mean of heads and neurons): {said}."


def _bars(rows: Sequence[Row]) -> Bars:
    def series(name: str, column: str, low: str | None = None, high: str | None = None) -> Series:
        bounds = [[_segment(rows, s, bound) for s in SEGMENTS] for bound in (low, high) if bound is not None]
        return Series(name, [_segment(rows, s, column) for s in SEGMENTS], *bounds)

    return Bars(
        title="Overlap of the text and the image circuit",
        caption="nIoU per segment, mean of heads and neurons: 0 for random circuits of the same sizes, 1 for identical "
        "circuits. Bars: 95% bootstrap over folds.",
        x_title="segment",
        y_title="nIoU",
        categories=list(SEGMENTS),
        series=[
            series("text and image", "nIoU", "low", "high"),
            series("halves of text", "split half text"),
            series("halves of image", "split half image"),
            series("random, 95th percentile", "null 95%"),
        ],
    )
