"""An experiment as a run sees it: a function with a version, the experiments it uses, and checked parameters."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from diptych.errors import InputError
from diptych.registry import file_digest, find, module_of

SEVERAL = {"tuple_type", "list_type", "set_type", "frozen_set_type", "sequence_str", "is_instance_of"}
"""Pydantic's names for: several values were expected."""


@dataclass(frozen=True)
class Experiment:
    """`function(run, *, parameters...)`, its hand-bumped `version`, and the names of experiments it gets (`uses`)."""

    name: str
    function: Callable[..., Any]
    version: int
    uses: tuple[str, ...]
    code: str

    @classmethod
    def find(cls, name: str) -> "Experiment":
        """The shipped experiment of this name, or the one in a user's `.py` file."""
        function = find("experiment", name)
        module = module_of(function)
        version = getattr(module, "VERSION", None)
        if not isinstance(version, int):
            raise InputError(
                f"Experiment '{name}' has VERSION {version!r}; expected a whole number. Write `VERSION = 1` in its file "
                f"and raise it whenever its numbers change, so that old results are not taken for new ones."
            )
        code = file_digest(name) if name.endswith(".py") else ""
        return cls(function.__name__, function, version, tuple(getattr(module, "USES", ())), code)

    def versions(self) -> dict[str, int]:
        """Version of each experiment this one builds on, directly or not; a user's file is named by its digest too."""
        found: dict[str, int] = {}
        waiting = list(self.uses)
        while waiting:
            name = waiting.pop()
            if identified(name) not in found:
                used = Experiment.find(name)
                found[identified(name)] = used.version
                waiting.extend(used.uses)
        return found

    def parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters by name, without the run, which comes first; raises `InputError` if they cannot be checked."""
        try:
            first, *others = inspect.signature(self.function, eval_str=True).parameters.values()
        except Exception as error:  # annotations written as text are evaluated here, and may raise anything
            raise InputError(
                f"The signature of experiment '{self.name}' cannot be read: {error}. Expected "
                f"`def {self.name}(run: Run, *, ...) -> Finding`, with the names in it imported at the top of its file."
            ) from error
        unnamed = [str(other) for other in (first, *others) if other.kind in (other.VAR_POSITIONAL, other.VAR_KEYWORD)]
        if unnamed:
            raise InputError(
                f"Experiment '{self.name}' takes {', '.join(unnamed)}, which cannot be checked. Name each parameter."
            )
        return {other.name: other for other in others}

    def bind(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """All parameters, defaults included: as the function's types, and as plain JSON for the identity.

        Raises `InputError` for one that is unknown, missing, or not of its annotated type.
        """
        parameters = self.parameters()
        unknown = sorted(set(given) - set(parameters))
        if unknown:
            known = ", ".join(parameters) or "none"
            raise InputError(
                f"Experiment '{self.name}' has no parameter {', '.join(map(repr, unknown))}. Known: {known}."
            )
        values, plain = {}, {}
        for name, parameter in parameters.items():
            values[name], plain[name] = self._check(parameter, given.get(name, parameter.default))
        return values, plain

    def _check(self, parameter: inspect.Parameter, value: Any) -> tuple[Any, Any]:
        if value is parameter.empty:
            raise InputError(
                f"Experiment '{self.name}' needs a value for '{parameter.name}'. Give {parameter.name}=..."
            )
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(
                Any if parameter.annotation is parameter.empty else parameter.annotation
            )
            checked = _validate(adapter, value)
            plain = identified(adapter.dump_python(checked, mode="json"))
            # pydantic writes nan as null, which is another value
            json.dumps(adapter.dump_python(checked), allow_nan=False, default=str, skipkeys=True)
        except (PydanticUserError, ValueError) as error:
            raise InputError(
                f"Parameter {parameter.name}={value!r} of experiment '{self.name}' cannot be used: {_reason(error)}."
            ) from error
        return checked, plain


def identified(value: Any) -> Any:
    """A plain value as it counts in an identity: a `.py` file is its name and the digest of its text, wherever it lies."""
    if isinstance(value, str) and value.endswith(".py") and Path(value).is_file():
        return f"{Path(value).name} {file_digest(value)}"
    if isinstance(value, list):
        return [identified(entry) for entry in value]
    return {key: identified(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def _validate(adapter: TypeAdapter[Any], value: Any) -> Any:
    """The value as the annotated type; where several are expected, a text is read as values with commas between."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        if not isinstance(value, str) or not any(wrong["type"] in SEVERAL for wrong in error.errors()):
            raise
    return adapter.validate_python([part.strip() for part in value.split(",")])


def _reason(error: Exception) -> str:
    """What was expected; of several values, also which one is wrong."""
    if not isinstance(error, ValidationError):
        return str(error).partition("\n")[0]
    reasons = [wrong["msg"] + f" (got {wrong['input']!r})" * bool(wrong["loc"]) for wrong in error.errors()]
    return "; ".join(dict.fromkeys(reasons))
