"""Results in the order a reader meets them: a section per experiment, a part per task and model, figures in rows."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any

from diptych.report.figures import DRAW, side_by_side
from diptych.report.overview import Question, overview
from diptych.report.palette import segment_colour
from diptych.report.picture_maps import Sheet, draw, veil
from diptych.report.sentences import describe, is_right
from diptych.report.tables import Table, table_of_figure, table_of_rows, text
from diptych.result import Example, Figure, Heatmap, Panel, PictureMaps, Result

NARROW = 5
"""Columns of a table that takes half a page."""


@dataclass(frozen=True)
class TokenRun:
    """Tokens of one segment, each with how often it is repeated, and the picture that they stand for."""

    segment: str
    colour: str
    tokens: Sequence[tuple[str, int]]
    picture: str | None


@dataclass(frozen=True)
class Scale:
    """The colour scale of a map: its kind (`sequential`, `diverging`, and with `veil` over a picture), and its ends."""

    kind: str
    low: str
    high: str


@dataclass(frozen=True)
class Plate:
    """A numbered figure, with its plot (if it is drawn by plotly) and table (none for an example), and the sentence that
    stands for it."""

    number: int
    figure: Figure
    sentence: str
    plot: Mapping[str, Any] | None
    table: Table | None

    @property
    def segments(self) -> list[tuple[str, str]]:
        """Names and colours of the segments that the figure shows, in order."""
        names = dict.fromkeys(name.split(".")[0] for name, _, _ in getattr(self.figure, "bands", ()))
        return [(name, segment_colour(name)) for name in names]

    @property
    def panel_rows(self) -> int:
        """Rows of the grid that both panels of an example share: heading, segments, verdict."""
        return 2 + max((len(token_runs(panel)) for panel in getattr(self.figure, "panels", ())), default=0)

    @property
    def maps(self) -> Sequence[Sheet]:
        """The pictures of the figure with the maps over them."""
        return draw(self.figure) if isinstance(self.figure, PictureMaps) else ()

    @property
    def scale(self) -> Scale | None:
        """The colour scale, if the figure is a map."""
        if isinstance(self.figure, PictureMaps):
            kind, low, high = veil(self.figure)
            return Scale(f"veil {kind}", text(low), text(high))
        if not isinstance(self.figure, Heatmap) or self.plot is None:
            return None
        trace = self.plot["data"][0]
        return Scale(trace["meta"]["scale"], text(trace["zmin"]), text(trace["zmax"]))


@dataclass(frozen=True)
class Finding:
    """A result without its figures: its own conditions, and what sets it apart from its neighbours (the modality)."""

    result: Result
    label: str
    table: Table | None
    conditions: Sequence[tuple[str, str]]
    identity: str


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
    """The first example of all results opens the page; it is not repeated in its section."""

    opening: Plate | None
    sections: Sequence[Section]

    @property
    def questions(self) -> Sequence[Question]:
        """The overview: what all results together say."""
        parts = [part for section in self.sections for part in section.parts]
        return overview([(finding.result, finding.label, part.anchor) for part in parts for finding in part.findings])


def arrange(results: Sequence[Result]) -> Page:
    """One section per experiment and in it one part per task and model, both in order of first appearance."""
    numbers = count(1)
    first = next((figure for result in results for figure in result.figures if isinstance(figure, Example)), None)
    opening = _plates([first], numbers)[0] if first else None
    found = []
    for place, (experiment, members) in enumerate(_grouped(results, "experiment").items(), 1):
        by_task = [member for same in _grouped(members, "task").values() for member in same]
        groups = _grouped(by_task, "task", "model").values()
        parts = [_part(f"section-{place}-{i}", same, first, numbers) for i, same in enumerate(groups, 1)]
        found.append(Section(f"section-{place}", heading(experiment[0]), parts))
    return Page(opening, found)


def heading(name: str) -> str:
    """`faithfulness_curve` → `Faithfulness curve`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def token_runs(panel: Panel) -> list[TokenRun]:
    """The panel's tokens by segment; the picture goes with the first part of the data."""
    pairs = zip(panel.segments, panel.tokens, strict=True)
    segments = [(name, [token for _, token in run]) for name, run in groupby(pairs, key=lambda pair: pair[0])]
    home = next((place for place, (name, _) in enumerate(segments) if name.split(".")[0] == "data"), 0)
    return [
        TokenRun(name, segment_colour(name), _repeats(tokens), panel.picture if place == home else None)
        for place, (name, tokens) in enumerate(segments)
    ]


def verdict(panel: Panel, example: Example) -> str:
    """`right` or `wrong`."""
    return "right" if is_right(panel, example) else "wrong"


def figure_rows(figures: Sequence[Figure]) -> list[list[Figure]]:
    """Figures in rows: the plot of the text panel shares a row with that of the image panel, all others stand alone."""
    left = list(figures)
    rows = []
    while left:
        row = [left.pop(0)]
        twin = next((place for place, figure in enumerate(left) if _are_pair(row[0], figure)), None)
        if twin is not None:
            row.append(left.pop(twin))
        rows.append(row)
    return rows


def _are_pair(first: Figure, second: Figure) -> bool:
    """Whether two plots of one kind have titles that differ in `text` and `image` alone."""
    swapped = re.sub(r"\btext\b", "image", first.title, flags=re.IGNORECASE)
    alike = type(first) is type(second) and type(first) in DRAW and _value(first) == _value(second)
    return alike and swapped != first.title and swapped.lower() == second.title.lower()


def _value(figure: Figure) -> str:
    return str(getattr(figure, "value_title", "") or getattr(figure, "y_title", ""))


def _part(anchor: str, results: Sequence[Result], shown: Figure | None, numbers: "count[int]") -> Part:
    identity = results[0].identity
    rows = figure_rows([figure for result in results for figure in result.figures if figure is not shown])
    conditions = [result.conditions.items() for result in results]
    shared = [pair for pair in conditions[0] if all(pair in other for other in conditions)]
    findings = [_finding(result, results, dict(shared)) for result in results]
    plates = [_plates(row, numbers) for row in rows]
    return Part(anchor, str(identity["task"]), str(identity["model"]), findings, plates, _conditions(shared))


def _plates(row: Sequence[Figure], numbers: "count[int]") -> list[Plate]:
    if type(row[0]) not in DRAW:
        table = None if isinstance(row[0], Example) else table_of_figure(row[0])
        return [Plate(next(numbers), row[0], describe(row[0]), None, table)]
    return [
        Plate(next(numbers), figure, describe(figure), plot, table_of_figure(figure))
        for figure, plot in zip(row, side_by_side(row), strict=True)
    ]


def _finding(result: Result, neighbours: Sequence[Result], shared: Mapping[str, Any]) -> Finding:
    others = [_parameters(other) for other in neighbours]
    own = [pair for pair in _parameters(result).items() if any(pair not in other.items() for other in others)]
    label = heading(", ".join(f"{name}: {text(value)}" for name, value in own))
    conditions = _conditions([(name, value) for name, value in result.conditions.items() if name not in shared])
    identity = json.dumps(result.identity, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    return Finding(result, label, table_of_rows(result.rows) if result.rows else None, conditions, identity)


def _repeats(tokens: Sequence[str]) -> list[tuple[str, int]]:
    return [(token, len(list(run))) for token, run in groupby(tokens)]


def _conditions(pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), text(value)) for name, value in pairs]


def _parameters(result: Result) -> Mapping[str, Any]:
    parameters = result.identity.get("parameters", {})
    return parameters if isinstance(parameters, Mapping) else {}


def _grouped(results: Sequence[Result], *names: str) -> dict[tuple[str, ...], list[Result]]:
    """Results by the values of these fields of their identity."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(tuple(str(result.identity[name]) for name in names), []).append(result)
    return groups
