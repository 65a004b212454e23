"""Heatmaps as plotly JSON: cells, segment bands along x, and frames around marked cells."""

import html
from collections.abc import Sequence
from typing import Any

from diptych.figures import Heatmap
from diptych.report.labels import safe, short, ticks
from diptych.report.palette import segment_colour
from diptych.report.tables import known

Plot = dict[str, Any]

ROW_HEIGHT = 22
"""Height of a layer, in pixels, unless the map would be lower than 180 or higher than 420."""
LETTER_WIDTH = 6.5
"""Width of a letter of an axis label, in pixels."""


def heatmaps(figures: Sequence[Heatmap]) -> list[Plot]:
    """Maps in one row, of one colour scale, their layers at one height."""
    room = round(LETTER_WIDTH * max(_longest_label(figure) for figure in figures)) + 40
    scale = _scale(figures)
    return [{"data": [_cells(figure, scale)], "layout": _layout(figure, room)} for figure in figures]


def _cells(figure: Heatmap, scale: tuple[str, float, float]) -> Plot:
    kind, low, high = scale
    rows = [f"{safe(figure.y_title)} {safe(y)}" for y in figure.y]
    return {
        "type": "heatmap",
        "z": [[short(value) for value in row] for row in figure.values],
        "zmin": low,
        "zmax": high,
        "xgap": 0.5,
        "ygap": 0.5,
        "hoverinfo": "text",
        "hoverongaps": False,
        "colorbar": {"title": {"text": safe(figure.value_title)}},
        "meta": {"x": _column_names(figure), "y": rows, "z": safe(figure.value_title), "scale": kind},
    }


def _scale(figures: Sequence[Heatmap]) -> tuple[str, float, float]:
    """Kind and ends of the common colour scale; values on both sides of zero get one with zero in its middle."""
    values = [value for figure in figures for row in figure.values for value in row if known(value)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low < 0 < high:
        return "diverging", -max(high, -low), max(high, -low)
    return "sequential", low, high if high > low else low + 1


def _layout(figure: Heatmap, room: int) -> Plot:
    height = min(max(ROW_HEIGHT * len(figure.y), 180), 420)
    marks = [shape for mark in figure.marks for shape in _frame(mark)]
    return {
        "height": height + room + 20,
        "margin": {"b": room},
        "hovermode": "closest",
        "xaxis": {**_axis(figure.x_title, figure.x), "tickangle": -90 if _is_upright(figure) else 0},
        "yaxis": _axis(figure.y_title, figure.y),
        "shapes": [shape for band in figure.bands for shape in _band(band)] + marks,
        "annotations": [_pointer(mark, figure) for mark in figure.marks],
    }


def _axis(title: str, labels: Sequence[str]) -> Plot:
    return {"title": {"text": safe(title)}, "range": [-0.5, len(labels) - 0.5], **ticks(labels)}


def _is_upright(figure: Heatmap) -> bool:
    """Whether the labels of the columns are too long to stand side by side."""
    return max(map(len, figure.x), default=0) > 3


def _longest_label(figure: Heatmap) -> int:
    """Letters that stand below one another under the map."""
    return max(len(html.unescape(label)) for label in ticks(figure.x)["ticktext"]) if _is_upright(figure) else 2


def _column_names(figure: Heatmap) -> list[str]:
    bands = {x: f" ({safe(name)})" for name, first, end in figure.bands for x in range(first, end)}
    return [f"{safe(figure.x_title)} {safe(label)}{bands.get(x, '')}" for x, label in enumerate(figure.x)]


def _band(band: tuple[str, int, int]) -> list[Plot]:
    """A coloured strip above the columns of a segment, and a dotted line at its end."""
    name, first, end = band
    strip = {"type": "rect", "xref": "x", "yref": "paper", "x0": first - 0.5, "x1": end - 0.5, "y0": 1.0, "y1": 1.035}
    edge = {"type": "line", "xref": "x", "yref": "paper", "x0": end - 0.5, "x1": end - 0.5, "y0": 0, "y1": 1}
    return [
        {**strip, "name": safe(name), "fillcolor": segment_colour(name), "line": {"width": 0}},
        {**edge, "line": {"width": 1, "color": "rgba(128,128,128,0.55)", "dash": "dot"}},
    ]


def _frame(mark: tuple[int, int, str]) -> list[Plot]:
    """A cell's frame, black on white so that it shows on any colour."""
    x, y, _ = mark
    frame = {"type": "rect", "xref": "x", "yref": "y", "x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    return [{**frame, "line": {"width": 4, "color": "#ffffff"}}, {**frame, "line": {"width": 2, "color": "#111111"}}]


def _pointer(mark: tuple[int, int, str], figure: Heatmap) -> Plot:
    """The mark's label, placed towards the middle of the map so that it is never cut off."""
    x, y, label = mark
    right, upper = x > len(figure.x) / 2, y > len(figure.y) / 2
    anchor = {"xanchor": "right" if right else "left", "ax": -14 if right else 14, "ay": 30 if upper else -30}
    return {"x": x, "y": y, "text": safe(label), "showarrow": True, "arrowhead": 0, "standoff": 6, **anchor}
