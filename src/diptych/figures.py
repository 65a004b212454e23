"""Figures of results: numbers and labels of a few kinds. No style: they are drawn by the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diptych.errors import InputError

PNG = "data:image/png;base64,"
"""How the address of a picture that lies in the page begins."""

Number = float | int | None


@dataclass(frozen=True)
class Series:
    """One named line or set of bars, with an optional interval at each point."""

    name: str
    values: Sequence[Number]
    low: Sequence[Number] | None = None
    high: Sequence[Number] | None = None

    def __post_init__(self) -> None:
        _lengths(f"Series '{self.name}'", len(self.values), low=self.low, high=self.high)


@dataclass(frozen=True)
class Heatmap:
    """`values[y][x]`; `bands` are (name, first x, end x); `marks` are (x, y, label)."""

    title: str
    caption: str
    x_title: str
    y_title: str
    value_title: str
    x: Sequence[str]
    y: Sequence[str]
    values: Sequence[Sequence[Number]]
    bands: Sequence[tuple[str, int, int]] = ()
    marks: Sequence[tuple[int, int, str]] = ()

    def __post_init__(self) -> None:
        _lengths(f"Heatmap '{self.title}'", len(self.y), values=self.values)
        for row in self.values:
            _lengths(f"Heatmap '{self.title}'", len(self.x), row=row)


@dataclass(frozen=True)
class Curves:
    """Lines over one numeric x axis; `lines_at` are (x, label) and `levels` are (y, label)."""

    title: str
    caption: str
    x_title: str
    y_title: str
    x: Sequence[float]
    series: Sequence[Series]
    log_x: bool = False
    lines_at: Sequence[tuple[float, str]] = ()
    levels: Sequence[tuple[float, str]] = ()

    def __post_init__(self) -> None:
        for series in self.series:
            _lengths(f"Curves '{self.title}', series '{series.name}'", len(self.x), values=series.values)


@dataclass(frozen=True)
class Bars:
    """Groups of bars: one group per category, one bar per series; `levels` are (y, label)."""

    title: str
    caption: str
    x_title: str
    y_title: str
    categories: Sequence[str]
    series: Sequence[Series]
    levels: Sequence[tuple[float, str]] = ()

    def __post_init__(self) -> None:
        for series in self.series:
            _lengths(f"Bars '{self.title}', series '{series.name}'", len(self.categories), values=series.values)


@dataclass(frozen=True)
class Panel:
    """One panel of an example prompt: its tokens, their segments, the model's answer, and the picture (PNG data URI)."""

    modality: str
    tokens: Sequence[str]
    segments: Sequence[str]
    predicted: str
    probability: float
    picture: str | None = None

    def __post_init__(self) -> None:
        _lengths(f"Panel '{self.modality}'", len(self.tokens), segments=self.segments)
        if self.picture is not None:
            _require_png(f"Panel '{self.modality}'", self.picture)


@dataclass(frozen=True)
class Example:
    """One item as the model sees it, in up to two panels."""

    title: str
    caption: str
    query: str
    answer: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class PictureMap:
    """Numbers over the cells of a picture (PNG data URI): `values[row][column]`, rows from the top.

    `words[row][column]`: what is written into the cells, if anything.
    """

    label: str
    picture: str
    values: Sequence[Sequence[Number]]
    words: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        owner = f"Picture map '{self.label}'"
        if not self.values or not self.values[0]:
            raise InputError(f"{owner} has no cells. Expected at least one row and one column of values.")
        for row in self.values:
            _lengths(owner, len(self.values[0]), row=row)
        if self.words:
            _lengths(owner, len(self.values), words=self.words)
        for words in self.words:
            _lengths(owner, len(self.values[0]), words=words)
        _require_png(owner, self.picture)


@dataclass(frozen=True)
class PictureMaps:
    """Maps over one or several pictures, of one colour scale."""

    title: str
    caption: str
    value_title: str
    maps: Sequence[PictureMap]


Figure = Heatmap | Curves | Bars | Example | PictureMaps
KINDS: dict[str, type] = {
    "heatmap": Heatmap,
    "curves": Curves,
    "bars": Bars,
    "example": Example,
    "picture_maps": PictureMaps,
}
PARTS: dict[str, type] = {"series": Series, "panels": Panel, "maps": PictureMap}
"""Field of a figure that holds several of a kind → the kind."""


def figure_of(plain: dict[str, Any]) -> Figure:
    """A figure from its fields and its `kind`, as they stand in the JSON of a result."""
    kind = KINDS[plain.pop("kind")]
    several = {name: [part(**one) for one in plain[name]] for name, part in PARTS.items() if name in plain}
    figure: Figure = kind(**plain | several)
    return figure


def kind_of(figure: Figure) -> str:
    """The name of a figure's kind."""
    return next(name for name, kind in KINDS.items() if isinstance(figure, kind))


def _require_png(owner: str, picture: str) -> None:
    if not picture.startswith(PNG):
        raise InputError(
            f"{owner} has a picture that begins with '{picture[:20]}'. Expected a PNG data URI ('{PNG}...'), so that "
            f"reports need no other file."
        )


def _lengths(owner: str, expected: int, **parts: Sequence[Any] | None) -> None:
    for name, part in parts.items():
        if part is not None and len(part) != expected:
            raise InputError(f"{owner} has {len(part)} entries in {name}; expected {expected}.")
