"""Outcomes: the cells of a study, one after the other; one that fails does not stop the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from diptych.errors import DiptychError
from diptych.items import Task
from diptych.result import Result
from diptych.run.folder import Folder
from diptych.run.progress import Progress, silent
from diptych.run.run import Run
from diptych.run.serial import in_process
from diptych.run.source import ModelSource, load_model
from diptych.run.store import Store
from diptych.run.study import Cell, Named, Study
from diptych.run.unit import Executor
from diptych.tasks import make_task

if TYPE_CHECKING:
    from diptych.models import VLM


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its result, or why there is none."""

    cell: Cell
    result: Result | None = None
    reason: str = ""


@dataclass(frozen=True)
class Planned:
    """A cell with the run that answers it, or the reason why there is none."""

    cell: Cell
    run: Run | None = None
    reason: str = ""

    @cached_property
    def folder(self) -> Folder | None:
        """The folder that the result has or would have."""
        if self.run is None:
            return None
        return self.run.folder(self.cell.experiment.name, **self.cell.experiment.parameters)

    @property
    def complete(self) -> bool:
        """Whether the result is stored."""
        return self.folder is not None and self.folder.complete

    def outcome(self) -> Outcome:
        """The result, stored or computed; a failure is an outcome too."""
        if self.run is None:
            return Outcome(self.cell, reason=self.reason)
        try:
            return Outcome(self.cell, self.run.get(self.cell.experiment.name, **self.cell.experiment.parameters))
        except Exception as error:  # also of torch, or of a user's file: the other cells need not fail
            return Outcome(self.cell, reason=reason_of(error))


@dataclass(frozen=True)
class Driver:
    """What the cells of a study are run with; `load` and `executor` as in `Run`."""

    store: Store
    progress: Progress = silent
    executor: Executor = in_process
    load: "Callable[[ModelSource], VLM]" = load_model

    def plan(self, study: Study) -> list[Planned]:
        """All cells, none computed: tasks are made and models found, not loaded."""
        found = []
        for (source, task), cells in groupby(study.cells(), key=lambda cell: cell.pair):
            run, reason = self._try_handle(source, task, study.batch_size)
            found += [Planned(cell, run, reason) for cell in cells]
        return found

    def outcomes(self, study: Study, shard: tuple[int, int] = (1, 1)) -> Iterator[Outcome]:
        """Get the result of each cell of the share, in order; one that fails does not stop the others."""
        cells = study.cells(shard)
        return self.follow([planned for planned in self.plan(study) if planned.cell in cells])

    def follow(self, plan: Sequence[Planned]) -> Iterator[Outcome]:
        """The outcome of each cell, in order."""
        with self.progress("cells", 0, len(plan)) as told:
            for done, planned in enumerate(plan, 1):
                yield planned.outcome()
                told(done)

    def handle(self, source: ModelSource, task: Task, batch_size: int) -> Run:
        """The run of a model and a task."""
        loading = {name: value for name, value in asdict(source).items() if name != "name"}
        return Run(
            source.name,
            task,
            store=self.store,
            progress=self.progress,
            executor=self.executor,
            load=self.load,
            batch_size=batch_size,
            **loading,
        )

    def _try_handle(self, source: ModelSource, task: Named, batch_size: int) -> tuple[Run | None, str]:
        try:
            run = self.handle(source, make_task(task.name, **task.parameters), batch_size)
            _ = run.source.fingerprint  # which weights these are: they may be nowhere
        except Exception as error:  # a task may be a user's code, or come from the network
            return None, reason_of(error)
        return run, ""


def reason_of(error: Exception) -> str:
    """Why a cell has no result: the message of an error of ours, and the kind of any other."""
    return str(error) if isinstance(error, DiptychError) else f"{type(error).__name__}: {error}"
