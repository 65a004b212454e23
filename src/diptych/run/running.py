"""Running: an experiment that is being computed, and what it has used so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diptych.errors import InputError
from diptych.run.experiment import Experiment
from diptych.run.folder import Folder


@dataclass
class Running:
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
