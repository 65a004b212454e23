"""An experiment for tests that tells the model's stand-in which unit is computed, and one that builds on it."""

import time
from typing import Any

import torch

from diptych.run import Finding, Run, Unit

VERSION = 1


def tally(vlm: Any, payload: tuple[str, int]) -> dict[str, torch.Tensor]:
    task, number = payload
    vlm(f"{task}-{number}")
    time.sleep(0.001)
    return {"thirds": torch.arange(300.0) / (3 + number), "half": torch.tensor(number / 2, dtype=torch.bfloat16)}


def tallied(run: Run, *, first: int = 0, count: int = 8) -> Finding:
    units = [Unit(f"{run.task.name}-{number}", (run.task.name, number)) for number in range(first, first + count)]
    found = [values["thirds"] for _, values in run.map(tally, units, name="tally")]
    rows = [{"unit": unit.id, "sum": float(values.sum())} for unit, values in zip(units, found, strict=True)]
    grids = {"all": torch.stack(found)}
    return Finding(summary=f"{len(found)} units.", rows=rows, conditions={"first": first}, grids=grids)
