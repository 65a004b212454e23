"""Heatmaps, curves, bars and dumbbells on a sheet of matplotlib."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diptych.figures import Bars, Curves, Dumbbells, Heatmap, Number, Series
from diptych.report.charts import key_of_levels, key_of_lines
from diptych.report.labels import ticks
from diptych.report.palette import DASHES, DIVERGING, HATCHES, SEQUENTIAL, colours, segment_colour
from diptych.report.tables import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

MOST_TICKS = 40
"""Labels that fit under a map."""
LINES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
GREY = "#5b646e"


def draw_heatmap(sheet: "Sheet", figure: Heatmap) -> None:
    """Cells, segment bands above them, frames around marked cells, and the colour scale."""
    from matplotlib.patches import Rectangle

    axes = sheet.subplots()
    values = filled(figure.values)
    image = axes.imshow(values, origin="lower", aspect="auto", interpolation="nearest", **colour_scale(values))
    sheet.colorbar(image, ax=axes, label=plain(figure.value_title), fraction=0.04)
    _name(axes, figure.title, figure.x_title, figure.y_title)
    tick(axes.set_xticks, figure.x, rotation=90 if max(map(len, figure.x), default=0) > 3 else 0)
    tick(axes.set_yticks, figure.y)
    for name, first, end in figure.bands:
        place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "linewidth": 0}
        axes.add_patch(Rectangle((first - 0.5, 1.01), end - first, 0.03, facecolor=segment_colour(name), **place))
        axes.axvline(end - 0.5, color=GREY, linewidth=0.5, linestyle=":")
    for x, y, label in figure.marks:
        for colour, width in (("white", 2.5), ("black", 1.2)):
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=colour, linewidth=width))
        axes.annotate(plain(label), (x, y), (6, 10), textcoords="offset points", backgroundcolor="white", fontsize=6)


def draw_curves(sheet: "Sheet", figure: Curves) -> None:
    """Lines with their intervals, levels and vertical lines."""
    axes = sheet.subplots()
    _name(axes, figure.title, figure.x_title, figure.y_title)
    for series, (colour, turn) in zip(figure.series, colours(figure), strict=True):
        style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 2.5, "label": _label(series, figure)}
        axes.plot(figure.x, _numbers(series.values), LINES[DASHES[turn % len(DASHES)]], **style)
        if series.low is not None and series.high is not None:
            low, high = _numbers(series.low), _numbers(series.high)
            axes.fill_between(figure.x, low, high, color=colour, alpha=0.16, linewidth=0)
    for (x, _), label in zip(figure.lines_at, key_of_lines(figure), strict=True):
        axes.axvline(x, color=GREY, linewidth=0.8, linestyle="--", label=plain(label))
    _levels(axes.axhline, figure)
    axes.set_xscale("log" if figure.log_x else "linear")
    _legend(sheet)


def draw_bars(sheet: "Sheet", figure: Bars) -> None:
    """Groups of bars with their intervals and levels."""
    axes = sheet.subplots()
    _name(axes, figure.title, figure.x_title, figure.y_title)
    width = 0.8 / max(len(figure.series), 1)
    for place, (series, (colour, turn)) in enumerate(zip(figure.series, colours(figure), strict=True)):
        middle = [at + (place + 0.5) * width - 0.4 for at in range(len(figure.categories))]
        style: dict[str, Any] = {"color": colour, "hatch": HATCHES[turn % len(HATCHES)]}
        axes.bar(middle, _numbers(series.values), 0.94 * width, label=_label(series, figure), **style)
        if series.low is not None and series.high is not None:
            axes.vlines(middle, _numbers(series.low), _numbers(series.high), color="#222222", linewidth=0.8)
    _levels(axes.axhline, figure)
    axes.axhline(0, color=GREY, linewidth=0.6)
    tick(axes.set_xticks, figure.categories, rotation=90 if len(figure.categories) > 8 else 0)
    _legend(sheet)


def draw_dumbbells(sheet: "Sheet", figure: Dumbbells) -> None:
    """Points with their intervals, joined by rods, one row per category."""
    axes = sheet.subplots()
    _name(axes, figure.title, figure.y_title, figure.x_title)
    values = filled([series.values for series in figure.series])
    places = range(len(figure.categories))
    ends = [([one[at] for one in values if known(one[at])]) for at in places]
    axes.hlines(
        places, [min(e, default=0) for e in ends], [max(e, default=0) for e in ends], color="#cccccc", linewidth=4
    )
    for place, (series, (colour, _)) in enumerate(zip(figure.series, colours(figure), strict=True)):
        rows = [at + 0.22 * (place - (len(figure.series) - 1) / 2) for at in places]
        axes.plot(_numbers(series.values), rows, "o", color=colour, markersize=4, label=_label(series, figure))
        if series.low is not None and series.high is not None:
            axes.hlines(rows, _numbers(series.low), _numbers(series.high), color=colour, linewidth=0.8)
    _levels(axes.axvline, figure)
    axes.set_ylim(len(figure.categories) - 0.5, -0.5)
    tick(axes.set_yticks, figure.categories)
    _legend(sheet)


def plain(words: str) -> str:
    """Text that matplotlib shows letter by letter: no mathematics between dollar signs, line breaks visible."""
    return words.replace("\n", "↵").replace("\t", "⇥").replace("$", r"\$")


def colour_scale(values: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Colours and ends of a scale: with zero in its middle if there are values on both sides of it."""
    from matplotlib.colors import LinearSegmentedColormap

    inside = [value for row in values for value in row if known(value)]
    low, high = min(inside, default=0.0), max(inside, default=1.0)
    if low < 0 < high:
        return {
            "cmap": LinearSegmentedColormap.from_list("d", DIVERGING),
            "vmin": min(low, -high),
            "vmax": max(high, -low),
        }
    return {
        "cmap": LinearSegmentedColormap.from_list("s", SEQUENTIAL),
        "vmin": low,
        "vmax": high if high > low else low + 1,
    }


def _name(axes: "Axes", title: str, x_title: str, y_title: str) -> None:
    axes.set_title(plain(title), fontsize=9, loc="left", pad=10)
    axes.set_xlabel(plain(x_title))
    axes.set_ylabel(plain(y_title))


def tick(put: Any, labels: Sequence[str], **how: Any) -> None:
    """One tick per run of equal labels, no more than fit."""
    found = ticks(labels)
    step = -(-len(found["tickvals"]) // MOST_TICKS) or 1
    put(
        found["tickvals"][::step],
        [plain(html.unescape(label)) for label in found["ticktext"][::step]],
        fontsize=6,
        **how,
    )


def filled(values: Sequence[Sequence[Number]]) -> list[list[float]]:
    """Rows of numbers, NaN where one is missing."""
    return [_numbers(row) for row in values]


def _label(series: Series, figure: Curves | Bars) -> str:
    """What the key calls a series; one that stands alone needs no name."""
    return plain(series.name) if len(figure.series) > 1 else ""


def _levels(draw: Any, figure: Curves | Bars) -> None:
    for (value, _), label in zip(figure.levels, key_of_levels(figure), strict=True):
        draw(value, color=GREY, linewidth=0.8, linestyle=":", label=plain(label))


def _legend(sheet: "Sheet") -> None:
    """Below the plot, where it covers nothing."""
    if sheet.axes[0].get_legend_handles_labels()[1]:
        sheet.legend(loc="outside lower center", ncols=3, frameon=False)


def _numbers(values: Sequence[Number]) -> list[float]:
    return [_number(value) for value in values]


def _number(value: Number) -> float:
    return float(value) if known(value) else float("nan")
