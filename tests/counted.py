"""Runs whose model is a counter, and experiments written for one test: what was computed, and what was only read."""

from pathlib import Path
from typing import Any

from diptych.items import Task
from diptych.run import Run, Store

LAB = Path(__file__).parent / "lab"
SQUARES, ROOTS = str(LAB / "squares.py"), str(LAB / "roots.py")


class Counted:
    """Stands where a model would: called with each number that is computed."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.numbers: list[int] = []
        self.fail_at = fail_at

    def __call__(self, number: int) -> None:
        if number == self.fail_at:
            raise KeyboardInterrupt
        self.numbers.append(number)


def open_run(model: Path, task: Task, root: Path, vlm: Any, **options: Any) -> Run:
    return Run(str(model), task, store=Store(root), load=lambda source: vlm, **options)


def files(root: Path) -> dict[str, bytes]:
    """All but logs, which tell times."""
    found = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".log"]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def experiment(folder: Path, name: str, body: str, head: str = "VERSION = 1") -> str:
    path = folder / f"{name}.py"
    path.write_text(
        f"from diptych.run import Finding, Run, Unit\n{head}\ndef {name}(run: Run, *, seed: int = 0) -> Finding:\n    {body}\n"
    )
    return str(path)
