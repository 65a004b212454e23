"""The overview of a report: its questions, and for each task and model the numbers that answer them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diptych.report.tables import known, text
from diptych.result import Result, Row


@dataclass(frozen=True)
class KeyFigure:
    """A number that answers a question: what it is, its value and its 95% interval in words (none if unknown)."""

    label: str
    value: str
    interval: str


@dataclass(frozen=True)
class Evidence:
    """The numbers of one result, its sentence for where there are none, what sets it apart from its neighbours, and the
    part of the page that shows it."""

    experiment: str
    label: str
    anchor: str
    figures: Sequence[KeyFigure]
    sentence: str


@dataclass(frozen=True)
class Answer:
    """What is known of one question for one task and model."""

    task: str
    model: str
    evidence: Sequence[Evidence]


@dataclass(frozen=True)
class Question:
    """A question of the overview, its answers, and the experiments that would tell more and are not in the report."""

    title: str
    answers: Sequence[Answer]
    missing: Sequence[str]


POINTS = " points"
QUESTIONS: Mapping[str, Sequence[str]] = {
    "How far apart are text and image?": ("accuracy", "entity_gap", "overlap", "swap"),
    "Where is the flow from the image late?": (
        "knockout",
        "cross_patch",
        "freeze",
        "identify",
        "visual_integration",
        "similarity",
    ),
    "What repairs it?": ("back_patching", "guided_back_patching"),
}
"""Question → the experiments that answer it, in the order in which they are told."""


def overview(shown: Sequence[tuple[Result, str, str]]) -> list[Question]:
    """The questions with what is known; `shown`: each result with its label and the anchor of its part of the page."""
    return [_question(title, names, shown) for title, names in QUESTIONS.items()]


def figures_of(result: Result) -> list[KeyFigure]:
    """The numbers of a result that the overview shows: those of its experiment, else all conditions with an interval."""
    return READ.get(str(result.identity["experiment"]), _intervals)(result)


def _question(title: str, names: Sequence[str], shown: Sequence[tuple[Result, str, str]]) -> Question:
    answers: dict[tuple[str, str], list[Evidence]] = {_place(result): [] for result, *_ in shown}
    told = [one for name in names for one in shown if one[0].identity["experiment"] == name]
    for result, label, anchor in told:
        evidence = Evidence(str(result.identity["experiment"]), label, anchor, figures_of(result), result.summary)
        answers[_place(result)].append(evidence)
    present = {result.identity["experiment"] for result, *_ in told}
    found = [Answer(task, model, evidence) for (task, model), evidence in answers.items() if evidence]
    return Question(title, found, [name for name in names if name not in present])


def _place(result: Result) -> tuple[str, str]:
    return str(result.identity["task"]), str(result.identity["model"])


def _accuracy(result: Result) -> list[KeyFigure]:
    """Accuracy of both panels on test, and how far they are apart."""
    panels = {panel: _row(result, panel=panel, split="test") for panel in ("text", "image")}
    told = [_figure(f"right from {panel}", row, "accuracy", _hundredths, "%") for panel, row in panels.items() if row]
    text_right, image_right = (row.get("accuracy") for row in panels.values())
    if not (known(text_right) and known(image_right)):
        return told
    ends = {end: result.conditions.get(f"text minus image, {end}") for end in ("low", "high")}
    row: Row = {"gap": text_right - image_right, **ends}
    return [*told, _figure("text minus image", row, "gap", _hundredths, POINTS)]


def _overlap(result: Result) -> list[KeyFigure]:
    """nIoU of each segment, over both kinds of nodes; where one segment is compared in several ways, the first."""
    rows: dict[Any, Row] = {}
    for row in result.rows:
        if row.get("kind") == "both":
            rows.setdefault(row.get("segment"), row)
    told = {segment: row for segment, row in rows.items() if known(row.get("nIoU"))}
    return [_figure(f"nIoU, {segment}", row, "nIoU", text) for segment, row in told.items()]


def _back_patching(result: Result) -> list[KeyFigure]:
    """The gain of the image's cell that was chosen on select, and what it must gain for p ≤ .05 among all cells."""
    chosen = _row(result, panel="image", cell="chosen on select")
    if not chosen:
        return []
    gain = _figure("gain on test, chosen on select", chosen, "gain", _change, POINTS)
    null = chosen.get("null 95%")
    needed = [KeyFigure("this cell needs for p ≤ .05 among all", _change(null) + POINTS, "")] if known(null) else []
    return [gain, *needed]


def _entity_gap(result: Result) -> list[KeyFigure]:
    """The gap of the entities that the model recognises in their pictures."""
    row = _row(result, family="entities", of="identified")
    return [_figure("text minus image, of entities it names", row, "gap", _change, POINTS)] if row else []


def _swap(result: Result) -> list[KeyFigure]:
    """What the circuit keeps with each part of the other panel's, of as many nodes as it replaces, in both directions."""
    rows = [row for row in result.rows if row.get("prompts") == "both" and row.get("nodes") == "as many"]
    told = [row for row in rows if known(row.get("normalised"))]
    return [_figure(f"kept, {row['part']} swapped", row, "normalised", text) for row in told]


def _guided(result: Result) -> list[KeyFigure]:
    """The gain of the whole patch, and of the part of it that the circuit's nodes write."""
    told = {"gain of the whole patch": "nodes: all", "of the circuit's part": "nodes: circuit"}
    rows = {label: _row(result, panel="image", cell=cell) for label, cell in told.items()}
    return [_figure(label, row, "gain", _change, POINTS) for label, row in rows.items() if known(row.get("gain"))]


def _intervals(result: Result) -> list[KeyFigure]:
    """All conditions that come with an interval, such as the layer at which a curve turns."""
    told = result.conditions
    names = [name for name in told if f"{name}, low" in told and f"{name}, high" in told and known(told[name])]
    rows = [{"value": told[name], "low": told[f"{name}, low"], "high": told[f"{name}, high"]} for name in names]
    return [_figure(name, row, "value", text) for name, row in zip(names, rows, strict=True)]


READ: Mapping[str, Callable[[Result], list[KeyFigure]]] = {
    "accuracy": _accuracy,
    "entity_gap": _entity_gap,
    "overlap": _overlap,
    "swap": _swap,
    "back_patching": _back_patching,
    "guided_back_patching": _guided,
}
"""Experiment → how its numbers are read; of all others, conditions with intervals are shown."""


def _row(result: Result, **where: str) -> Row:
    """The first row of these values; empty if there is none."""
    return next((row for row in result.rows if where.items() <= row.items()), {})


def _figure(label: str, row: Row, column: str, shown: Callable[[Any], str], unit: str = "") -> KeyFigure:
    low, high = row.get("low"), row.get("high")
    interval = f"[{shown(low)}, {shown(high)}]" if known(low) and known(high) else ""
    return KeyFigure(label, shown(row.get(column)) + unit, interval)


def _hundredths(value: Any) -> str:
    return text(100 * value, 1) if known(value) else text(None)


def _change(value: Any) -> str:
    return ("+" if known(value) and value > 0 else "") + _hundredths(value)
