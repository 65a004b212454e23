"""A study: models × tasks × experiments × seeds, the same as a file, a Python value and a command."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field
from functools import cache
from itertools import product
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from diptych.errors import InputError
from diptych.run.experiment import Experiment
from diptych.run.identity import canonical
from diptych.run.source import ModelSource
from diptych.tasks import task_parameters

STRICT = ConfigDict(extra="forbid")


def named(value: Any) -> Any:
    """A bare name is a model, task or experiment without options."""
    return {"name": value} if isinstance(value, str) else value


def several(value: Any) -> Any:
    """One value where several are expected is one of them; a text is read as values with commas between."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if isinstance(value, list | tuple) else [value]


@dataclass(frozen=True, config=STRICT)
class Named:
    """A task or an experiment: its name or the path of its `.py` file, and the parameters that are not its defaults."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.name} ({given})" if given else self.name


@dataclass(frozen=True, config=STRICT)
class Cell:
    """One `run.get` of a study."""

    source: ModelSource
    task: Named
    experiment: Named

    @property
    def pair(self) -> tuple[ModelSource, Named]:
        """The model and the task: cells that share both share what they compute on the way."""
        return self.source, self.task

    def __str__(self) -> str:
        return f"{self.source.name} · {self.task} · {self.experiment}"


@dataclass(frozen=True, config=STRICT)
class Study:
    """Every experiment on every task with every model, for every seed if the experiment takes one.

    `models`: names, or names with the options of `diptych.load`; `tasks` and `experiments`: names, or names with
    `parameters`. Without `seeds`, experiments have their default. Raises `InputError` for what cannot be run.
    """

    models: Annotated[
        tuple[Annotated[ModelSource, BeforeValidator(named)], ...], BeforeValidator(several), Field(min_length=1)
    ]
    tasks: Annotated[
        tuple[Annotated[Named, BeforeValidator(named)], ...], BeforeValidator(several), Field(min_length=1)
    ]
    experiments: Annotated[
        tuple[Annotated[Named, BeforeValidator(named)], ...], BeforeValidator(several), Field(min_length=1)
    ]
    seeds: Annotated[tuple[int, ...], BeforeValidator(several)] = ()
    batch_size: Annotated[int, Field(ge=1)] = 16
    name: str = "study"

    @model_validator(mode="wrap")
    @classmethod
    def _told_in_one_way(cls, given: Any, validate: Any) -> Any:
        """Errors of pydantic as ours."""
        try:
            return validate(given)
        except ValidationError as error:
            wrong = "; ".join(_wrong(one) for one in error.errors())
            raise InputError(f"The study cannot be used: {wrong}. See docs/guide/studies.md.") from error

    def __post_init__(self) -> None:
        for task in self.tasks:
            task_parameters(task.name).bind(task.parameters)
        for experiment in self.experiments:
            if self.seeds and "seed" in experiment.parameters:
                raise InputError(
                    f"Experiment {experiment} has a seed of its own in a study with seeds {list(self.seeds)}. "
                    f"Give the seeds in one place."
                )
        for cell in self.cells():
            _experiment(cell.experiment.name).bind(cell.experiment.parameters)

    def cells(self, shard: tuple[int, int] = (1, 1)) -> list[Cell]:
        """The units of the study, those of one model together.

        `shard`: (i, n) is the i-th of n shares, from 1. A pair of model and task is in one share: nothing is done twice.
        Raises `InputError` for a share that does not exist.
        """
        share, shares = shard
        if not 1 <= share <= shares:
            raise InputError(f"Shard {share}/{shares} does not exist. Expected i/n with i from 1 to n, such as 1/4.")
        pairs = list(product(self.models, self.tasks))[share - 1 :: shares]
        return [Cell(model, task, experiment) for model, task in pairs for experiment in self._seeded()]

    def to_json(self) -> dict[str, Any]:
        """All fields with their defaults, as a study file has them."""
        plain: dict[str, Any] = TypeAdapter(Study).dump_python(self, mode="json")
        return plain

    def digest(self) -> str:
        """12 hex digits of all fields."""
        return hashlib.sha256(canonical(self.to_json()).encode()).hexdigest()[:12]

    def _seeded(self) -> Iterator[Named]:
        for experiment in self.experiments:
            seeded = self.seeds and "seed" in _experiment(experiment.name).parameters()
            for seed in self.seeds if seeded else (None,):
                more: Mapping[str, Any] = {} if seed is None else {"seed": seed}
                yield Named(experiment.name, {**experiment.parameters, **more})


def loading(source: ModelSource) -> dict[str, Any]:
    """How the model is loaded, besides its name, as `Run` takes it."""
    return {name: value for name, value in asdict(source).items() if name != "name"}


@cache
def _experiment(name: str) -> Experiment:
    return Experiment.find(name)


def _wrong(one: Any) -> str:
    """An error of pydantic: where it is, what was expected, and what is there; nothing is where a value is missing."""
    got = "" if one["type"].startswith("missing") else f" (got {one['input']!r})"
    return f"{_place(one['loc'])}: {one['msg']}{got}"


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "the whole"
