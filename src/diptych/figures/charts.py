"""Charts: heatmaps, curves, bars and dumbbells."""

from collections.abc import Sequence
from dataclasses import dataclass

from diptych.figures.checks import Number, require_lengths


@dataclass(frozen=True)
class Series:
    """One named line or set of bars, with an optional interval at each point."""

    name: str
    values: Sequence[Number]
    low: Sequence[Number] | None = None
    high: Sequence[Number] | None = None

    def __post_init__(self) -> None:
        require_lengths(f"Series '{self.name}'", len(self.values), low=self.low, high=self.high)


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
        require_lengths(f"Heatmap '{self.title}'", len(self.y), values=self.values)
        for row in self.values:
            require_lengths(f"Heatmap '{self.title}'", len(self.x), row=row)


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
            require_lengths(f"Curves '{self.title}', series '{series.name}'", len(self.x), values=series.values)


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
            require_lengths(f"Bars '{self.title}', series '{series.name}'", len(self.categories), values=series.values)


@dataclass(frozen=True)
class Dumbbells(Bars):
    """Groups of points, joined by a rod that shows how far apart they are: one group per category, one point per series."""
