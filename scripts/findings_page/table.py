"""Tables and numbers of the page: what is undefined is a dash, never a zero."""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median
from typing import Any

NONE = "–"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: Any, digits: int = 2, factor: float = 1, sign: str = "") -> str:
    if value is None:
        return NONE
    rounded = round(factor * value, digits)
    return f"{rounded:{sign}.{digits}f}" if rounded else f"{0:.{digits}f}"


def interval(bounds: Sequence[Any] | None, digits: int = 2, factor: float = 1, sign: str = "") -> str:
    """A value and its interval, as in 0.21 [0.17, 0.25]."""
    if bounds is None or bounds[0] is None:
        return NONE
    value, low, high = (number(one, digits, factor, sign) for one in bounds)
    return f"{value} [{low}, {high}]"


def points(value: Any) -> str:
    """A share as points, with its sign and its interval if there is one."""
    return interval(value, 1, 100, "+") if isinstance(value, list) else number(value, 1, 100, "+")


def average(values: Iterable[Any], digits: int = 2, factor: float = 1, sign: str = "") -> str:
    """The mean of those that are defined, and how many these are if some are not."""
    return _of_defined(fmean, values, digits, factor, sign)


def middle(values: Iterable[Any], digits: int = 2, factor: float = 1, sign: str = "") -> str:
    """The median of those that are defined, and how many these are if some are not."""
    return _of_defined(median, values, digits, factor, sign)


def _of_defined(
    centre: Callable[[list[Any]], float], values: Iterable[Any], digits: int, factor: float, sign: str
) -> str:
    given = list(values)
    defined = [value for value in given if value is not None]
    if not defined:
        return "undefined"
    told = number(centre(defined), digits, factor, sign)
    return told if len(defined) == len(given) else f"{told} (of the {len(defined)} defined)"


def chance(p: Any) -> str:
    return NONE if p is None else f"{p:.2g}"


def above(bounds: Sequence[Any] | None, level: float = 0) -> bool:
    """Whether the whole interval lies above a level."""
    return bounds is not None and bounds[1] is not None and bool(bounds[1] > level)


def below(bounds: Sequence[Any] | None, level: float = 0) -> bool:
    return bounds is not None and bounds[2] is not None and bool(bounds[2] < level)


def listed(names: Iterable[str]) -> str:
    """Names in a sentence; "none" if there are none."""
    return ", ".join(names) or "none"
