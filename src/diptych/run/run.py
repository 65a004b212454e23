"""The run: one model and one task, whose experiments are answered by the store or computed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from diptych.errors import DiptychError, InputError
from diptych.items import Task
from diptych.result import Figure, Result, Row
from diptych.run.experiment import Experiment
from diptych.run.identity import Identity
from diptych.run.progress import Progress, silent
from diptych.run.serial import in_process
from diptych.run.source import ModelSource, load_model
from diptych.run.store import Folder, Store
from diptych.run.unit import AT_ONCE, Executor, Unit, Values, Work

if TYPE_CHECKING:
    from torch import Tensor

    from diptych.models import VLM


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


@dataclass
class _Running:
    """An experiment that is being computed: what it may use, and what it has used."""

    experiment: Experiment
    folder: Folder
    stage: str
    given: Mapping[str, Any]
    plain: Mapping[str, Any]
    inputs: list[dict[str, str]] = field(default_factory=list)
    maps: set[str] = field(default_factory=set)
    at_once: list[int] = field(default_factory=list)

    def shortage(self, batch_size: int) -> list[str]:
        """A note if memory was too short for some batches."""
        if not self.at_once:
            return []
        return [
            f"Memory was too short for batches of {batch_size}: {len(self.at_once)} of them were done in parts, the "
            f"smallest of {min(self.at_once)}. The numbers do not depend on it."
        ]

    def require_unchanged(self) -> None:
        """Raise `InputError` if a file that a parameter names has another text now: what follows may be of either."""
        _, now = self.experiment.bind(self.given)
        changed = [name for name in now if now[name] != self.plain[name]]
        if changed:
            raise InputError(
                f"The file that parameter '{changed[0]}' names was changed while '{self.experiment.name}' was running. "
                f"All that is stored is of the old text; give the same command again for the new one."
            )


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
        self._stack: list[_Running] = []

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
        if folder.complete:
            return folder.result()
        running = _Running(asked, folder, self._stage(asked, parameters), parameters, plain)
        return self._compute(running, identity, values)

    def folder(self, experiment: str, **parameters: Any) -> Folder:
        """The folder that the result of an experiment has or would have; nothing is computed or made."""
        asked = Experiment.find(experiment)
        return Folder(self.store.root / self._identify(asked, asked.bind(parameters)[1]).path)

    def grids(self, result: Result) -> "dict[str, Tensor]":
        """The named tensors stored beside a result."""
        return self.store.folder(result).grids()

    def map(self, work: Work, units: Iterable[Unit], *, name: str = "values") -> Iterator[tuple[Unit, Values]]:
        """Do `work(vlm, unit.payload)` for each unit that the store lacks; yield every unit's values in the given order.

        Each unit is stored when it finishes, so a run that is interrupted goes on where it was. `name` tells the maps of
        one experiment apart.
        """
        running = self._running_map(name)
        listed = _distinct(units, name)
        missing = [unit for unit in listed if not running.folder.has_unit(name, unit.id)]
        return self._map(running, work, listed, missing, name)

    def _map(
        self, running: _Running, work: Work, listed: Sequence[Unit], missing: Sequence[Unit], name: str
    ) -> Iterator[tuple[Unit, Values]]:
        done = len(listed) - len(missing)
        waiting = {unit.id for unit in missing}
        finished = self._executor(work, missing, self._load)
        stage = f"{running.stage} · {name}"
        self._progress(stage, done, len(listed))
        for (
            unit
        ) in listed:  # in order and as read from the store: sums come out the same for any executor, fresh or resumed
            while unit.id in waiting:
                other, values = next(finished)
                running.require_unchanged()
                running.folder.add_unit(name, other.id, values)
                waiting.discard(other.id)
                self._progress(stage, len(listed) - len(waiting), len(listed))
            values = running.folder.unit(name, unit.id)
            if (at_once := values.pop(AT_ONCE, None)) is not None:
                running.at_once.append(int(at_once))
            yield unit, values

    def _compute(self, running: _Running, identity: Identity, values: Mapping[str, Any]) -> Result:
        self._stack.append(running)
        try:
            finding = running.experiment.function(self, **values)
        except DiptychError:
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
        return running.folder.finish(result, finding.grids)

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

    def _running_map(self, name: str) -> _Running:
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


def _distinct(units: Iterable[Unit], name: str) -> list[Unit]:
    listed = list(units)
    twice = sorted(unit_id for unit_id, count in Counter(unit.id for unit in listed).items() if count > 1)
    if twice:
        raise InputError(f"Map '{name}' has several units with the ids {twice[:5]}. Each needs its own.")
    return listed
