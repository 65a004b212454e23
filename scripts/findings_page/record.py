"""The record of the findings as the page reads it: every cell of the studies, and how they were made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diptych.statistics import holm

Entry = Mapping[str, Any]
LEVEL = 0.05


@dataclass(frozen=True)
class Record:
    """`made`: when, with what, how long. `results`: one entry per cell; those with `refused` have no numbers."""

    made: Mapping[str, Any]
    results: Sequence[Entry]

    def asked(self, experiment: str) -> list[Entry]:
        """All cells of an experiment, in the order of the studies."""
        return [one for one in self.results if one["experiment"] == experiment]

    def of(self, experiment: str) -> list[Entry]:
        """Those that have a result."""
        return [one for one in self.asked(experiment) if "kept" in one]

    def kept(self, experiment: str) -> dict[tuple[str, str], Mapping[str, Any]]:
        """(model, task) → what is kept of an experiment that is asked for once per pair."""
        return {pair(one): one["kept"] for one in self.of(experiment)}

    def panels(self, experiment: str) -> dict[tuple[str, str], dict[str, Mapping[str, Any]]]:
        """(model, task) → panel → what is kept of an experiment that is asked for each panel."""
        found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
        for one in self.of(experiment):
            found.setdefault(pair(one), {})[one["kept"]["panel"]] = one["kept"]
        return found

    def count(self, experiment: str) -> int:
        """How many pairs of model and task an experiment is asked for."""
        return len({pair(one) for one in self.asked(experiment)})

    def refused(self, experiments: Sequence[str]) -> Iterator[str]:
        """A line for each cell that has no result, with the reason."""
        for experiment in experiments:
            for one in self.asked(experiment):
                if "refused" in one:
                    yield f"{name(pair(one))}, `{experiment}`: {one['refused']}"

    def models(self) -> list[str]:
        return list(dict.fromkeys(pair(one)[0] for one in self.results))


def pair(entry: Entry) -> tuple[str, str]:
    """Short name of the model, and the task."""
    return entry["model"].removeprefix("organism/"), entry["task"]


def name(of: tuple[str, str]) -> str:
    return " ".join(of)


def adjusted(p_values: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], float]:
    """Holm's p over all pairs that have one."""
    known = {of: p for of, p in p_values.items() if p is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))
