"""Numbers as a reader wants them, and tables of rows and of figures."""

import csv
import io
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from diptych.figures import Bars, Curves, Diptych, Dumbbells, Figure, Heatmap, Number, PictureMaps, Series
from diptych.result import Row

Raw = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Names of columns, and rows of values."""
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NEGATIVE = re.compile(r"(?<![^\s\[(])-(?=\d)")
"""The sign of a number that stands alone or begins a bracket; the hyphen of a name or a date has letters before it."""
MISSING = "n/a"
MOST_DIGITS = 3
LONG = 10
"""Letters that stand in one line of a table."""


@dataclass(frozen=True)
class Table:
    """Columns, and rows of finished text; `numeric` says which columns hold numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]

    @property
    def styles(self) -> list[str]:
        """How each column is set: numbers, words, or whole sentences, which need room."""
        longest = [max(map(len, cells), default=0) for cells in zip(*self.rows, strict=True)] or [0] * len(self.columns)
        words = ["words long" if length > LONG else "words" for length in longest]
        return ["" if numeric else word for numeric, word in zip(self.numeric, words, strict=True)]


def known(value: Any) -> TypeGuard[float]:
    """Whether the value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def text(value: Any, digits: int | None = None) -> str:
    """A value as text; floats to `digits` decimals, or to three. Null, NaN and infinity: n/a."""
    if value is None or (isinstance(value, float) and not known(value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _float(value, _digits([value]) if digits is None else digits)
    return str(value).replace("-", "−") if isinstance(value, int) else str(value)


def prose(sentence: str) -> str:
    """A sentence whose negative numbers have the sign that numbers have elsewhere in a report."""
    return NEGATIVE.sub("−", sentence)


def column(values: Sequence[Any]) -> list[str]:
    """A column's values with one number of decimals, so that they can be compared at a glance."""
    floats = [value for value in values if isinstance(value, float) and known(value)]
    dust = sys.float_info.epsilon * max(map(abs, floats), default=0.0)  # what rounding leaves of a difference of zero
    settled = [0.0 if isinstance(value, float) and abs(value) < dust else value for value in values]
    return [text(value, _digits(floats)) for value in settled]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table of any values."""
    by_column = list(zip(*rows, strict=True)) or [() for _ in columns]
    texts = [column(values) for values in by_column]
    return Table(
        [name.replace("_", " ") for name in columns], list(zip(*texts, strict=True)), [_numeric(v) for v in by_column]
    )


def table_of_rows(rows: Sequence[Row]) -> Table:
    """A result's data table; columns in order of first appearance."""
    return table(*_columns(rows))


def table_of_figure(figure: Figure) -> Table:
    """The numbers of a figure; an example has none."""
    return table(*TABLES[type(figure)](figure))


def csv_of_figure(figure: Figure) -> str:
    """The numbers of a figure as comma-separated values: six significant digits, nothing where a number is missing."""
    return _csv(*TABLES[type(figure)](figure))


def csv_of_rows(rows: Sequence[Row]) -> str:
    """A result's data table as comma-separated values."""
    return _csv(*_columns(rows))


def interval(series: Series) -> list[str]:
    """Each point's interval as `[low, high]`; empty where there is none."""
    if series.low is None or series.high is None:
        return [""] * len(series.values)
    limits = zip(series.low, series.high, strict=True)
    return [f"[{text(low)}, {text(high)}]" if known(low) or known(high) else "" for low, high in limits]


def _columns(rows: Sequence[Row]) -> Raw:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [[row.get(name) for name in names] for row in rows]


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([columns, *([_cell(value) for value in row] for row in rows)])
    return written.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if known(value) else None


def _heatmap(figure: Heatmap) -> Raw:
    rows = [[y, *values] for y, values in zip(figure.y, figure.values, strict=True)]
    return [f"{figure.y_title} \\ {figure.x_title}", *figure.x], rows


def _curves(figure: Curves) -> Raw:
    return _series(figure.x_title, figure.x, figure.series)


def _bars(figure: Bars) -> Raw:
    return _series(figure.x_title, figure.categories, figure.series)


def _picture_maps(figure: PictureMaps) -> Raw:
    """One row per row of cells: their values, then their words if there are any."""
    wide = max((len(one.values[0]) for one in figure.maps), default=0)
    worded = any(one.words for one in figure.maps)
    rows: list[list[Any]] = []
    for one in figure.maps:
        for y, values in enumerate(one.values):
            words = one.words[y] if one.words else []
            parts = [values, words] if worded else [values]
            cells = [cell for part in parts for cell in [*part, *[None] * (wide - len(part))]]
            rows.append([one.label, y + 1, *cells])
    heads = ("column", "word") if worded else ("column",)
    return ["map", "row", *(f"{head} {x}" for head in heads for x in range(1, wide + 1))], rows


def _diptych(figure: Diptych) -> Raw:
    """For each token of each prompt and each kind of nodes, the layer at which their score is greatest in size."""
    rows = []
    shown = [(pair, side, nodes) for pair in figure.pairs for side in pair.sides for nodes in side.nodes]
    for pair, side, nodes in shown:
        for pos, token in enumerate(side.panel.tokens):
            sizes = [_size(row[pos]) for row in nodes.scores]
            layer = sizes.index(max(sizes))
            place = [pair.title, side.panel.modality, pos, token, side.panel.segments[pos], f"{nodes.kind}s"]
            rows.append([*place, figure.layers[layer], nodes.scores[layer][pos]])
    return ["prompt", "panel", "position", "token", "segment", "nodes", "strongest layer", figure.value_title], rows


def _size(value: Number) -> float:
    return abs(value) if known(value) else -1.0


TABLES: dict[type, Callable[[Any], Raw]] = {
    Heatmap: _heatmap,
    Curves: _curves,
    Bars: _bars,
    Dumbbells: _bars,
    PictureMaps: _picture_maps,
    Diptych: _diptych,
}


def _series(x_title: str, x: Sequence[Any], series: Sequence[Series]) -> Raw:
    parts: list[tuple[str, Sequence[Any]]] = [(x_title, x)]
    for one in series:
        limits = {f"{one.name}, low": one.low, f"{one.name}, high": one.high}
        parts += [(one.name, one.values), *((name, values) for name, values in limits.items() if values is not None)]
    return [name for name, _ in parts], list(zip(*(values for _, values in parts), strict=True))


def _numeric(values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)


def _digits(values: Sequence[float]) -> int:
    """Decimals that show all values exactly if three suffice, else four significant digits of the largest."""
    for digits in range(MOST_DIGITS + 1):
        if all(math.isclose(value, round(value, digits), rel_tol=1e-9, abs_tol=1e-12) for value in values):
            return digits
    return max(0, MOST_DIGITS - max(0, math.floor(math.log10(max(abs(value) for value in values)))))


def _float(value: float, digits: int) -> str:
    rounded = round(value, digits)
    if value and abs(rounded - value) > 0.05 * abs(value):
        return _significant(value)
    return f"{rounded + 0.0:.{digits}f}".replace("-", "−")  # + 0.0 turns −0.0 into 0.0


def _significant(value: float) -> str:
    """Two significant digits, for values that the column's decimals would hide."""
    if abs(value) >= 1e-4:
        return f"{float(f'{value:.2g}'):f}".rstrip("0").rstrip(".").replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")
