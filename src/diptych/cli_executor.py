"""Options of the commands that run experiments: by what, on how many workers of which size."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from diptych.run.unit import Executor

Kind = Annotated[
    Literal["serial", "ray"], typer.Option("--executor", help="serial (this process) or ray (needs diptych\\[ray]).")
]
Workers = Annotated[int | None, typer.Option(help="Ray: how many workers; as many as there is room for by default.")]
Address = Annotated[str | None, typer.Option(help="Ray: auto for the cluster of this node; a local Ray by default.")]
Cpus = Annotated[float, typer.Option(help="Ray: CPUs of a worker.")]
Gpus = Annotated[
    float | None, typer.Option(help="Ray: GPUs of a worker, such as 0.5 or 2; 1 by default if there are any.")
]


@contextmanager
def executor(
    kind: str, workers: int | None, address: str | None, cpus: float, gpus: float | None
) -> "Iterator[Executor]":
    """The executor, while it is open."""
    if kind == "serial":
        from diptych.run.serial import in_process

        yield in_process
    else:
        from diptych.run.ray import RayWorkers

        with RayWorkers(workers, address=address, cpus=cpus, gpus=gpus) as open_workers:
            yield open_workers
