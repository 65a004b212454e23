"""Overlap: do the text and the image circuit use the same nodes? Against random circuits and against split halves."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from diptych.compare import MEASURED
from diptych.depth import Depth, depths
from diptych.experiments._comparison import BOTH, Comparison
from diptych.experiments._panels import Panel, conditions, panels
from diptych.experiments._parameters import Count, MetricName, Options, Positions, Seed, Share
from diptych.experiments._survey import Survey
from diptych.experiments._text import fixed, interval, known
from diptych.figures import Bars, Curves, Series
from diptych.grid import KINDS
from diptych.paper_compat import PaperCompat
from diptych.result import Row, numbers
from diptych.run import Finding, Run

VERSION = 7
USES = ("accuracy", "discover", "faithfulness_curve")


def overlap(
    run: Run,
    *,
    threshold: Share = 0.8,
    metric: MetricName = "logit_diff",
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    draws: Count = 1000,
    resamples: Count = 200,
    positions: Positions = "aligned",
    niou: Literal["normalised", "i_minus_2b"] = "normalised",
    baseline: Literal["matched", "global"] = "matched",
    seed: Seed = 0,
) -> Finding:
    """nIoU of the two minimal circuits per segment and node kind: 0 for random circuits of the same size, 1 for identical ones.

    `discovery`: parameters of `discover` that differ from their defaults. `draws`: random circuits for the null.
    `resamples`: random weights of the discover folds behind the interval, which is for circuits found on as many prompts
    (`docs/guide/overlap.md`). `positions`: what a position is if prompts differ in length. `niou` and `baseline`: Paper
    A's departures, for comparison only (methods §14).
    """
    survey = Survey.of(run)
    shared = {"metric": metric, "seed": seed, "positions": positions}
    text, image = panels(run, survey, threshold, discovery, shared)
    compat = PaperCompat(niou=niou, baseline=baseline)
    comparison = Comparison.of(text, image, resamples, seed, compat)
    rows = list(comparison.rows(draws, seed))
    deep = depths(text.circuit(), image.circuit())
    return Finding(
        summary=_summary(run.task.name, rows, (text, image)),
        rows=rows,
        conditions=survey.conditions
        | conditions((text, image))
        | {"split": "discover (circuits), select (sizes)", "null": f"{draws} matched random circuits"}
        | {"metric": metric, "threshold": threshold}
        | {"positions": positions, "niou": niou, "baseline": baseline, "seed": seed}
        | {"interval": f"95% Student, {resamples} random weights of {comparison.folds} folds of clusters"},
        figures=[_bars(rows), *_profiles(deep)],
        notes=[
            "Data: positions are dropped, a head or neuron counts if it is in the circuit at any data position. "
            "Query and generation: positions are matched. The last rows are the other way round.",
            "Split halves: circuits of the same size found on halves of one panel's contrasts that share no prompt; "
            "two panels cannot be expected to agree better than that. The halves of one panel are of one size: 'of ceiling' "
            "is below 1 for circuits of different sizes even if one holds the other, 'share of the possible' is not.",
            "Circuits of different sizes cannot reach an nIoU of 1: the highest possible is reached where the larger one "
            "holds all of the smaller, and the share of the possible is then 1, however low the nIoU. An interval may pass "
            "it: circuits of other prompts divide their nodes otherwise among segments and kinds.",
            "The interval is for circuits found on as many prompts as here. Circuits found on more prompts are less noisy, "
            "so they tend to overlap more: compare with the split halves.",
            *_undefined(rows),
            *_departures(compat),
        ],
        grids={
            "layers.shared": torch.tensor(np.array([one.shared for one in deep])),
            "layers.expected": torch.tensor(np.array([one.expected for one in deep])),
        },
    )


def _measured(rows: Sequence[Row], kind: str) -> list[Row]:
    """The rows of methods §7, one per segment, for a node kind or the mean of both."""
    return [row for row in rows if row["kind"] == kind and row["positions"] == MEASURED[str(row["segment"])]]


def _undefined(rows: Sequence[Row]) -> list[str]:
    """A note on what has no overlap above chance, if anything."""
    names = [f"{row['segment']} {row['kind']} (positions {row['positions']})" for row in rows if not known(row["nIoU"])]
    said = "A circuit holds all nodes of, or none of: "
    why = ". Their overlap follows from the sizes alone, so their nIoU is undefined and left out of the means."
    return [said + ", ".join(names) + why] if names else []


def _departures(compat: PaperCompat) -> list[str]:
    said = {
        "i_minus_2b": "nIoU is IoU − 2·b, clamped to [0.01, 1], as the reference code plots it.",
        "global": "Random circuits are one draw over all positions, as in the reference code; the percentile is still "
        "among matched ones.",
    }
    asked = [said[name] for name in (compat.niou, compat.baseline) if name in said]
    return [*asked, "These are departures for comparison with published numbers."] if asked else []


def _summary(task: str, rows: Sequence[Row], both: Sequence[Panel]) -> str:
    said = ", ".join(f"{row['segment']} {_told(row)}{_of(row, rows)}" for row in _measured(rows, BOTH))
    sizes = " and ".join(f"{panel.size:.1%} ({panel.modality})" for panel in both)
    return f"Circuits of {task} of {sizes} of the nodes share, above chance (nIoU, mean of heads and neurons): {said}."


def _told(row: Row) -> str:
    """nIoU with its interval and the most that circuits of these sizes could have."""
    return f"{fixed(row['nIoU'])} {interval(row)} of at most {fixed(row['highest possible nIoU'])}"


def _of(row: Row, rows: Sequence[Row]) -> str:
    """Which kind of nodes a segment's number is of, where that is not both."""
    alone = [
        kind
        for kind in KINDS
        for one in _measured(rows, kind)
        if one["segment"] == row["segment"] and known(one["nIoU"])
    ]
    return f" ({alone[0]} alone)" if len(alone) == 1 else ""


def _bars(rows: Sequence[Row]) -> Bars:
    both = _measured(rows, BOTH)
    return Bars(
        title="Overlap of the text and the image circuit",
        caption="nIoU per segment, mean of heads and neurons: 0 for random circuits of the same sizes, 1 for identical "
        "circuits. The highest possible is that of circuits of these sizes of which one holds the other. Halves of one "
        "panel's prompts are the ceiling. Lines on bars: 95% intervals.",
        x_title="segment",
        y_title="nIoU",
        categories=[str(row["segment"]) for row in both],
        series=[
            Series("text and image", *(numbers(both, column) for column in ("nIoU", "low", "high"))),
            Series("highest possible", numbers(both, "highest possible nIoU")),
            Series("halves of text", numbers(both, "split half text")),
            Series("halves of image", numbers(both, "split half image")),
            Series("random, 95th percentile", numbers(both, "null 95%")),
        ],
        levels=[(0.0, "random")],
    )


def _profiles(deep: Sequence[Depth]) -> list[Curves]:
    """Where in depth the shared nodes are, a figure per segment."""
    return [_profile(list(pair)) for pair in zip(deep[::2], deep[1::2], strict=True)]


def _profile(kinds: Sequence[Depth]) -> Curves:
    segment, layers = kinds[0].whole.segment, len(kinds[0].layers)
    series = []
    for one in kinds:
        band = (one.quantile(0.025).tolist(), one.quantile(0.975).tolist())
        series += [
            Series(one.whole.kind, one.shared.tolist()),
            Series(f"random {one.whole.kind}", one.expected.tolist(), *band),
        ]
    return Curves(
        title=f"Shared nodes by layer, {segment}",
        caption="Nodes of both circuits in a layer, as a share of those of either circuit in all layers: they add up to "
        "the IoU. Random circuits have as many nodes in each layer; bands hold 95% of them.",
        x_title="layer",
        y_title="share of the union",
        x=[float(layer) for layer in range(layers)],
        series=series,
    )
