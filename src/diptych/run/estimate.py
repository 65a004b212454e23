"""Estimate: what a study's cells will take, from the same experiments on a few items of one task."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from diptych.items import SPLITS, Item, Task
from diptych.run.outcomes import Driver, Planned, reason_of
from diptych.run.progress import silent
from diptych.run.run import Run
from diptych.run.serial import in_process
from diptych.run.source import ModelSource
from diptych.run.store import Store
from diptych.run.study import Named
from diptych.run.unit import Unit, Values, Work

if TYPE_CHECKING:
    from diptych.models import VLM

ITEMS = 12
"""Items per split of a rehearsal."""


@dataclass(frozen=True)
class Cost:
    """Prompts that pass the decoder, the seconds of units, and the seconds between them (statistics)."""

    forwards: float
    working: float
    between: float

    @property
    def seconds(self) -> float:
        return self.working + self.between

    def times(self, ratio: float) -> "Cost":
        """With so many times the items: the units grow with them, what is between does not."""
        return Cost(self.forwards * ratio, self.working * ratio, self.between)


@dataclass(frozen=True)
class Impossible:
    """Why a cell cannot be run at all: its model or its task is not there, or the model cannot be loaded."""

    reason: str


Guess = Cost | Impossible | str
"""What a cell will take; why it cannot be run; or why its rehearsal failed, which may be for want of items."""


class Clock:
    """Works in this process, and adds up the seconds that the work takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, work: Work, units: Iterable[Unit], load: "Callable[[], VLM]") -> Iterator[tuple[Unit, Values]]:
        finished = in_process(work, units, load)
        while True:
            start = time.perf_counter()
            one = next(finished, None)
            self.seconds += time.perf_counter() - start
            if one is None:
                return
            yield one


@dataclass(frozen=True)
class Rehearsal:
    """Experiments on a few items of each model's first task; nothing of it is kept."""

    driver: Driver
    batch_size: int

    def costs(self, plan: Sequence[Planned]) -> list[Guess]:
        """What each cell will take if nothing of it is stored, or why that is unknown."""
        found: list[Guess] = []
        for source, group in groupby(plan, key=lambda planned: planned.cell.source):
            own = list(group)
            costs = self._rehearse(source, own)
            found += [costs(planned) for planned in own]
        return found

    def _rehearse(self, source: ModelSource, plan: Sequence[Planned]) -> "Callable[[Planned], Guess]":
        """The cost of a cell, from those of its experiment on a part of the first task that there is."""
        whole = next((planned.run.task for planned in plan if planned.run), None)
        if whole is None:
            return lambda planned: Impossible(planned.reason)
        few = part(whole, ITEMS)
        experiments = {_kind(planned.cell.experiment): planned.cell.experiment for planned in plan}
        measured = self._measure(source, few, experiments)

        def cost(planned: Planned) -> Guess:
            if planned.run is None:
                return Impossible(planned.reason)
            found = measured[_kind(planned.cell.experiment)]
            return found.times(len(planned.run.task.items) / len(few.items)) if isinstance(found, Cost) else found

        return cost

    def _measure(self, source: ModelSource, task: Task, experiments: Mapping[str, Named]) -> dict[str, Guess]:
        with tempfile.TemporaryDirectory() as folder:
            clock = Clock()
            driver = replace(self.driver, store=Store(Path(folder)), progress=silent, executor=clock)
            run = driver.handle(source, task, self.batch_size)
            try:
                vlm = run.vlm  # before the clock runs: loading is no part of the rate
            except Exception as error:  # of this model: others can be rehearsed
                return dict.fromkeys(experiments, Impossible(reason_of(error)))
            return {kind: _measured(run, vlm, clock, experiment) for kind, experiment in experiments.items()}


def part(task: Task, per_split: int) -> Task:
    """The first items of each split by hash, of the largest groups, so that most have a counterfactual among them."""
    sizes = Counter(item.group for item in task.items)

    def order(item: Item) -> tuple[int, str, int]:
        return -sizes[item.group], item.group, task.fold(item, len(task.items))

    kept = [replace(item, split=split) for split in SPLITS for item in sorted(task.split(split), key=order)[:per_split]]
    return replace(task, items=tuple(kept))


@contextmanager
def counted(vlm: "VLM") -> Iterator[list[int]]:
    """While open, the number of prompts of each whole pass through the decoder is noted."""
    seen: list[int] = []
    handle = vlm.sites.decoder.register_forward_hook(lambda module, args, output: seen.append(len(output[0])))
    try:
        yield seen
    finally:
        handle.remove()


def _measured(run: Run, vlm: "VLM", clock: Clock, experiment: Named) -> Cost | str:
    start, worked = time.perf_counter(), clock.seconds
    try:
        with counted(vlm) as seen:
            run.get(experiment.name, **experiment.parameters)
    except Exception as error:  # also of a user's file: the others can be rehearsed
        return f"on {len(run.task.items)} items: {reason_of(error)}"
    working = clock.seconds - worked
    return Cost(sum(seen), working, time.perf_counter() - start - working)


def _kind(experiment: Named) -> str:
    """What takes the same time: whatever the seed."""
    return str(Named(experiment.name, {k: v for k, v in experiment.parameters.items() if k != "seed"}))
