"""Back-patching: does re-injecting late data representations into early layers help? Chosen on select, reported on test."""

from collections.abc import Sequence
from typing import Any

from diptych.backpatch import Cell
from diptych.experiments._controls import Controls
from diptych.experiments._parameters import Count, Seed, Windows
from diptych.experiments._survey import Survey
from diptych.experiments._sweep import HELD_OUT, IN_SAMPLE, Sweep, grids_of, run_sweep
from diptych.experiments._text import fixed, interval, known
from diptych.figures import Bars, Figure, Heatmap, Series
from diptych.items import Modality
from diptych.result import Row, numbers
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL

VERSION = 6
USES = ("accuracy",)
NO_TEXT = "The task has no text panel: there is no text control, and no gap between the panels to close."


def back_patching(
    run: Run, *, windows: Windows = (1, 3, 5), noise: Count = 3, rounds: Count = 3, seed: Seed = 0
) -> Finding:
    """Accuracy of all prompts under every cell (source, destination, window); text is the control.

    The best cell of a panel is chosen on *select* and reported on *test*; the best cell on *test* itself stands beside
    it, labelled in-sample. `noise`: draws of noise, `rounds`: rounds of the loop, both at the chosen image cell.
    """
    survey = Survey.of(run)
    donors = survey.donors("image", "test", seed=seed)  # refuses a task without pictures
    sweeps: dict[Modality, Sweep] = {}
    told: dict[str, Any] = {}
    for modality in survey.panels():
        select, test = survey.items(modality, "select"), survey.items(modality, "test")
        found = [run_sweep(run, survey, chosen, modality, windows) for chosen in (select, test)]
        rivals = survey.right("text", "test") if modality == "image" and "text" in survey.panels() else {}
        sweeps[modality] = Sweep(modality, found[0], found[1], seed, rivals)
        told |= {f"{k} {modality}": v for one in (select, test) for k, v in one.conditions().items()}
    controls = Controls.of(run, survey, donors, sweeps["image"].chosen, noise, rounds, seed)
    rows = _rows(sweeps) + controls.rows()
    return Finding(
        summary=_summary(run.task.name, sweeps["image"]),
        rows=rows,
        conditions=survey.conditions
        | {"windows": ", ".join(map(str, windows)), "seed": seed, "selected on": "select"}
        | told
        | {f"{name} with a donor": value for name, value in donors.conditions().items()}
        | {"draws of noise": noise, "rounds": rounds}
        | {"interval": INTERVAL, "null": "sign flips of clusters, best t of all cells"},
        figures=[_bars(rows), *(_map(sweep, window) for sweep in sweeps.values() for window in windows)],
        notes=[*_notes(sweeps), *controls.notes()],
        grids=grids_of(sweeps),
    )


def _rows(sweeps: dict[Modality, Sweep]) -> list[Row]:
    rows: list[Row] = [row for sweep in sweeps.values() for row in sweep.reports()]
    if "text" in sweeps:
        rows.append(sweeps["text"].row(sweeps["image"].select.best(), "image's cell, on text"))
    return rows


def _summary(task: str, image: Sweep) -> str:
    row, sample = image.reports()
    cell = f"layer {row['source']} into {row['destination']}, window {row['window']}"
    told = (
        f"The cell chosen on select ({cell}) changes image accuracy on {task} by {_points(row['gain'])} "
        f"points {interval(row, 1, factor=100, sign='+')} on test; {_best(sample)}."
    )
    return " ".join(filter(None, (told, image.choice())))


def _best(sample: Row) -> str:
    """The gain of the best cell in-sample, and what it must gain for p ≤ .05."""
    if not known(sample["null 95%"]):
        return "the best cell in-sample changes no accuracy"
    return (
        f"the best cell in-sample shows {_points(sample['gain'])}, and must gain more than "
        f"{_points(sample['null 95%'])} points for p ≤ .05 among all cells"
    )


def _points(value: object) -> str:
    return fixed(value, 1, factor=100, sign="+")


def _notes(sweeps: dict[Modality, Sweep]) -> list[str]:
    helped = [
        f"Does any cell help on test? {m}: max-statistic p = {s.null.p:.2g}, at the cell of the highest t, which gains "
        f"{_points(s.null.gains[s.null.cell])} points. {s.choice()}".rstrip()
        for m, s in sweeps.items()
    ]
    return [
        *helped,
        _gap(sweeps["image"].reports()) if "text" in sweeps else NO_TEXT,
        "All prompts are used, answered correctly or not. A pair of layers with an end out of range is dropped whole.",
    ]


def _gap(reports: Sequence[Row]) -> str:
    shares = [_closing(row) for row in reports if "share of gap" in row]
    if not shares:
        return "No item of test has both panels, so there is no gap to close."
    gap, low, high = (fixed(reports[0][f"gap{end}"], 1, factor=100) for end in ("", ", low", ", high"))
    return f"The gap between text and image on test is {gap} points [{low}, {high}]; {', '.join(shares)}."


def _closing(row: Row) -> str:
    """What a cell does to the gap: a share without an interval is none, a negative one is told as what it is."""
    bounds = [row["share of gap"], row["share of gap, low"], row["share of gap, high"]]
    numbered = [100 * bound for bound in bounds if known(bound)]
    if len(numbered) < len(bounds):
        return f"the share of it that the cell {row['cell']} closes is undefined, as gaps so uncertain may be 0"
    share, low, high = numbered
    if share < 0:
        return f"the cell {row['cell']} widens it by {fixed(-share, 0)}% [{fixed(-high, 0)}, {fixed(-low, 0)}]"
    return f"the cell {row['cell']} closes {fixed(share, 0)}% [{fixed(low, 0)}, {fixed(high, 0)}] of it"


def _bars(rows: list[Row]) -> Figure:
    """Gains of the image panel on test: chosen, controls, rounds; and of text."""
    shown = [row for row in rows if row["cell"] != IN_SAMPLE and not str(row["cell"]).startswith("own picture")]
    columns = ([value and 100 * value for value in numbers(shown, name)] for name in ("gain", "low", "high"))
    return Bars(
        title="Back-patching and its controls",
        caption=f"Change of accuracy on test in points, at the cell {HELD_OUT} of each panel, with 95% intervals.",
        x_title="what is patched",
        y_title="points",
        categories=[f"{row['panel']}: {row['cell']}" for row in shown],
        series=[Series("gain", *columns)],
    )


def _map(sweep: Sweep, window: int) -> Heatmap:
    """Gain on test by source and destination, in points."""
    gains = 100 * sweep.test.gains.mean(1)
    layers = max(cell.source for cell in sweep.test.cells) + 1

    def gain(destination: int, source: int) -> float | None:
        index = sweep.test.index(Cell(destination, window, source)) if source > destination else None
        return None if index is None else float(gains[index])

    values = [[gain(destination, source) for source in range(layers)] for destination in range(layers)]
    chosen = sweep.chosen
    return Heatmap(
        title=f"Back-patching, {sweep.modality}, window {window}",
        caption=f"Change of accuracy on test in points (n = {sweep.test.base.size}), by the layer patched from and into. "
        + (
            "The mark is the cell chosen on select."
            if chosen.window == window
            else "The cell chosen on select has another window."
        ),
        x_title="source layer",
        y_title="destination layer",
        value_title="points",
        x=[str(layer) for layer in range(layers)],
        y=[str(layer) for layer in range(layers)],
        values=values,
        marks=[(chosen.source, chosen.destination, "chosen on select")] if chosen.window == window else [],
    )
