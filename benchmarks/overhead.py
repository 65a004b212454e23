"""What the store and the executor cost: a study whose units take a known time, against that time alone.

`python -m benchmarks.overhead [--units 20] [--seconds 1] [--ray]`. The units wait, and yield 1 MB each.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from diptych.run import Driver, Store, Study

TASK = """
from diptych.items import Item, Task


def waiting_items():
    items = tuple(Item(id=f"i{n}", text="x " * n, image=None, query="How many x?", answer=str(n)) for n in (1, 2, 3))
    return Task("waiting_items", 1, items, ("1", "2", "3"))
"""

EXPERIMENT = """
import time
import torch
from diptych.run import Finding, Run, Unit
VERSION = 1


def wait(vlm, payload):
    number, seconds = payload
    time.sleep(seconds)
    return {"values": torch.full((250_000,), float(number))}


def waiting(run: Run, *, units: int, seconds: float) -> Finding:
    listed = [Unit(f"unit {number}", (number, seconds)) for number in range(units)]
    total = sum(float(values["values"][0]) for _, values in run.map(wait, listed))
    return Finding(summary=f"{total}", rows=[], conditions={})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--ray", action="store_true", help="with one Ray worker, not in this process")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, workers(given.ray) as more:
        (Path(folder) / "waiting.py").write_text(EXPERIMENT)
        (Path(folder) / "waiting_items.py").write_text(TASK)
        warm_up = took(Path(folder), more, 1, 0.0)
        alone = given.units * given.seconds
        whole = took(Path(folder), more, given.units, given.seconds)
        again = took(Path(folder), more, given.units, given.seconds)
    print(f"warm-up {warm_up:.2f} s; {given.units} units of {given.seconds} s and 1 MB: {whole:.2f} s")
    print(f"overhead {100 * (whole / alone - 1):.1f} %, {1000 * (whole - alone) / given.units:.0f} ms per unit")
    print(f"read again from the store: {again:.2f} s")


def workers(with_ray: bool) -> AbstractContextManager[Any]:
    if not with_ray:
        return nullcontext()
    from diptych.run.ray import RayWorkers

    return RayWorkers(1)


def took(folder: Path, executor: Any, units: int, seconds: float) -> float:
    """Seconds of a study of one cell; what stands for its model is nothing."""
    experiment = {"name": str(folder / "waiting.py"), "parameters": {"units": units, "seconds": seconds}}
    study = Study(models="random:qwen2_vl", tasks=str(folder / "waiting_items.py"), experiments=experiment)
    load: Callable[[Any], Any] = lambda source: None  # noqa: E731 pickled by value
    options = {"executor": executor} if executor else {}
    start = time.perf_counter()
    [outcome] = Driver(Store(folder / "runs"), load=load, **options).outcomes(study)
    if outcome.result is None:
        raise RuntimeError(outcome.reason)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
