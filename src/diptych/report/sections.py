"""Results in the order a reader meets them: a section per experiment, a part per task and model, figures in rows."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from diptych.figures import Example, Figure
from diptych.report.order import in_order
from diptych.report.overview import Question, overview
from diptych.report.plates import Plate, figure_rows, plates
from diptych.report.tables import Table, csv_of_rows, known, table_of_rows, text
from diptych.result import Result

NARROW = 5
"""Columns of a table that takes half a page."""


@dataclass(frozen=True)
class Finding:
    """A result without its figures: its own conditions, and what sets it apart from its neighbours (the modality)."""

    result: Result
    label: str
    table: Table | None
    conditions: Sequence[tuple[str, str]]
    identity: str

    @property
    def csv(self) -> str:
        """The data table to download."""
        return csv_of_rows(self.result.rows)

    @property
    def name(self) -> str:
        """What a file of the result is called."""
        return file_stem(self.result)


@dataclass(frozen=True)
class Part:
    """All results of one experiment for one task and model, with the conditions that they share."""

    anchor: str
    task: str
    model: str
    findings: Sequence[Finding]
    rows: Sequence[Sequence[Plate]]
    conditions: Sequence[tuple[str, str]]

    @property
    def narrow(self) -> bool:
        """Whether the tables are narrow enough to stand side by side."""
        return all(len(finding.table.columns) <= NARROW for finding in self.findings if finding.table)


@dataclass(frozen=True)
class Section:
    """All results of one experiment."""

    anchor: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """The first example of all results opens the page; it is not repeated in its section. Nor are conditions of all results."""

    opening: Plate | None
    sections: Sequence[Section]
    conditions: Sequence[tuple[str, str]]

    @property
    def questions(self) -> Sequence[Question]:
        """The overview: what all results together say."""
        parts = [part for section in self.sections for part in section.parts]
        return overview([(finding.result, finding.label, part.anchor) for part in parts for finding in part.findings])


def arrange(results: Sequence[Result]) -> Page:
    """One section per experiment, in the order of a report, and in it one part per task and model as they come."""
    results = in_order(results)
    numbers = count(1)
    common = _shared([result.conditions for result in results]) if len(results) > 1 else {}
    first = next((figure for result in results for figure in result.figures if isinstance(figure, Example)), None)
    opening = plates([first], numbers)[0] if first else None
    found = []
    for place, (experiment, members) in enumerate(_grouped(results, "experiment").items(), 1):
        by_task = [member for same in _grouped(members, "task").values() for member in same]
        groups = _grouped(by_task, "task", "model").values()
        parts = [_part(f"section-{place}-{i}", same, first, common, numbers) for i, same in enumerate(groups, 1)]
        found.append(Section(f"section-{place}", heading(experiment[0]), parts))
    return Page(opening, found, _conditions(common.items()))


def heading(name: str) -> str:
    """`faithfulness_curve` → `Faithfulness curve`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def file_stem(result: Result) -> str:
    """Task, experiment and digest in letters that any system takes for the name of a file."""
    parts = (result.identity[name] for name in ("task", "experiment", "digest"))
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", str(part)).strip("._") for part in parts)


def _part(
    anchor: str, results: Sequence[Result], shown: Figure | None, common: Mapping[str, Any], numbers: "count[int]"
) -> Part:
    identity = results[0].identity
    rows = figure_rows([figure for result in results for figure in result.figures if figure is not shown])
    shared = _shared([result.conditions for result in results])
    findings = [_finding(result, results, shared) for result in results]
    plated = [plates(row, numbers) for row in rows]
    own = [(name, value) for name, value in shared.items() if name not in common]
    return Part(anchor, str(identity["task"]), str(identity["model"]), findings, plated, _conditions(own))


def _shared(conditions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The conditions that are the same everywhere."""
    return {name: value for name, value in conditions[0].items() if all((name, value) in c.items() for c in conditions)}


def _finding(result: Result, neighbours: Sequence[Result], shared: Mapping[str, Any]) -> Finding:
    others = [_parameters(other) for other in neighbours]
    own = [pair for pair in _parameters(result).items() if any(pair not in other.items() for other in others)]
    label = heading(", ".join(f"{name}: {text(value)}" for name, value in own))
    conditions = _conditions([(name, value) for name, value in result.conditions.items() if name not in shared])
    identity = json.dumps(result.identity, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    return Finding(result, label, table_of_rows(result.rows) if result.rows else None, conditions, identity)


def _conditions(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Names and values as text; the ends of an interval stand behind its value."""
    found = dict(pairs)
    both = [name for name in found if f"{name}, low" in found and f"{name}, high" in found]
    ends = {name: (found[f"{name}, low"], found[f"{name}, high"]) for name in both}
    within = {f"{name}, {end}" for name in ends for end in ("low", "high")}
    intervals = {name: f" [{text(low)}, {text(high)}]" for name, (low, high) in ends.items() if known(low)}
    return [
        (name.replace("_", " "), READABLE.get(name, text)(value) + intervals.get(name, ""))
        for name, value in found.items()
        if name not in within
    ]


def _spans(layout: str) -> str:
    """`[["data", 2, 10], ["generation", 10, 11]]` → `data 2–9, generation 10`."""
    return ", ".join(
        f"{name} {start}" if stop == start + 1 else f"{name} {start}–{stop - 1}"
        for name, start, stop in json.loads(layout)
    )


READABLE: Mapping[str, Callable[[Any], str]] = {
    "layout": _spans,
    "options": lambda options: "the method's own" if options == "{}" else text(options),
}
"""Condition → how a reader is told it, where it is recorded for a program to read; all others as they are."""


def _parameters(result: Result) -> Mapping[str, Any]:
    parameters = result.identity.get("parameters", {})
    return parameters if isinstance(parameters, Mapping) else {}


def _grouped(results: Sequence[Result], *names: str) -> dict[tuple[str, ...], list[Result]]:
    """Results by the values of these fields of their identity."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(tuple(str(result.identity[name]) for name in names), []).append(result)
    return groups
