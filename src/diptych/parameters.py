"""Parameters of a function that is called by name: each given value is checked against its annotation first."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from diptych.errors import InputError
from diptych.registry import file_digest

SEVERAL = {"tuple_type", "list_type", "set_type", "frozen_set_type", "sequence_str", "is_instance_of"}
"""Pydantic's names for: several values were expected."""


@dataclass(frozen=True)
class Parameters:
    """What a user may give to `function`; `title` names it in messages, `form` is how its first line should look.

    `supplied`: how many leading parameters the package gives itself.
    """

    title: str
    function: Callable[..., Any]
    form: str
    supplied: int = 0

    def all(self) -> dict[str, inspect.Parameter]:
        """The parameters by name; raises `InputError` if they cannot be checked."""
        try:
            every = list(inspect.signature(self.function, eval_str=True).parameters.values())
            if len(every) < self.supplied:
                raise TypeError(f"it takes {len(every)} arguments, but is given {self.supplied}")
        except Exception as error:  # annotations written as text are evaluated here, and may raise anything
            raise InputError(
                f"The signature of {self.title} cannot be read: {error}. Expected `{self.form}`, with the names in it "
                f"imported at the top of its file."
            ) from error
        unnamed = [str(other) for other in every if other.kind in (other.VAR_POSITIONAL, other.VAR_KEYWORD)]
        if unnamed:
            raise InputError(
                f"{self._opening} takes {', '.join(unnamed)}, which cannot be checked. Name each parameter."
            )
        return {other.name: other for other in every[self.supplied :]}

    def bind(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """All parameters, defaults included: as the function's types, and as plain JSON for an identity.

        Raises `InputError` for one that is unknown, missing, or not of its annotated type.
        """
        parameters = self.all()
        unknown = sorted(set(given) - set(parameters))
        if unknown:
            known = ", ".join(parameters) or "none"
            raise InputError(f"{self._opening} has no parameter {', '.join(map(repr, unknown))}. Known: {known}.")
        values, plain = {}, {}
        for name, parameter in parameters.items():
            values[name], plain[name] = self._check(parameter, given.get(name, parameter.default))
        return values, plain

    def _check(self, parameter: inspect.Parameter, value: Any) -> tuple[Any, Any]:
        if value is parameter.empty:
            raise InputError(f"{self._opening} needs a value for '{parameter.name}'. Give {parameter.name}=...")
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
                f"Parameter {parameter.name}={value!r} of {self.title} cannot be used: {_reason(error)}."
            ) from error
        return checked, plain

    @property
    def _opening(self) -> str:
        return self.title[0].upper() + self.title[1:]


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
