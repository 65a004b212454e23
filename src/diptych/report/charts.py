"""Curves and bars as plotly JSON, with their intervals, levels and lines."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from diptych.errors import InputError
from diptych.report.labels import safe, short, wrapped_ticks
from diptych.report.palette import DASHES, HATCHES, colours, faint
from diptych.report.tables import interval, known, text
from diptych.result import Bars, Curves, Number, Series

Plot = dict[str, Any]

HEIGHT = 360
"""Pixels."""


def curves(figures: Sequence[Curves]) -> list[Plot]:
    """Curves in one row, of one y axis; raises `InputError` for a logarithmic x axis with values of zero or less."""
    y_range = _common_range(figures)
    return [_curves(figure, y_range) for figure in figures]


def bars(figures: Sequence[Bars]) -> list[Plot]:
    """Bars in one row, of one y axis."""
    y_range = _common_range(figures, 0.0)
    return [_bars(figure, y_range) for figure in figures]


def _curves(figure: Curves, y_range: Plot) -> Plot:
    _refuse_log_of_zero(figure)
    styled = list(zip(figure.series, colours(figure), strict=True))
    bands = [_interval_band(figure.x, series, colour) for series, (colour, _) in styled if series.low and series.high]
    lines = [_line(figure, series, colour, DASHES[turn % len(DASHES)]) for series, (colour, turn) in styled]
    verticals = [_vertical(x, label, x > _middle(figure)) for x, label in figure.lines_at]
    levels = [{**_level(y), "label": _left_label(label)} for y, label in figure.levels]
    layout = {**_layout(figure, y_range), "shapes": verticals + levels}
    layout["xaxis"] |= _log_axis(figure.x) if figure.log_x else {"type": "linear"}
    return {"data": bands + lines, "layout": layout}


def _bars(figure: Bars, y_range: Plot) -> Plot:
    styled = zip(figure.series, colours(figure), strict=True)
    traces = [_bar(figure, series, colour, HATCHES[turn % len(HATCHES)]) for series, (colour, turn) in styled]
    layout = {**_layout(figure, y_range), "shapes": [_level(y) for y, _ in figure.levels]}
    layout["annotations"] = [_right_label(y, label) for y, label in figure.levels]
    layout["xaxis"] |= {**wrapped_ticks(figure.categories), "range": _room_for_labels(figure)}
    return {"data": traces, "layout": layout}


def _layout(figure: Curves | Bars, y_range: Plot) -> Plot:
    return {
        "height": HEIGHT,
        "showlegend": len(figure.series) > 1,
        "hovermode": "closest",
        "xaxis": {"title": {"text": safe(figure.x_title)}},
        "yaxis": {"title": {"text": safe(figure.y_title)}, **y_range},
    }


def _common_range(figures: Sequence[Curves] | Sequence[Bars], *floor: float) -> Plot:
    """The y range that holds every chart of a row, and `floor`; plotly chooses that of a chart that stands alone."""
    if len(figures) < 2:
        return {}
    series = [one for figure in figures for one in figure.series]
    values = [
        value for one in series for part in (one.values, one.low, one.high) for value in part or () if known(value)
    ]
    values += [y for figure in figures for y, _ in figure.levels] + list(floor)
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.5
    return {"range": [low if low in floor else low - room, high + room]}


def _line(figure: Curves, series: Series, colour: str, dash: str) -> Plot:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": safe(series.name),
        "x": [short(value) for value in figure.x],
        "y": [short(value) for value in series.values],
        "line": {"color": colour, "width": 2.25, "dash": dash},
        "marker": {"color": colour, "size": 6 if len(figure.x) <= 24 else 4},
        "hoverinfo": "text",
        "hovertext": _hover(figure, series, [text(value) for value in figure.x]),
    }


def _interval_band(x: Sequence[float], series: Series, colour: str) -> Plot:
    """One filled outline per unbroken run of intervals; plotly separates outlines at nulls."""
    outline: list[tuple[Number, Number]] = []
    points = zip(x, series.low or (), series.high or (), strict=True)
    for unbroken, run in itertools.groupby(points, key=lambda point: all(known(value) for value in point)):
        kept = list(run) if unbroken else []
        outline += [(at, low) for at, low, _ in kept] + [(at, high) for at, _, high in reversed(kept)] + [(None, None)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": safe(series.name),
        "x": [short(at) for at, _ in outline],
        "y": [short(value) for _, value in outline],
        "fill": "toself",
        "fillcolor": faint(colour),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _bar(figure: Bars, series: Series, colour: str, hatch: str) -> Plot:
    return {
        "type": "bar",
        "name": safe(series.name),
        "x": list(range(len(series.values))),
        "y": [short(value) for value in series.values],
        "marker": {"color": colour, "pattern": {"shape": hatch, "fillmode": "replace"}},
        "hoverinfo": "text",
        "hovertext": _hover(figure, series, figure.categories),
        **_whiskers(series),
    }


def _whiskers(series: Series) -> Plot:
    if series.low is None or series.high is None:
        return {}
    up, down = _distances(series.high, series.values), _distances(series.values, series.low)
    return {
        "error_y": {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.5, "width": 4}
    }


def _distances(high: Sequence[Number], low: Sequence[Number]) -> list[Number]:
    return [short(h - v) if known(h) and known(v) else None for h, v in zip(high, low, strict=True)]


def _hover(figure: Curves | Bars, series: Series, x: Sequence[str]) -> list[str]:
    head = f"<b>{safe(series.name)}</b><br>{safe(figure.x_title)}: "
    values = [f"{text(value)} {limits}".strip() for value, limits in zip(series.values, interval(series), strict=True)]
    return [f"{head}{safe(at)}<br>{safe(figure.y_title)}: {value}" for at, value in zip(x, values, strict=True)]


def _vertical(x: float, label: str, right: bool) -> Plot:
    """A vertical line with its label at the top, on the side where there is more room."""
    words = {"text": safe(label), "textangle": 0, "textposition": "end", "yanchor": "top", "padding": 4}
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "line": {"width": 1.25, "dash": "dash"},
        "label": {**words, "xanchor": "right" if right else "left"},
    }


def _level(y: float) -> Plot:
    ends = {"xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": y, "y1": y}
    return {"type": "line", **ends, "line": {"width": 1.25, "dash": "dot"}}


def _left_label(label: str) -> Plot:
    return {"text": safe(label), "textposition": "start", "yanchor": "bottom"}


def _right_label(y: float, label: str) -> Plot:
    """A level's label, right of all bars."""
    place = {"xref": "paper", "x": 1, "xanchor": "right", "yref": "y", "y": y, "yanchor": "bottom"}
    return {**place, "text": safe(label), "showarrow": False, "borderwidth": 0, "borderpad": 1}


def _room_for_labels(figure: Bars) -> list[float]:
    """Range of the x axis, with room for the labels of levels right of the last bar."""
    longest = max((len(label) for _, label in figure.levels), default=0)
    return [-0.5, len(figure.categories) * (1 + min(0.35, 0.014 * longest)) - 0.5]


def _middle(figure: Curves) -> float:
    low, high = min(figure.x, default=0.0), max(figure.x, default=0.0)
    return math.sqrt(low * high) if figure.log_x else (low + high) / 2


def _log_axis(x: Sequence[float]) -> Plot:
    """A logarithmic axis, labelled at the powers of ten where it spans two of them."""
    return {"type": "log", **({"dtick": 1} if x and max(x) >= 100 * min(x) else {})}


def _refuse_log_of_zero(figure: Curves) -> None:
    low = [value for value in figure.x if value <= 0]
    if figure.log_x and low:
        raise InputError(
            f"Curves '{figure.title}' have a logarithmic x axis but x = {low[:5]}. "
            f"Expected positive values. Drop these points, or give `log_x=False`."
        )
