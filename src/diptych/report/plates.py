"""Plates: the figures of the page, numbered, in rows, each with its plot, its sentence and its numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any

from diptych.figures import Diptych, Example, Figure, Heatmap, Panel, PictureMaps
from diptych.report.figures import DRAW, side_by_side
from diptych.report.key import Entry, key
from diptych.report.palette import segment_colour
from diptych.report.picture_maps import Sheet, draw, veil
from diptych.report.sentences import describe, is_right
from diptych.report.tables import Table, csv_of_figure, table_of_figure, text

FORMS: Mapping[type, str] = {Example: "example", PictureMaps: "maps", Diptych: "view"}


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
    def form(self) -> str:
        """The name of what draws the figure on the page."""
        return FORMS.get(type(self.figure), "plot")

    @property
    def key(self) -> list[Entry]:
        """What colours and lines stand for."""
        return key(self.figure)

    @property
    def csv(self) -> str:
        """The numbers to download."""
        return csv_of_figure(self.figure)

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


def plates(row: Sequence[Figure], numbers: "count[int]") -> list[Plate]:
    """The figures of one row with their plots and tables, numbered."""
    if type(row[0]) not in DRAW:
        table = None if isinstance(row[0], Example) else table_of_figure(row[0])
        return [Plate(next(numbers), row[0], describe(row[0]), None, table)]
    return [
        Plate(next(numbers), figure, describe(figure), plot, table_of_figure(figure))
        for figure, plot in zip(row, side_by_side(row), strict=True)
    ]


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


def _repeats(tokens: Sequence[str]) -> list[tuple[str, int]]:
    return [(token, len(list(run))) for token, run in groupby(tokens)]
