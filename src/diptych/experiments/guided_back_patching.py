"""Guided back-patching: does the repair go through the image circuit, and does it make that more like the text circuit?"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import Tensor

from diptych.experiments._guided import PARTS, Judged, guided
from diptych.experiments._guided_overlap import bars, compare
from diptych.experiments._halving import Along, Halving
from diptych.experiments._measured import helpful_first
from diptych.experiments._panels import Panel
from diptych.experiments._parameters import Count, Options, Positions, Seed, Share, Windows
from diptych.experiments._survey import FoldScores, Survey, clusters
from diptych.experiments._sweep import Array, gain_row, stored_sweep
from diptych.experiments._text import fixed
from diptych.items import Modality
from diptych.result import Bars, Number, Row, Series
from diptych.run import Finding, Run

VERSION = 2
USES = ("accuracy", "discover", "faithfulness_curve", "back_patching")
WAYS = {"positions": "data positions", "nodes": "nodes"}
NO_TEXT = "The task has no text panel, so there is no text circuit to compare with."


def guided_back_patching(
    run: Run,
    *,
    size: Share | None = None,
    threshold: Share = 0.8,
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    windows: Windows = (1, 3, 5),
    share: Share = 0.5,
    draws: Count = 20,
    resamples: Count = 200,
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """The image cell that `back_patching` chose, with only that part let through that the image circuit holds.

    By positions: the `share` of the data positions that hold most of the circuit. By nodes: what the circuit's heads and
    neurons write between destination and source. Each against `draws` random sets of equal size. Then the overlap of the
    image circuit with the text circuit, discovered again with the patch in place. `size`: share of the nodes in a circuit,
    else that of the minimal one at faithfulness `threshold`. `discovery`: parameters of `discover` that differ from their
    defaults.
    """
    survey = Survey.of(run)
    sweep = stored_sweep(run, run.get("back_patching", windows=windows, seed=seed), "image")
    shared = {"seed": seed, "positions": positions}
    panels = [_panel(run, modality, size, threshold, discovery, shared) for modality in survey.panels()]
    image = panels[-1]
    prompts = survey.items("image", "test", positions)
    work = partial(guided, circuit=image.circuit(), cell=sweep.chosen, share=share, draws=draws, seed=seed)
    work = partial(work, answers=survey.answers, batch_size=run.batch_size)
    units = prompts.units(run.batch_size)
    found = Along(-1)([values for _, values in run.map(Halving(work, Along(-1)), units, name="guided")])
    rows, judged = _rows(found, clusters(units), seed)
    compared = compare(run, survey, panels, sweep.chosen, shared | discovery, resamples)
    place = {name: getattr(sweep.chosen, name) for name in ("source", "destination", "window")}
    return Finding(
        summary=_summary(run.task.name, judged),
        rows=rows + compared,
        conditions=survey.conditions
        | prompts.conditions()
        | place
        | {"cell chosen on": "select", "share of data positions": share, "draws": draws, "seed": seed}
        | {f"size of the {panel.modality} circuit": panel.size for panel in panels}
        | {"data positions that hold the circuit": float(found["held"].double().mean()), "positions": positions}
        | {
            "interval": "95% cluster bootstrap, 2000 draws; of overlaps 95% Student, "
            + f"{resamples} random weights of folds"
        },
        figures=[_bars(judged), *bars(compared)],
        notes=[
            _paragraph(judged, compared),
            "Random positions: as many of the data positions. Random nodes: as many heads and neurons in each layer, at "
            "data positions.",
            "What a set of nodes writes: the change of each layer's output if they are set to zero and all others are held.",
            *([] if compared else [NO_TEXT]),
        ],
    )


def _panel(
    run: Run, modality: Modality, size: float | None, threshold: float, discovery: Options, shared: Options
) -> Panel:
    if size is None:
        return Panel.of(run, modality, threshold, discovery, shared)
    found = run.get("discover", modality=modality, **(shared | discovery))
    order = helpful_first(str(found.conditions["metric"]), str(found.conditions["reduction"]))
    return Panel(modality, FoldScores.of(run, found), size, {}, order)


def _rows(found: dict[str, Tensor], clusters: Sequence[str], seed: int) -> tuple[list[Row], list[Judged]]:
    """A row for each part let through, random ones together, and how they compare."""
    base = found["base"].double().numpy()
    rows: list[Row] = []
    judged = []
    for way, name in WAYS.items():
        right: Array = found[way].double().numpy()
        drawn = right[len(PARTS) :]
        gains = (right - base).mean(1).tolist()
        whole = gain_row("image", f"{name}: all", base, right[0], clusters, seed)
        judged.append(Judged(name, gains[0], gains[1], gains[2], gains[len(PARTS) :], whole["low"]))
        for part, values in zip((*PARTS, "random"), (*right[: len(PARTS)], drawn.mean(0)), strict=True):
            rows.append(gain_row("image", f"{name}: {part}", base, values, clusters, seed))
        low, high = np.quantile(judged[-1].random, (0.025, 0.975))
        rows[-1] = {**rows[-1], "draws, 2.5%": float(low), "draws, 97.5%": float(high)}
        rows[-3] = {**rows[-3], "percentile in random": judged[-1].percentile}
    return rows, judged


def _points(value: object) -> str:
    return fixed(value, 1, factor=100, sign="+")


def _summary(task: str, judged: Sequence[Judged]) -> str:
    said = [
        f"{_points(one.circuit)} with the circuit's {one.name} alone (random ones: {_points(np.mean(one.random))})"
        for one in judged
    ]
    opening = f"The whole patch changes image accuracy on {task} by {_points(judged[0].whole)} points"
    if not judged[0].surely > 0:
        return f"{opening}, which is not surely above 0: there is no repair to trace to the circuit."
    return f"{opening}; {' and '.join(said)}."


def _paragraph(judged: Sequence[Judged], compared: Sequence[Row]) -> str:
    """Whether the repair goes through the circuit."""
    if not judged[0].surely > 0:
        opening = (
            "The gain of the whole patch on test is not surely above 0, so there is no repair to trace to the circuit."
        )
    else:
        through = [one.name for one in judged if one.through]
        opening = (
            f"The repair goes through the image circuit, judged by {' and by '.join(through)}: its part of the patch gains "
            f"more than at least 95% of random parts of equal size."
            if through
            else "The repair does not go through the image circuit more than through random parts of equal size."
        )
    parts = [
        f"By {one.name}, the circuit's part gains {_points(one.circuit)} points (higher than {one.percentile:.0%} of "
        f"{len(one.random)} random parts), all other {_points(one.others)}, all {_points(one.whole)}."
        for one in judged
    ]
    changes = ", ".join(f"{str(row['cell']).split()[-1]} {fixed(row['change'], sign='+')}" for row in compared)
    overlap = [f"With the patch in place, the overlap with the text circuit changes by (nIoU): {changes}."]
    return " ".join([opening, *parts, *(overlap if compared else [])])


def _bars(judged: Sequence[Judged]) -> Bars:
    def points(values: Sequence[float]) -> list[Number]:
        return [100 * value for value in values]

    bounds = [np.quantile(one.random, (0.025, 0.975)) for one in judged]
    random = Series(
        "random parts of equal size",
        points([float(np.mean(one.random)) for one in judged]),
        points([float(low) for low, _ in bounds]),
        points([float(high) for _, high in bounds]),
    )
    return Bars(
        title="Does the repair go through the image circuit?",
        caption="Change of image accuracy on test in points, if only a part of the back-patch is let through. Whiskers of "
        "random parts: 95% of the draws.",
        x_title="parts are sets of",
        y_title="points",
        categories=[one.name for one in judged],
        series=[
            Series("whole patch", points([one.whole for one in judged])),
            Series("the circuit's part", points([one.circuit for one in judged])),
            random,
            Series("all but the circuit's part", points([one.others for one in judged])),
        ],
    )
