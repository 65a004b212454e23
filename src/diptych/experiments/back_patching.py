"""Back-patching: does re-injecting late data representations into early layers help? Chosen on select, reported on test."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.backpatch import Cell, back_patch, cells
from diptych.experiments._halving import Along, Halving
from diptych.experiments._parameters import Seed, Windows
from diptych.experiments._survey import Survey, clusters
from diptych.experiments._text import fixed, interval
from diptych.items import MODALITIES, Item, Modality, Split
from diptych.metrics import correct
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.vlm import VLM
from diptych.result import Heatmap, Row
from diptych.run import Finding, Run
from diptych.statistics import MaximumNull, cluster_bootstrap, max_statistic_null, mcnemar

VERSION = 3
USES = ("accuracy",)


def back_patching(run: Run, *, windows: Windows = (1, 3, 5), seed: Seed = 0) -> Finding:
    """Accuracy of all prompts under every cell (source, destination, window); text is the control.

    The best cell of a panel is chosen on *select* and reported on *test*; the best cell on *test* itself stands beside
    it, labelled in-sample.
    """
    survey = Survey.of(run)
    conditions = survey.conditions | {"windows": ", ".join(map(str, windows)), "seed": seed, "selected on": "select"}
    sweeps: dict[Modality, _Sweep] = {}
    for modality in MODALITIES:
        found: dict[Split, _Outcomes] = {}
        for split in ("select", "test"):
            chosen = survey.items(modality, split)
            work = partial(
                sweep,
                modality=modality,
                windows=windows,
                answers=survey.answers,
                batch_size=run.batch_size,
            )
            units = chosen.units(run.batch_size)
            halving = Halving(work, Along(-1, same=("cells",)))
            values = [values for _, values in run.map(halving, units, name=f"{modality} {split}")]
            found[split] = _Outcomes.of(values, clusters(units))
            conditions |= {f"{key} {modality}": value for key, value in chosen.conditions().items()}
        sweeps[modality] = _Sweep(modality, found["select"], found["test"], seed)
    rows = _rows(sweeps)
    return Finding(
        summary=_summary(run.task.name, sweeps),
        rows=rows,
        conditions=conditions
        | {"interval": "95% cluster bootstrap, 2000 draws", "null": "sign flips of clusters, best of all cells"},
        figures=[_map(sweep, window) for sweep in sweeps.values() for window in windows],
        notes=_notes(sweeps),
    )


@torch.no_grad()
def sweep(
    vlm: VLM,
    payload: tuple[int, list[Item]],
    *,
    modality: Modality,
    windows: Sequence[int],
    answers: AnswerTokens,
    batch_size: int,
) -> dict[str, Tensor]:
    """Whether each prompt (all of one shape) is answered correctly, unpatched and under each cell."""
    _, items = payload
    prompts = [encode_item(vlm, item, modality) for item in items]
    call, data = vlm.capture(collate(prompts)), prompts[0].layout.data
    score = partial(correct, answers=answers.of(items).to(vlm.device), choices=answers.choices)
    every = cells(len(vlm.layers), windows)
    patched = [score(logits) for _, logits in back_patch(vlm, call, data, every, batch_size=batch_size)]
    return {
        "cells": torch.tensor([[cell.source, cell.destination, cell.window] for cell in every]),
        "base": score(vlm.run(call)).cpu(),
        "patched": torch.stack(patched).cpu(),
    }


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """Right or wrong, per prompt: unpatched [n] and under each cell [cell, n]."""

    cells: list[Cell]
    base: "np.ndarray[Any, Any]"
    patched: "np.ndarray[Any, Any]"
    clusters: list[str]

    @classmethod
    def of(cls, units: Sequence[dict[str, Tensor]], clusters: list[str]) -> "_Outcomes":
        found = [Cell(destination, window, source) for source, destination, window in units[0]["cells"].tolist()]
        base = torch.cat([unit["base"] for unit in units]).double().numpy()
        patched = torch.cat([unit["patched"] for unit in units], 1).double().numpy()
        return cls(found, base, patched, clusters)

    @property
    def gains(self) -> "np.ndarray[Any, Any]":
        """Change per cell and prompt: −1, 0 or 1."""
        return self.patched - self.base

    def best(self) -> int:
        """The cell of the highest mean gain; ties go to the first (lowest destination, smallest window)."""
        return int(self.gains.mean(1).argmax())

    def index(self, cell: Cell) -> int | None:
        """Where this cell, or the one that is the same intervention, is in the sweep; None if it is not."""
        layers = max(other.source for other in self.cells) + 1
        same = (i for i, other in enumerate(self.cells) if other.pairs(layers) == cell.pairs(layers))
        return next(same, None)


@dataclass(frozen=True, eq=False)
class _Sweep:
    """One panel's sweep on both splits."""

    modality: Modality
    select: _Outcomes
    test: _Outcomes
    seed: int

    def row(self, cell: int, label: str) -> Row:
        """A cell's accuracy on test against no patching."""
        gain = cluster_bootstrap(self.test.gains[cell], self.test.clusters, seed=self.seed)
        where = self.test.cells[cell]
        return {
            "panel": self.modality,
            "cell": label,
            "source": where.source,
            "destination": where.destination,
            "window": where.window,
            "accuracy": float(self.test.base.mean()),
            "patched": float(self.test.patched[cell].mean()),
            "gain": gain.value,
            "low": gain.low,
            "high": gain.high,
            "McNemar p": mcnemar(self.test.base > 0, self.test.patched[cell] > 0),
            "gain on select": float(self.select.gains[cell].mean()),
            "n": gain.n,
        }


def _rows(sweeps: dict[Modality, _Sweep]) -> list[Row]:
    rows = []
    for sweep in sweeps.values():
        rows.append(sweep.row(sweep.select.best(), "chosen on select"))
        null = {"null 95%": _null(sweep).quantile, "null p": _null(sweep).p}
        rows.append({**sweep.row(sweep.test.best(), "best on test (in-sample)"), **null})
    rows.append(sweeps["text"].row(sweeps["image"].select.best(), "image's cell, on text"))
    return rows


def _summary(task: str, sweeps: dict[Modality, _Sweep]) -> str:
    image = sweeps["image"]
    row, sample = image.row(image.select.best(), ""), image.row(image.test.best(), "")
    cell = f"layer {row['source']} into {row['destination']}, window {row['window']}"
    gain, best, null = (_points(value) for value in (row["gain"], sample["gain"], _null(image).quantile))
    return (
        f"The cell chosen on select ({cell}) changes image accuracy on {task} by {gain} points "
        f"{interval(row, 1, factor=100, sign='+')} on test; the best cell in-sample shows {best}, where no effect at all "
        f"would show up to {null} in 95% of draws."
    )


def _points(value: object) -> str:
    return fixed(value, 1, factor=100, sign="+")


def _null(sweep: _Sweep) -> MaximumNull:
    return max_statistic_null(sweep.test.gains, sweep.test.clusters, seed=sweep.seed)


def _notes(sweeps: dict[Modality, _Sweep]) -> list[str]:
    text, image = sweeps["text"], sweeps["image"]
    gap = text.test.base.mean() - image.test.base.mean()
    gain = image.test.gains[image.select.best()].mean()
    notes = [
        f"Does any cell help on test? {m}: best gain {100 * (null := _null(s)).gain:+.1f} points, max-statistic p = {null.p:.2g}."
        for m, s in sweeps.items()
    ]
    notes.append(
        f"The gap between text and image on test is {100 * gap:.1f} points"
        + (f"; the chosen cell closes {gain / gap:.0%} of it." if gap > 0 else ".")
    )
    notes.append(
        "All prompts are used, answered correctly or not. A pair of layers with an end out of range is dropped whole."
    )
    return notes


def _map(sweep: _Sweep, window: int) -> Heatmap:
    """Gain on test by source and destination, in points."""
    gains = 100 * sweep.test.gains.mean(1)
    layers = max(cell.source for cell in sweep.test.cells) + 1

    def gain(destination: int, source: int) -> float | None:
        index = sweep.test.index(Cell(destination, window, source)) if source > destination else None
        return None if index is None else float(gains[index])

    values = [[gain(destination, source) for source in range(layers)] for destination in range(layers)]
    chosen = sweep.test.cells[sweep.select.best()]
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
