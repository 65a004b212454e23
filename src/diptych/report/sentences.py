"""One sentence per figure: what a reader who cannot see it must know."""

from collections.abc import Callable, Sequence
from typing import Any

from diptych.figures import Bars, Curves, Diptych, Dumbbells, Example, Figure, Heatmap, Panel, PictureMaps, Series
from diptych.report.tables import known, text


def describe(figure: Figure) -> str:
    """What the figure shows and where its largest values are."""
    sentence = SENTENCES[type(figure)](figure)
    return sentence[:1].upper() + sentence[1:]


def is_right(panel: Panel, example: Example) -> bool:
    """Whether the panel's prediction is the example's answer."""
    return panel.predicted.strip() == example.answer.strip()


def _heatmap(figure: Heatmap) -> str:
    head = f"Map of {figure.value_title} over {_count(figure.x, figure.x_title)} and {_count(figure.y, figure.y_title)}"
    cells = [(value, x, y) for y, row in enumerate(figure.values) for x, value in enumerate(row) if known(value)]
    if not cells:
        return f"{head}, without values."
    high, low = max(cells, key=lambda cell: cell[0]), min(cells, key=lambda cell: cell[0])
    marks = "".join(f" Marked: {label} at {_cell(figure, x, y)}." for x, y, label in figure.marks)
    return f"{head}: highest {text(high[0])} at {_cell(figure, *high[1:])}; lowest {text(low[0])} at {_cell(figure, *low[1:])}.{marks}"


def _curves(figure: Curves) -> str:
    parts = [_course(figure, series) for series in figure.series]
    levels = [f"{label} at {figure.y_title} {text(y)}" for y, label in figure.levels]
    lines = [f"{label} at {figure.x_title} {text(x)}" for x, label in figure.lines_at]
    drawn = f" Lines: {'; '.join(levels + lines)}." if levels or lines else ""
    return f"{figure.y_title} against {figure.x_title}: {'; '.join(parts) or 'no lines'}.{drawn}"


def _course(figure: Curves, series: Series) -> str:
    points = [(x, value) for x, value in zip(figure.x, series.values, strict=True) if known(value)]
    if not points:
        return f"{series.name} has no values"
    (first, start), (last, end), (peak, high) = points[0], points[-1], max(points, key=lambda point: point[1])
    return f"{series.name} goes from {text(start)} at {text(first)} to {text(end)} at {text(last)}, highest {text(high)} at {text(peak)}"


def _bars(figure: Bars) -> str:
    bars = [
        (v, f"{s.name}, {c}")
        for s in figure.series
        for c, v in zip(figure.categories, s.values, strict=True)
        if known(v)
    ]
    if not bars:
        return f"Bars of {figure.y_title} by {figure.x_title}, without values."
    high, low = max(bars, key=lambda bar: bar[0]), min(bars, key=lambda bar: bar[0])
    return (
        f"{figure.y_title} by {figure.x_title}: highest {text(high[0])} ({high[1]}); lowest {text(low[0])} ({low[1]})."
    )


def _dumbbells(figure: Dumbbells) -> str:
    """Where the points of a category are farthest apart."""
    spread = []
    for place, name in enumerate(figure.categories):
        values = [series.values[place] for series in figure.series]
        inside = [value for value in values if known(value)]
        told = ", ".join(f"{series.name} {text(value)}" for series, value in zip(figure.series, values, strict=True))
        spread.append((max(inside, default=0.0) - min(inside, default=0.0), f"{name} ({told})"))
    if not spread:
        return f"Points of {figure.y_title} by {figure.x_title}, without values."
    return f"{figure.y_title} by {figure.x_title}: farthest apart for {max(spread, key=lambda one: one[0])[1]}."


def _example(figure: Example) -> str:
    parts = [
        f"from the {panel.modality} the model answers '{panel.predicted}' with probability {text(panel.probability)}, "
        f"which is {'right' if is_right(panel, figure) else 'wrong'}"
        for panel in figure.panels
    ]
    return f"'{figure.query}', right answer '{figure.answer}': {'; '.join(parts)}."


def _picture_maps(figure: PictureMaps) -> str:
    cells = [
        (value, f"row {y}, column {x} of '{one.label}'")
        for one in figure.maps
        for y, row in enumerate(one.values, 1)
        for x, value in enumerate(row, 1)
        if known(value)
    ]
    if not cells:
        return f"{figure.value_title} over the cells of pictures, without values."
    (high, there), (low, here) = max(cells, key=lambda cell: cell[0]), min(cells, key=lambda cell: cell[0])
    pictures = len({one.picture for one in figure.maps})
    head = f"{figure.value_title} over the cells of {pictures} picture{'s' if pictures > 1 else ''}"
    return f"{head}: highest {text(high)} at {there}; lowest {text(low)} at {here}."


def _diptych(figure: Diptych) -> str:
    scores = [
        (
            value,
            f"{nodes.kind}s of layer {figure.layers[layer]}, '{side.panel.tokens[pos]}' of the {side.panel.modality}, {pair.title}",
        )
        for pair in figure.pairs
        for side in pair.sides
        for nodes in side.nodes
        for layer, row in enumerate(nodes.scores)
        for pos, value in enumerate(row)
        if known(value)
    ]
    head = f"{figure.value_title} over {len(figure.pairs)} prompts in two panels, by layer ({len(figure.layers)}) and circuit size"
    if not scores:
        return f"{head}, without values."
    high, place = max(scores, key=lambda one: one[0])
    return f"{head}: highest {text(high)} at {place}."


SENTENCES: dict[type, Callable[[Any], str]] = {
    Heatmap: _heatmap,
    Curves: _curves,
    Bars: _bars,
    Dumbbells: _dumbbells,
    Example: _example,
    PictureMaps: _picture_maps,
    Diptych: _diptych,
}


def _count(labels: Sequence[str], title: str) -> str:
    return f"{title} ({len(labels)})"


def _cell(figure: Heatmap, x: int, y: int) -> str:
    band = next((f" in {name}" for name, first, end in figure.bands if first <= x < end), "")
    return f"{figure.y_title} {figure.y[y]}, {figure.x_title} {figure.x[x]}{band}"
