"""Maps over pictures: which cell is how strongly tinted, on one scale for all maps of a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from diptych.figures import Number, PictureMap, PictureMaps
from diptych.report.tables import known, text


@dataclass(frozen=True)
class Cell:
    """A cell's tint between 0 (none) and 1, its sign, the word in it, and what a reader who points at it is told."""

    share: float
    negative: bool
    word: str
    title: str


@dataclass(frozen=True)
class Drawn:
    """A map: its cells row by row, and how many columns they make."""

    label: str
    columns: int
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Sheet:
    """A picture and the maps over it that follow one another."""

    picture: str
    maps: Sequence[Drawn]


def draw(figure: PictureMaps) -> list[Sheet]:
    """The maps of a figure by picture, of one scale."""
    _, _, high = veil(figure)
    by_picture = groupby(figure.maps, key=lambda one: one.picture)
    return [Sheet(picture, [_drawn(one, high) for one in maps]) for picture, maps in by_picture]


def veil(figure: PictureMaps) -> tuple[str, float, float]:
    """Kind and ends of the scale: from 0, where the picture is seen as it is, to the value of greatest size."""
    values = [value for one in figure.maps for row in one.values for value in row if known(value)]
    high = max(map(abs, values), default=0.0) or 1.0
    return ("diverging", -high, high) if min(values, default=0.0) < 0 else ("sequential", 0.0, high)


def _drawn(one: PictureMap, high: float) -> Drawn:
    words = one.words or [[""] * len(row) for row in one.values]
    cells = [
        _cell(value, word, high, f"row {y}, column {x}")
        for y, (row, written) in enumerate(zip(one.values, words, strict=True), 1)
        for x, (value, word) in enumerate(zip(row, written, strict=True), 1)
    ]
    return Drawn(one.label, len(one.values[0]), cells)


def _cell(value: Number, word: str, high: float, place: str) -> Cell:
    strength = value / high if known(value) else 0.0
    title = f"{place}: {text(value)}" + (f", {word}" if word else "")
    return Cell(round(abs(strength), 3), strength < 0, word, title)
