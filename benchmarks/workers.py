"""What more Ray workers bring: a discovery of many equal units, serial, by one worker and by two; in seconds of the wall."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diptych
from benchmarks.bench import Organism, Subject
from benchmarks.growth import grown
from benchmarks.ratios import Line, ratios
from diptych.run import Run, Store
from diptych.run.serial import in_process
from diptych.run.unit import Executor

UNITS, EACH = 24, 4
"""Units of a discovery, and items in each; one path of gradient points for all."""
WORKERS = (1, 2)
WHAT = {"modality": "text", "folds": UNITS, "options": {"steps": 5}}
OF = f"discovery of an organism, {UNITS} units, wall"


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """Speed-ups over a serial run, models loaded; and apart, how long it takes until the first unit is back."""
    if not isinstance(subject, Organism):
        raise SystemExit("Ray workers load a model by its name: choose organism.")
    with tempfile.TemporaryDirectory() as folder:
        discovery = Discovery(Path(folder), subject.name)
        discovery.run(discovery.judged, in_process).get("accuracy")  # whose results all discoveries read
        serial = discovery.all(in_process, runs)
        found = {str(count): _by_ray(discovery, count, runs) for count in WORKERS}
    for count, (_, seconds) in found.items():
        yield Line(f"speed-up by {count} Ray worker{'s' if count != '1' else ''}", OF, ratios(serial, seconds))
    yield grown("Ray workers", OF, WORKERS, {count: seconds for count, (_, seconds) in found.items()})
    for count, (first, _) in found.items():
        yield Line(
            f"{count} Ray worker{'s' if count != '1' else ''}: seconds from nothing to the first unit", OF, [first]
        )


@dataclass
class Discovery:
    """The same discovery as often as wanted, each in a folder where only the answers are known."""

    folder: Path
    model: str
    made: int = 0

    @property
    def judged(self) -> Path:
        return self.folder / "judged"

    def run(self, store: Path, executor: Executor) -> Run:
        task = diptych.make_task("counting", per_split=UNITS * EACH)
        return Run(self.model, task, store=Store(store), executor=executor)

    def all(self, executor: Executor, runs: int) -> list[float]:
        """Seconds of each of some discoveries; the first one, in which models are loaded, does not count."""
        return [self.seconds(executor) for _ in range(runs + 1)][1:]

    def seconds(self, executor: Executor) -> float:
        self.made += 1
        store = self.folder / str(self.made)
        shutil.copytree(self.judged, store)
        run = self.run(store, executor)
        start = time.perf_counter()
        run.get("discover", **WHAT)
        return time.perf_counter() - start


@dataclass
class Noting:
    """An executor that notes when the first unit of all came back."""

    executor: Executor
    first: list[float] = field(default_factory=list)

    def __call__(self, work: Any, units: Iterable[Any], load: Any) -> Iterator[Any]:
        for done in self.executor(work, units, load):
            self.first.append(time.perf_counter())
            yield done


def _by_ray(discovery: Discovery, count: int, runs: int) -> tuple[float, list[float]]:
    """Seconds from nothing until the first unit is back, and of each discovery after the first."""
    from diptych.run.ray import RayWorkers

    start = time.perf_counter()
    with RayWorkers(count) as workers:
        noting = Noting(workers)
        seconds = discovery.all(noting, runs)
    return noting.first[0] - start, seconds
