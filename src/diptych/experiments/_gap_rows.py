"""Rows of the gap: of several populations of entities, and of the identified ones by type, question and matcher."""

from collections.abc import Callable, Sequence
from typing import get_args

from diptych.experiments._asked import Asked
from diptych.experiments._parameters import EntityMatcher
from diptych.gaps import Gap, gap
from diptych.items import MODALITIES
from diptych.result import Row
from diptych.statistics import holm

KNOWN = "known by name"
"""Identified, and answered right from text, to control for perception and knowledge: the gap is what the picture loses.

It cannot be negative, so it has no p value, and its interval none below 0.
"""

POPULATIONS: dict[str, Callable[[Asked, str], bool]] = {
    "identified": lambda one, match: one.identified(match),
    "all": lambda one, match: True,
    KNOWN: lambda one, match: one.identified(match) and one.right("text", match) > 0,
    "answer untold": lambda one, match: one.identified(match) and not one.told(match),
}
"""Name → whether a question belongs to it, by the matcher of a name. The first is the headline's.

Untold: of identified entities, and repeating what the text panel says would not be right.
"""

BOUNDS = {KNOWN: (0.0, 1.0)}
"""What the gap of a population cannot leave, where that is not −1 to 1."""

PARTS: dict[str, Callable[[Asked], str]] = {
    "type": lambda one: one.naming.group,
    "question": lambda one: one.item.group,
}
"""Families of parts of the identified entities' questions, each adjusted by Holm."""

NUMBERS = ("text", "text low", "text high", "image", "image low", "image high", "gap", "low", "high", "Wilcoxon p")


def rows_of(asked: Sequence[Asked], match: str, seed: int) -> list[Row]:
    """One row per population, per part of a family of several, and per matcher; the headline's first."""
    chosen = {name: [one for one in asked if belongs(one, match)] for name, belongs in POPULATIONS.items()}
    rows = [_row("entities", name, some, match, seed) for name, some in chosen.items()]
    for family, part in PARTS.items():
        rows += _family(family, part, chosen["identified"], match, seed)
    for other in get_args(EntityMatcher):
        rows.append(_row("matcher", other, [one for one in asked if one.identified(other)], other, seed))
    return [{**row, "Wilcoxon p": None} if row["of"] == KNOWN else row for row in rows]


def _family(family: str, part: Callable[[Asked], str], asked: Sequence[Asked], match: str, seed: int) -> list[Row]:
    names = list(dict.fromkeys(map(part, asked)))
    if len(names) < 2:
        return []
    rows = [_row(family, name, [one for one in asked if part(one) == name], match, seed) for name in names]
    adjusted = holm([float(row["Wilcoxon p"] or 0) for row in rows])
    return [{**row, "Holm p": p} for row, p in zip(rows, adjusted, strict=True)]


def _row(family: str, name: str, asked: Sequence[Asked], match: str, seed: int) -> Row:
    values = dict.fromkeys(NUMBERS)
    if asked:
        text, image = ([one.right(panel, match) for one in asked] for panel in MODALITIES)
        clusters = [one.item.cluster for one in asked]
        values = _numbers(gap(text, image, clusters, bounds=BOUNDS.get(name, (-1.0, 1.0)), seed=seed))
    entities = len({one.item.cluster for one in asked})
    return {"family": family, "of": name, "entities": entities, "questions": len(asked), **values}


def _numbers(found: Gap) -> dict[str, float | None]:
    estimates = (found.text, found.image, found.difference)
    values = [value for estimate in estimates for value in (estimate.value, estimate.low, estimate.high)]
    return dict(zip(NUMBERS, (*values, found.p), strict=True))
