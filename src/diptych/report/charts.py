"""Curves, bars and dumbbells as plotly JSON, with their intervals, levels and lines."""

import itertools
from collections.abc import Sequence
from typing import Any

from diptych.errors import InputError
from diptych.figures import Bars, Curves, Dumbbells, Number, Series
from diptych.report.labels import safe, short, wrapped_ticks
from diptych.report.palette import DASHES, HATCHES, colours, faint
from diptych.report.tables import interval, known, text

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


def dumbbells(figures: Sequence[Dumbbells]) -> list[Plot]:
    """Dumbbells in one row, of one axis of values, which is the x axis: their names need room."""
    x_range = _common_range(figures)
    return [_dumbbells(figure, x_range) for figure in figures]


def _curves(figure: Curves, y_range: Plot) -> Plot:
    _refuse_log_of_zero(figure)
    styled = list(zip(figure.series, colours(figure), strict=True))
    bands = [_interval_band(figure.x, series, colour) for series, (colour, _) in styled if series.low and series.high]
    lines = [_line(figure, series, colour, DASHES[turn % len(DASHES)]) for series, (colour, turn) in styled]
    shapes = [_vertical(x) for x, _ in figure.lines_at] + [_level(y) for y, _ in figure.levels]
    layout = {**_layout(figure, y_range), "shapes": shapes}
    layout["xaxis"] |= _log_axis(figure.x) if figure.log_x else _linear_axis(figure.x)
    return {"data": bands + lines + _entries(figure), "layout": layout}


def _bars(figure: Bars, y_range: Plot) -> Plot:
    styled = zip(figure.series, colours(figure), strict=True)
    traces = [_bar(figure, series, colour, HATCHES[turn % len(HATCHES)]) for series, (colour, turn) in styled]
    layout = {**_layout(figure, y_range), "shapes": [_level(y) for y, _ in figure.levels]}
    layout["xaxis"] |= {**wrapped_ticks(figure.categories), "range": [-0.5, len(figure.categories) - 0.5]}
    return {"data": [*traces, *_entries(figure)], "layout": layout}


def _dumbbells(figure: Dumbbells, x_range: Plot) -> Plot:
    count = len(figure.categories)
    points = [
        _points(figure, series, place, colour)
        for place, (series, (colour, _)) in enumerate(zip(figure.series, colours(figure), strict=True))
    ]
    rods = [_rod(figure, place) for place in range(count)]
    layout = {**_layout(figure, {}), "shapes": rods + [_vertical(x) for x, _ in figure.levels]}
    layout["xaxis"] = {"title": {"text": safe(figure.y_title)}, "showgrid": True, **x_range}
    names = {"tickvals": list(range(count)), "ticktext": [safe(name) for name in figure.categories]}
    layout["yaxis"] = {"range": [count - 0.5, -0.5], "showgrid": False, "zeroline": False, "tickmode": "array", **names}
    return {"data": [*points, *_entries(figure)], "layout": layout | {"height": 90 + 40 * count}}


def _layout(figure: Curves | Bars, y_range: Plot) -> Plot:
    return {
        "height": HEIGHT,
        "showlegend": len(figure.series) > 1 or bool(_entries(figure)),
        "hovermode": "closest",
        "xaxis": {"title": {"text": safe(figure.x_title)}},
        "yaxis": {"title": {"text": safe(figure.y_title)}, **y_range},
    }


def _common_range(figures: Sequence[Curves] | Sequence[Bars], *floor: float) -> Plot:
    """The range of values that holds every chart of a row, and `floor`."""
    series = [one for figure in figures for one in figure.series]
    values = [
        value for one in series for part in (one.values, one.low, one.high) for value in part or () if known(value)
    ]
    values += [y for figure in figures for y, _ in figure.levels] + list(floor)
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:  # one value: it is seen against zero
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    room = 0.06 * (high - low)
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
        **_hover(figure, series, [text(value) for value in figure.x]),
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
        **_hover(figure, series, figure.categories),
        **_whiskers(series),
    }


def _points(figure: Dumbbells, series: Series, place: int, colour: str) -> Plot:
    """The points of a series, a little above or below the middle of their rods."""
    shift = 0.22 * (place - (len(figure.series) - 1) / 2)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": safe(series.name),
        "x": [short(value) for value in series.values],
        "y": [at + shift for at in range(len(series.values))],
        "marker": {"color": colour, "size": 11},
        **_hover(figure, series, figure.categories),
        **_whiskers(series, "error_x"),
    }


def _rod(figure: Dumbbells, place: int) -> Plot:
    """A bar from the least to the greatest value of a category."""
    values = [value for series in figure.series if known(value := series.values[place])]
    ends = {
        "x0": short(min(values, default=0.0)),
        "x1": short(max(values, default=0.0)),
        "y0": place - 0.11,
        "y1": place + 0.11,
    }
    return {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": "rgba(128,128,128,0.3)", **ends}


def _whiskers(series: Series, axis: str = "error_y") -> Plot:
    if series.low is None or series.high is None:
        return {}
    up, down = _distances(series.high, series.values), _distances(series.values, series.low)
    return {axis: {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.5, "width": 4}}


def _distances(high: Sequence[Number], low: Sequence[Number]) -> list[Number]:
    return [short(h - v) if known(h) and known(v) else None for h, v in zip(high, low, strict=True)]


def _hover(figure: Curves | Bars, series: Series, x: Sequence[str]) -> Plot:
    """What a reader who points is told: the words once per series, and for each point where it is and its value."""
    words = [safe(one).replace("%{", "%&#123;") for one in (series.name, figure.x_title, figure.y_title)]  # no template
    values = [f"{text(value)} {limits}".strip() for value, limits in zip(series.values, interval(series), strict=True)]
    return {
        "hovertemplate": "<b>{}</b><br>{}: %{{customdata[0]}}<br>{}: %{{customdata[1]}}<extra></extra>".format(*words),
        "customdata": [[safe(at), value] for at, value in zip(x, values, strict=True)],
    }


def _vertical(x: float) -> Plot:
    ends = {"xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
    return {"type": "line", **ends, "line": {"width": 1.25, "dash": "dash"}}


def _level(y: float) -> Plot:
    ends = {"xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": y, "y1": y}
    return {"type": "line", **ends, "line": {"width": 1.25, "dash": "dot"}}


def _entries(figure: Curves | Bars) -> list[Plot]:
    """What stands for levels and lines in the legend: labels inside the chart would lie on what it shows."""
    drawn = [(label, "dash") for label in key_of_lines(figure)] + [(label, "dot") for label in key_of_levels(figure)]
    return [
        {"type": "scatter", "mode": "lines", "name": safe(label), "x": [None], "y": [None], "line": {"dash": dash}}
        | {"hoverinfo": "skip"}
        for label, dash in drawn
    ]


def key_of_lines(figure: Curves | Bars) -> list[str]:
    """Labels of the vertical lines, with their place where there are several."""
    return _told(figure.lines_at if isinstance(figure, Curves) else ())


def key_of_levels(figure: Curves | Bars) -> list[str]:
    """Labels of the levels, with their value where there are several."""
    return _told(figure.levels)


def _told(lines: Sequence[tuple[float, str]]) -> list[str]:
    return [label if len(lines) == 1 else f"{label} ({text(at)})" for at, label in lines]


def _linear_axis(x: Sequence[float]) -> Plot:
    """An axis of few whole numbers, such as layers, is labelled at these alone."""
    few = bool(x) and max(x) - min(x) <= 8 and all(float(value).is_integer() for value in x)
    return {"type": "linear", **({"dtick": 1} if few else {})}


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
