"""Words and numbers as plotly must get them."""

import html
import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

from diptych.figures import Number
from diptych.report.tables import known

LONGEST_TICK = 14


def safe(words: str) -> str:
    """Text that plotly shows letter by letter: its markup (`<b>`, `&amp;`) is switched off, line breaks are visible."""
    return html.escape(words.replace("\n", "↵"), quote=False)


def short(value: Number) -> Number:
    """Six significant digits: more than any reader sees, a third of the page's size."""
    return float(f"{value:.6g}") if known(value) else None


def ticks(labels: Sequence[str]) -> dict[str, Any]:
    """One tick per run of equal labels: a hundred image tokens are labelled once, in their middle."""
    values, words, start = [], [], 0
    for label, run in itertools.groupby(labels):
        count = len(list(run))
        values.append(start + (count - 1) / 2)
        words.append(_tick_text(label) + (f" ×{count}" if count > 1 else ""))
        start += count
    return {"tickmode": "array", "tickvals": values, "ticktext": words}


def wrapped_ticks(labels: Sequence[str]) -> dict[str, Any]:
    """One tick per category, its name in short lines."""
    lines = ["<br>".join(safe(line) for line in textwrap.wrap(label, LONGEST_TICK)) for label in labels]
    return {"tickmode": "array", "tickvals": list(range(len(labels))), "ticktext": lines}


def _tick_text(label: str) -> str:
    return safe(label if len(label) <= LONGEST_TICK else label[: LONGEST_TICK - 1] + "…")
