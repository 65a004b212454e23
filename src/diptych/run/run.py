"""The run: one model and one task, whose experiments are answered by the store or computed."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from diptych.errors import Damaged, DiptychError, InputError
from diptych.figures import Figure
from diptych.items import Task
from diptych.result import Result, Row
from diptych.run.experiment import Experiment
from diptych.run.folder import Folder
from diptych.run.identity import Identity
from diptych.run.progress import Progress, silent
from diptych.run.running import Running
from diptych.run.serial import in_process
from diptych.run.source import ModelSource, load_model
from diptych.run.store import Store
from diptych.run.unit import AT_ONCE, Executor, Unit, Values, Work

if TYPE_CHECKING:
    from torch import Tensor

    from diptych.models import VLM


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What an experiment returns: the fields of a `Result` without identity, and named tensors to store beside it."""

    summary: str
    rows: Sequence[Row]
    conditions: Mapping[str, str | float | int | bool | None]
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    grids: "Mapping[str, Tensor]" = field(default_factory=dict)

    def as_result(self, identity: Mapping[str, Any]) -> Result:
        """The result with this identity; grids by name."""
        return Result(identity, self.summary, self.rows, self.conditions, self.figures, tuple(self.grids), self.notes)


class Run:
    """A handle on one model and one task: `get` an experiment's result; inside experiments, `map` work over units.

    `loading` is passed to the model's loader: `revision`, `dtype`, `device_map`, `offload_folder`, `quantisation`,
    `attention`, `pixels` and `system` (see `diptych.load`). `batch_size` is for experiments to read, and changes no number.
    """

    def __init__(
        self,
        model: str,
        task: Task,
        *,
        store: Store,
        progress: Progress | None = None,
        batch_size: int = 16,
        executor: Executor = in_process,
        load: "Callable[[ModelSource], VLM]" = load_model,
        **loading: Any,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; expected at least 1.")
        self.task = task
        self.store = store
        self.batch_size = batch_size
        self.source = ModelSource(model, **loading)
        self._progress = progress or silent
        self._executor = executor
        self._load: Callable[[], VLM] = partial(load, self.source)
        self._stack: list[Running] = []
        self._asked: dict[str, tuple[str, Mapping[str, Any]]] = {}

    @property
    def vlm(self) -> "VLM":
        """The model, loaded on first use."""
        return self._load()

    def get(self, experiment: str, **parameters: Any) -> Result:
        """The stored result of an experiment, else its computed one.

        `experiment`: a shipped name or the path of a `.py` file. Raises `InputError` for an unknown name or parameter.
        """
        asked = Experiment.find(experiment)
        values, plain = asked.bind(parameters)
        identity = self._identify(asked, plain)
        self._note_use(asked, identity)
        folder = self.store.open(identity)
        self._asked[identity.digest] = (experiment, parameters)
        if (stored := folder.stored()) is not None:
            return stored
        for reason in self.store.superseded(identity):
            log.warning("%s", reason)
        running = Running(asked, folder, self._stage(asked, parameters), parameters, plain)
        return self._compute(running, identity, values)

    def folder(self, experiment: str, **parameters: Any) -> Folder:
        """The folder that the result of an experiment has or would have; nothing is computed or made."""
        asked = Experiment.find(experiment)
        return Folder(self.store.root / self._identify(asked, asked.bind(parameters)[1]).path)

    def grids(self, result: Result) -> "dict[str, Tensor]":
        """The named tensors stored beside a result; damaged ones of a result of this run are computed again."""
        folder = self.store.folder(result)
        asked = self._asked.get(str(result.identity["digest"]))
        try:
            return folder.grids()
        except Damaged as error:
            if asked is None:
                raise
            folder.reopen(str(error))
        self.get(asked[0], **asked[1])
        return folder.grids()

    def map(self, work: Work, units: Iterable[Unit], *, name: str = "values") -> Iterator[tuple[Unit, Values]]:
        """Do `work(vlm, unit.payload)` for each unit that the store lacks; yield every unit's values in the given order.

        Each unit is stored when it finishes, so a run that is interrupted goes on where it was. `name` tells the maps of
        one experiment apart.
        """
        running = self._running_map(name)
        listed = _distinct(units, name)
        missing = {unit.id: unit for unit in listed if not running.folder.has_unit(name, unit.id)}
        return self._map(running, work, listed, missing, name)

    def _map(
        self, running: Running, work: Work, listed: Sequence[Unit], missing: dict[str, Unit], name: str
    ) -> Iterator[tuple[Unit, Values]]:
        stage = f"{running.stage} · {name}"
        if len(missing) < len(listed):
            running.folder.note(f"{stage}: {len(listed) - len(missing)} of {len(listed)} units were stored")
        finished = self._executor(work, _still_missing(missing, running.folder, name), self._load)
        with self._progress(stage, len(listed) - len(missing), len(listed)) as told:
            # in order and as read from the store: sums come out the same for any executor, fresh or resumed
            for unit in listed:
                while unit.id in missing:
                    _store_next(finished, unit, running, missing, name)
                    running.folder.note(f"{stage}: {len(listed) - len(missing)} of {len(listed)} units")
                    told(len(listed) - len(missing))
                values = running.folder.unit(name, unit.id)
                if (at_once := values.pop(AT_ONCE, None)) is not None:
                    running.at_once.append(int(at_once))
                yield unit, values

    def _compute(self, running: Running, identity: Identity, values: Mapping[str, Any]) -> Result:
        self._stack.append(running)
        try:
            finding = running.experiment.function(self, **values)
        except BaseException as error:
            running.folder.note(f"ended by {type(error).__name__}: {error}")
            if isinstance(error, DiptychError):
                running.folder.abandon()
            raise
        finally:
            self._stack.pop()
        if not isinstance(finding, Finding):
            raise InputError(
                f"Experiment '{running.experiment.name}' returned {type(finding).__name__}; expected `diptych.run.Finding`."
            )
        noted = replace(finding, notes=[*finding.notes, *running.shortage(self.batch_size)])
        running.require_unchanged()
        result = noted.as_result({**identity.to_json(), "inputs": running.inputs})
        stored = running.folder.finish(result, finding.grids)
        running.folder.note(f"finished: {stored.summary}")
        return stored

    def _identify(self, experiment: Experiment, parameters: Mapping[str, Any]) -> Identity:
        return Identity(
            experiment=experiment.name,
            version=experiment.version,
            uses=experiment.versions(),
            code=experiment.code,
            parameters=parameters,
            model=self.source.label,
            revision=self.source.fingerprint,
            dtype=self.source.dtype,
            loaded=self.source.options,
            task=self.task.name,
            task_digest=self.task.digest(),
        )

    def _note_use(self, used: Experiment, identity: Identity) -> None:
        """Record a result as an input of the experiment that asks for it, if one does."""
        if not self._stack:
            return
        user = self._stack[-1]
        if used.name not in {Experiment.find(name).name for name in user.experiment.uses}:
            raise InputError(
                f"Experiment '{user.experiment.name}' gets '{used.name}' without saying so. "
                f"Write `USES = ('{used.name}',)` beside its VERSION, so that it is computed anew when '{used.name}' changes."
            )
        entry = {"experiment": used.name, "digest": identity.digest}
        if entry not in user.inputs:
            user.inputs.append(entry)

    def _stage(self, experiment: Experiment, given: Mapping[str, Any]) -> str:
        options = ", ".join(f"{name}={value}" for name, value in given.items())
        return f"{self.task.name} · {experiment.name}{f' ({options})' if options else ''}"

    def _running_map(self, name: str) -> Running:
        if not self._stack:
            raise InputError(
                "`run.map` stores units in an experiment's folder. Call it inside an experiment, from `run.get`."
            )
        running = self._stack[-1]
        if name in running.maps:
            raise InputError(
                f"Experiment '{running.experiment.name}' has two maps named '{name}'. Give each its own name."
            )
        running.maps.add(name)
        return running


def _store_next(
    finished: Iterator[tuple[Unit, Values]], wanted: Unit, running: Running, missing: dict[str, Unit], name: str
) -> None:
    """Store the unit that is finished next; `wanted` is missing no more if another driver has stored it meanwhile."""
    one = next(finished, None)
    if one is not None:
        running.require_unchanged()
        running.folder.add_unit(name, one[0].id, one[1])
        del missing[one[0].id]
    elif wanted.id in missing:
        raise RuntimeError(f"The executor ended without unit '{wanted.id}'; it must yield each that it takes.")


def _still_missing(missing: dict[str, Unit], folder: Folder, name: str) -> Iterator[Unit]:
    """Units as workers ask for them; one that another driver has stored by then is missing no more."""
    for unit in list(missing.values()):
        if folder.has_unit(name, unit.id):
            del missing[unit.id]
        else:
            yield unit


def _distinct(units: Iterable[Unit], name: str) -> list[Unit]:
    listed = list(units)
    twice = sorted(unit_id for unit_id, count in Counter(unit.id for unit in listed).items() if count > 1)
    if twice:
        raise InputError(f"Map '{name}' has several units with the ids {twice[:5]}. Each needs its own.")
    return listed
