"""The key of a figure: what its colours, dashes and lines stand for. It stands above the plot, where it covers nothing."""

from dataclasses import dataclass

from diptych.figures import Bars, Curves, Dumbbells, Figure, Heatmap
from diptych.report.charts import key_of_levels, key_of_lines
from diptych.report.palette import DASHES, colours, segment_colour

GREY = "currentColor"
MARKS = {Curves: "line", Bars: "bar", Dumbbells: "point"}


@dataclass(frozen=True)
class Entry:
    """What one mark stands for; `turn` tells apart those of one colour, as dashes or hatches do in the plot."""

    mark: str
    name: str
    colour: str
    turn: int = 0


def key(figure: Figure) -> list[Entry]:
    """Segments of a map, or series, lines and levels of a chart; a series that stands alone needs no name."""
    if isinstance(figure, Heatmap):
        names = dict.fromkeys(name.split(".")[0] for name, _, _ in figure.bands)
        return [Entry("strip", name, segment_colour(name)) for name in names]
    if not isinstance(figure, Curves | Bars):
        return []
    styled = zip(figure.series, colours(figure), strict=True) if len(figure.series) > 1 else ()
    series = [Entry(MARKS[type(figure)], one.name, colour, turn % len(DASHES)) for one, (colour, turn) in styled]
    lines = [Entry("vertical", label, GREY) for label in key_of_lines(figure)]
    return [*series, *lines, *(Entry("level", label, GREY) for label in key_of_levels(figure))]
