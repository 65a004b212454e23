"""Figures as plotly JSON: data and layout as plain values. Page colours and fonts are added by overlay.js."""

from collections.abc import Callable, Sequence
from typing import Any

from diptych.errors import InputError
from diptych.figures import Bars, Curves, Dumbbells, Figure, Heatmap
from diptych.report.charts import bars, curves, dumbbells
from diptych.report.heatmaps import heatmaps

Plot = dict[str, Any]

DRAW: dict[type, Callable[[Any], list[Plot]]] = {
    Heatmap: heatmaps,
    Curves: curves,
    Bars: bars,
    Dumbbells: dumbbells,
}
"""By kind of figure: what draws a row of them."""


def to_plotly(figure: Figure) -> Plot:
    """Plotly JSON (`data`, `layout`) of a heatmap or a chart; raises `InputError` for other kinds."""
    return side_by_side([figure])[0]


def side_by_side(figures: Sequence[Figure]) -> list[Plot]:
    """Plotly JSON of figures of one kind that stand in one row: they share one colour scale, or one y axis."""
    kinds = sorted({type(figure).__name__ for figure in figures})
    if len(kinds) != 1 or type(figures[0]) not in DRAW:
        known = ", ".join(kind.__name__ for kind in DRAW)
        raise InputError(f"No plot for figures of kinds {kinds}. Give one or more figures of one of the kinds {known}.")
    return DRAW[type(figures[0])](figures)
