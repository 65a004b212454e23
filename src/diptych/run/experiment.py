"""An experiment as a run sees it: a function with a version, the experiments it uses, and checked parameters."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from diptych.errors import InputError
from diptych.parameters import Parameters, identified
from diptych.registry import file_digest, find, module_of


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
        return self._signature.all()

    def bind(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """All parameters, defaults included: as the function's types, and as plain JSON for the identity.

        Raises `InputError` for one that is unknown, missing, or not of its annotated type.
        """
        return self._signature.bind(given)

    @property
    def _signature(self) -> Parameters:
        form = f"def {self.name}(run: Run, *, ...) -> Finding"
        return Parameters(f"experiment '{self.name}'", self.function, form, supplied=1)
