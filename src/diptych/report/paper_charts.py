"""Heatmaps, curves and bars on a sheet of matplotlib."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diptych.report.labels import ticks
from diptych.report.palette import DASHES, DIVERGING, HATCHES, SEQUENTIAL, colours, segment_colour
from diptych.report.tables import known
from diptych.result import Bars, Curves, Heatmap, Number, Series

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
        line = LINES[DASHES[turn % len(DASHES)]]
        axes.plot(
            figure.x, _numbers(series.values), line, color=colour, marker="o", markersize=2.5, label=plain(series.name)
        )
        if series.low is not None and series.high is not None:
            axes.fill_between(
                figure.x, _numbers(series.low), _numbers(series.high), color=colour, alpha=0.16, linewidth=0
            )
    for y, label in figure.levels:
        axes.axhline(y, color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(
            plain(label), (0, y), (2, 2), xycoords=("axes fraction", "data"), textcoords="offset points", color=GREY
        )
    for x, label in figure.lines_at:
        axes.axvline(x, color=GREY, linewidth=0.8, linestyle="--")
        axes.annotate(
            plain(label),
            (x, 0.5),
            (-7, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=GREY,
            rotation=90,
            va="center",
        )
    axes.set_xscale("log" if figure.log_x else "linear")
    _legend(sheet, figure.series)


def draw_bars(sheet: "Sheet", figure: Bars) -> None:
    """Groups of bars with their intervals and levels."""
    axes = sheet.subplots()
    _name(axes, figure.title, figure.x_title, figure.y_title)
    width = 0.8 / max(len(figure.series), 1)
    for place, (series, (colour, turn)) in enumerate(zip(figure.series, colours(figure), strict=True)):
        middle = [at + (place + 0.5) * width - 0.4 for at in range(len(figure.categories))]
        style: dict[str, Any] = {"color": colour, "hatch": HATCHES[turn % len(HATCHES)], "label": plain(series.name)}
        axes.bar(middle, _numbers(series.values), 0.94 * width, **style)
        if series.low is not None and series.high is not None:
            axes.vlines(middle, _numbers(series.low), _numbers(series.high), color="#222222", linewidth=0.8)
    for y, label in figure.levels:
        axes.axhline(y, color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(
            plain(label),
            (1.01, y),
            (0, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=GREY,
            va="center",
        )
    axes.axhline(0, color=GREY, linewidth=0.6)
    tick(axes.set_xticks, figure.categories, rotation=90 if len(figure.categories) > 8 else 0)
    _legend(sheet, figure.series)


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


def _legend(sheet: "Sheet", series: Sequence[Series]) -> None:
    if len(series) > 1:
        sheet.legend(loc="outside lower center", ncols=min(len(series), 4), frameon=False)


def _numbers(values: Sequence[Number]) -> list[float]:
    return [_number(value) for value in values]


def _number(value: Number) -> float:
    return float(value) if known(value) else float("nan")
