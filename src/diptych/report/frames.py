"""Data tables as frames of pandas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diptych.errors import InputError
from diptych.result import Row

if TYPE_CHECKING:
    import pandas


def frame(rows: Sequence[Row]) -> "pandas.DataFrame":
    """A column per name, in order of first appearance; raises `InputError` without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise InputError(
            "Frames need the package `pandas`, which is not installed. Run: pip install 'diptych[papers]'."
        ) from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pandas.DataFrame([dict(row) for row in rows], columns=names)
