"""Runs of the experiment `tallied`, whose units tell which of them are computed, and the files that they leave."""

from pathlib import Path
from typing import Any

from diptych.items import Task
from diptych.result import Result
from diptych.run import Run, Store

TALLIED = str(Path(__file__).parent / "lab" / "tallied.py")
KINDS = {
    "unit": "units/tally/crosses-1.safetensors",
    "grids": "grids.safetensors",
    "result": "result.json",
    "run": "run.json",
}


class Tally:
    """Stands where a model would: called with each unit that is computed."""

    def __init__(self) -> None:
        self.units: list[str] = []

    def __call__(self, unit: str) -> None:
        self.units.append(unit)


def open_run(model: Path, task: Task, root: Path, vlm: Any = None) -> Run:
    return Run(str(model), task, store=Store(root), load=lambda source: vlm or Tally())


def answers(run: Run) -> tuple[Result, list[list[float]]]:
    """All that a user reads of the experiment."""
    result = run.get(TALLIED, count=3)
    return result, run.grids(result)["all"].tolist()


def only(root: Path) -> Path:
    """The one run's folder."""
    [found] = root.glob("*/*/*")
    return found
