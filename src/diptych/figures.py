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


Named = tuple[str, Number, int]
"""A node's name, its score, and the place of the smallest circuit that holds it."""


@dataclass(frozen=True)
class Side:
    """One panel of a prompt with the scores of its nodes.

    `scores[layer][position]`: of all nodes there. `first[layer][position]`: the place, among the sizes of the figure, of
    the smallest circuit that holds one of them; their number if none does. `named[layer][position]`: the strongest nodes.
    `cells`: the positions of the picture (PNG data URI), row by row in so many `columns`; none if they have no place in it.
    """

    panel: Panel
    scores: Sequence[Sequence[Number]]
    first: Sequence[Sequence[int]]
    named: Sequence[Sequence[Sequence[Named]]]
    cells: Sequence[int] = ()
    columns: int = 1

    def __post_init__(self) -> None:
        owner = f"Side '{self.panel.modality}'"
        _lengths(owner, len(self.scores), first=self.first, named=self.named)
        for layers in (self.scores, self.first, self.named):
            for layer in layers:
                _lengths(owner, len(self.panel.tokens), layer=layer)


@dataclass(frozen=True)
class Pair:
    """One prompt in two panels, with the scores of both."""

    title: str
    query: str
    answer: str
    sides: Sequence[Side]


@dataclass(frozen=True)
class Diptych:
    """Prompts in two panels whose scores are painted over them, by layer and by size of the circuit.

    `sizes`: increasing shares of all nodes; `said`: what is known of the circuits of each size; `start`: the place of
    the one that is shown first.
    """

    title: str
    caption: str
    value_title: str
    layers: Sequence[str]
    sizes: Sequence[float]
    said: Sequence[str]
    start: int
    pairs: Sequence[Pair]

    def __post_init__(self) -> None:
        owner = f"Diptych '{self.title}'"
        _lengths(owner, len(self.sizes), said=self.said)
        for side in (side for pair in self.pairs for side in pair.sides):
            _lengths(owner, len(self.layers), scores=side.scores)


Figure = Heatmap | Curves | Bars | Example | PictureMaps | Diptych
KINDS: dict[str, type] = {
    "heatmap": Heatmap,
    "curves": Curves,
    "bars": Bars,
    "example": Example,
    "picture_maps": PictureMaps,
    "diptych": Diptych,
}
PARTS: dict[str, type] = {"series": Series, "panels": Panel, "maps": PictureMap, "pairs": Pair, "sides": Side}
"""Field of a figure, or of a part of it, that holds several of a kind → the kind."""


def figure_of(plain: dict[str, Any]) -> Figure:
    """A figure from its fields and its `kind`, as they stand in the JSON of a result."""
    figure: Figure = _built(KINDS[plain.pop("kind")], plain)
    return figure


def _built(kind: type, plain: dict[str, Any]) -> Any:
    several = {name: [_built(part, one) for one in plain[name]] for name, part in PARTS.items() if name in plain}
    single = {"panel": Panel(**plain["panel"])} if kind is Side else {}
    return kind(**plain | several | single)


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
