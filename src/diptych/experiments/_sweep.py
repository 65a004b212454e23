"""A back-patching sweep: which prompts are answered rightly under which cell, and which cell is chosen where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.backpatch import Cell, back_patch, cells
from diptych.experiments._halving import Along, Halving
from diptych.experiments._survey import Selection, Survey, clusters
from diptych.experiments._text import from_lines, to_lines
from diptych.items import Item, Modality, Split, Task
from diptych.metrics import correct
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.vlm import VLM
from diptych.result import Result
from diptych.run import Run
from diptych.statistics import Estimate, MaximumNull, max_statistic_null, mcnemar, paired_difference, ratio_of_means

Array = NDArray[np.float64]
HELD_OUT, IN_SAMPLE = "chosen on select", "best on test (in-sample)"


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
    patched = {cell: score(logits) for cell, logits in back_patch(vlm, call, data, every, batch_size=batch_size)}
    return {
        "cells": torch.tensor([[cell.source, cell.destination, cell.window] for cell in every]),
        "base": score(vlm.run(call)).cpu(),
        "patched": torch.stack([patched[cell] for cell in every]).cpu(),
    }


def run_sweep(
    run: Run, survey: Survey, chosen: Selection[Item], modality: Modality, windows: Sequence[int]
) -> "Outcomes":
    """Sweep over all prompts of one panel and split."""
    work = partial(sweep, modality=modality, windows=windows, answers=survey.answers, batch_size=run.batch_size)
    units = chosen.units(run.batch_size)
    halving = Halving(work, Along(-1, same=("cells",)))
    values = [values for _, values in run.map(halving, units, name=f"{modality} {chosen.split}")]
    ids = [item.id for unit in units for item in unit.payload[1]]
    base = torch.cat([one["base"] for one in values]).double().numpy()
    patched = torch.cat([one["patched"] for one in values], 1).double().numpy()
    return Outcomes(values[0]["cells"].tolist(), base, patched, clusters(units), ids)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Right or wrong, per prompt: unpatched [n] and under each cell [cell, n]; `places`: source, destination, window."""

    places: Sequence[tuple[int, int, int]]
    base: Array
    patched: Array
    clusters: Sequence[str]
    ids: Sequence[str] = ()

    @cached_property
    def cells(self) -> list[Cell]:
        return [Cell(destination, window, source) for source, destination, window in self.places]

    @property
    def gains(self) -> Array:
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

    def tensors(self) -> dict[str, Tensor]:
        """To store; `stored` reads them."""
        numbers = {"places": torch.tensor(self.places), "base": _bits(self.base), "patched": _bits(self.patched)}
        return numbers | {"ids": to_lines(list(self.ids))}

    @classmethod
    def stored(cls, tensors: Mapping[str, Tensor], task: Task) -> "Outcomes":
        ids = from_lines(tensors["ids"])
        known = {item.id: item.cluster for item in task.items}
        base, patched = (tensors[name].double().numpy() for name in ("base", "patched"))
        return cls(tensors["places"].tolist(), base, patched, [known[one] for one in ids], ids)


def _bits(values: Array) -> Tensor:
    return torch.from_numpy(values).to(torch.uint8)


@dataclass(frozen=True, eq=False)
class Sweep:
    """One panel's sweep on both splits; `rivals`: whether the other panel's prompt of an item is answered rightly, by id."""

    modality: Modality
    select: Outcomes
    test: Outcomes
    seed: int
    rivals: Mapping[str, float] = field(default_factory=dict)

    @property
    def chosen(self) -> Cell:
        """The best cell on select."""
        return self.select.cells[self.select.best()]

    @cached_property
    def null(self) -> MaximumNull:
        """What each cell would have to gain on test if none helped, and the best of all were chosen."""
        return max_statistic_null(self.test.gains, self.test.clusters, seed=self.seed)

    def choice(self) -> str:
        """What must be known of the choice on select: that no cell gains there, or that several are equal; else nothing."""
        gains = self.select.gains.mean(1)
        equal = int((gains == gains.max()).sum())
        if gains.max() <= 0:
            shown = f"the first of {equal} equal ones" if equal > 1 else "the one that loses least"
            return f"No cell gains on select; {shown} is shown."
        return f"On select {equal} cells are equally good; the first is shown." if equal > 1 else ""

    def reports(self) -> list[dict[str, Any]]:
        """The cell chosen on select, and the best one on test itself, each with its null among all cells."""
        told = ((self.select.best(), HELD_OUT), (self.test.best(), IN_SAMPLE))
        return [self.row(cell, label) | self._null(cell) for cell, label in told]

    def _null(self, cell: int) -> dict[str, float]:
        return {"null 95%": float(self.null.needed[cell]), "null p": float(self.null.p_values[cell])}

    def row(self, cell: int, label: str) -> dict[str, Any]:
        """A cell's accuracy on test against no patching, and the share of the gap to the other panel that it closes."""
        where = self.test.cells[cell]
        place = {"source": where.source, "destination": where.destination, "window": where.window}
        gains, base, patched = self.test.gains[cell], self.test.base, self.test.patched[cell]
        told = gain_row(self.modality, label, base, patched, self.test.clusters) | place
        return told | {"gain on select": float(self.select.gains[cell].mean())} | self._share(gains)

    def _share(self, gains: Array) -> dict[str, Any]:
        both = [place for place, one in enumerate(self.test.ids) if one in self.rivals]
        if not both:
            return {}
        gap = np.array([self.rivals[self.test.ids[place]] - self.test.base[place] for place in both])
        names = [self.test.clusters[place] for place in both]
        below = paired_difference(gap, names)
        share = ratio_of_means(gains[both], gap, names, below=below, seed=self.seed)
        return _bounds("gap", below) | _bounds("share of gap", share)


def gain_row(modality: str, label: str, base: Array, patched: Array, clusters: Sequence[str]) -> dict[str, Any]:
    """Accuracies before and after, with the interval of their difference; McNemar's test of prompts right or wrong."""
    gain = paired_difference(patched - base, clusters)
    single = bool(np.isin(patched, (0.0, 1.0)).all())
    return {
        "panel": modality,
        "cell": label,
        "accuracy": float(base.mean()),
        "patched": float(patched.mean()),
        "gain": gain.value,
        "low": gain.low,
        "high": gain.high,
        "McNemar p": mcnemar(base > 0, patched > 0) if single else None,
        "n": gain.n,
    }


def _bounds(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}, low": estimate.low, f"{name}, high": estimate.high}


def grids_of(sweeps: Mapping[Modality, Sweep]) -> dict[str, Tensor]:
    """Everything that sweeps found, to be stored beside their result."""
    return {
        f"{modality}.{split}.{name}": tensor
        for modality, found in sweeps.items()
        for split, outcomes in (("select", found.select), ("test", found.test))
        for name, tensor in outcomes.tensors().items()
    }


def stored_sweep(run: Run, result: Result, modality: Modality) -> Sweep:
    """A panel's sweep from a stored result of `back_patching`."""
    grids = run.grids(result)

    def outcomes(split: Split) -> Outcomes:
        start = f"{modality}.{split}."
        mine = {name.removeprefix(start): grid for name, grid in grids.items() if name.startswith(start)}
        return Outcomes.stored(mine, run.task)

    return Sweep(modality, outcomes("select"), outcomes("test"), int(result.identity["parameters"]["seed"]))
