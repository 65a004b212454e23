"""An experiment as a run sees it: a function with a version, the experiments it uses, and checked parameters."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from diptych.errors import InputError
from diptych.registry import find, module_of


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
        code = hashlib.sha256(Path(name).read_bytes()).hexdigest()[:12] if name.endswith(".py") else ""
        return cls(function.__name__, function, version, tuple(getattr(module, "USES", ())), code)

    def versions(self) -> dict[str, int | str]:
        """Version of each experiment this one builds on, directly or not; a user's file counts by its digest too."""
        found: dict[str, int | str] = {}
        waiting = list(self.uses)
        while waiting:
            name = waiting.pop()
            if name not in found:
                used = Experiment.find(name)
                found[name] = f"{used.version} {used.code}" if used.code else used.version
                waiting.extend(used.uses)
        return found

    def bind(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """All parameters, defaults included: as the function's types, and as plain JSON for the identity.

        Raises `InputError` for one that is unknown, missing, or not of its annotated type.
        """
        parameters = self._parameters()
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

    def _parameters(self) -> dict[str, inspect.Parameter]:
        try:
            signature = inspect.signature(self.function, eval_str=True)
        except NameError as error:
            raise InputError(
                f"The annotations of experiment '{self.name}' cannot be read: {error}. Import the name at the top of its file."
            ) from error
        return dict(list(signature.parameters.items())[1:])  # the first is the run

    def _check(self, parameter: inspect.Parameter, value: Any) -> tuple[Any, Any]:
        if value is inspect.Parameter.empty:
            raise InputError(
                f"Experiment '{self.name}' needs a value for '{parameter.name}'. Give {parameter.name}=..."
            )
        adapter: TypeAdapter[Any] = TypeAdapter(
            Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation
        )
        try:
            checked = adapter.validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise InputError(
                f"Parameter {parameter.name}={value!r} of experiment '{self.name}' cannot be used: {reason}."
            ) from error
        return checked, adapter.dump_python(checked, mode="json")
