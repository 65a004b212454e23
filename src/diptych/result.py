"""Results: what an experiment found, as plain numbers and labels. No torch, no style."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.errors import InputError, StoreError
from diptych.figures import (
    Figure,
    Number,
    figure_of,
    kind_of,
)

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

FORMAT = 1
"""Version of the JSON layout of a result; hand-bumped."""

Row = Mapping[str, str | float | int | bool | None]


@dataclass(frozen=True)
class Result:
    """What one experiment found for one model and task.

    `identity`: experiment, version, parameters, model, task, digest and the digests of results it used.
    `summary`: the finding in one sentence with its numbers. `rows`: the data table, one mapping per row.
    `conditions`: n, drops, split, seed, interval method, dtype, kernel (methods §13). `grids`: names of tensors
    stored beside the result. `notes`: caveats, one sentence each.
    """

    identity: Mapping[str, Any]
    summary: str
    rows: Sequence[Row]
    conditions: Mapping[str, str | float | int | bool | None]
    figures: Sequence[Figure] = ()
    grids: Sequence[str] = ()
    notes: Sequence[str] = ()
    format: int = field(default=FORMAT)

    def __post_init__(self) -> None:
        missing = [name for name in ("experiment", "model", "task", "digest") if name not in self.identity]
        if missing:
            raise InputError(f"A result's identity lacks {missing}. Make it with `diptych.run.identity`.")
        if not self.summary:
            raise InputError("A result needs a one-sentence summary.")

    def to_json(self) -> str:
        """JSON with columns in their order, no NaN (written as null); the same result gives the same bytes."""
        plain = asdict(self)
        plain["figures"] = [{"kind": kind_of(figure), **asdict(figure)} for figure in self.figures]
        return json.dumps(_finite(plain), allow_nan=False, indent=1)

    def _repr_html_(self) -> str:
        """What a notebook shows: the summary, the figures as pictures, and the data table."""
        from diptych.report.card import card

        return card(self)

    def plot(self, figure: int = 0) -> "plotly.graph_objects.Figure":
        """One of the figures, by its place, as a figure of plotly to look into; raises `InputError` for pictures."""
        from diptych.report.interactive import interactive

        return interactive(self._figure(figure))

    def save_figures(self, folder: str | Path, suffix: str = ".pdf") -> list[Path]:
        """Draw each figure into a PDF, SVG or PNG file of `folder`, for papers."""
        from diptych.report.paper import save_figures

        return save_figures(self, folder, suffix)

    def to_pandas(self) -> "pandas.DataFrame":
        """The data table as a frame of pandas."""
        from diptych.report.frames import frame

        return frame(self.rows)

    def to_latex(self) -> str:
        """The data table as LaTeX, for a document that uses booktabs."""
        from diptych.report.latex import latex

        return latex(self.rows)

    def _figure(self, place: int) -> Figure:
        if not 0 <= place < len(self.figures):
            raise InputError(
                f"The result of '{self.identity['experiment']}' has no figure {place}. It has {len(self.figures)}, "
                f"counted from 0."
            )
        return self.figures[place]

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """Read a result; raises `StoreError` for damaged text or another version's layout."""
        try:
            plain = json.loads(text)
        except json.JSONDecodeError as error:
            raise StoreError(f"Not a result: {error}. The file is damaged; delete it and run again.") from error
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            found = plain.get("format") if isinstance(plain, dict) else type(plain).__name__
            raise StoreError(
                f"The result has layout version {found}; this diptych reads {FORMAT}. Run it again, or use the diptych that wrote it."
            )
        try:
            plain["figures"] = [figure_of(figure) for figure in plain["figures"]]
            return cls(**plain)
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise StoreError(
                f"The result's fields are not those of layout version {FORMAT}: {error}. Delete it and run again."
            ) from error


def numbers(rows: Sequence[Row], name: str) -> list[Number]:
    """A column of a data table; what is not a number is None."""
    return [value if isinstance(value := row[name], float | int) else None for row in rows]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
