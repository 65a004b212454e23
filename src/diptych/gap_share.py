"""The gap between the panels, and how much of it back-patching closes, over models and tasks (methods §10, §14)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from diptych.errors import InputError
from diptych.paper_compat import PAPER_A
from diptych.result import Result, Row, numbers

SELECTIONS = {"chosen on select": "held out", "best on test (in-sample)": "in-sample (Paper A)"}
"""A row's cell → how it was selected."""
ENDS = ("", ", low", ", high")


def gap_closed(results: Sequence[Result]) -> list[Row]:
    """The share of the gap that back-patching closes: of each result, and of all together, for both selections of cells.

    All together: total gain / total gap over all pairs of model and task, undefined where the total gap may be 0 (as is the
    share of a pair whose gap may). Beside it, labelled, what Paper A reports: the mean of the shares between 0 and 1
    (above 0), all others left out. Raises `InputError` for results without a gap.
    """
    pairs = [row for result in results for row in _pairs(result)]
    if not pairs:
        raise InputError(
            f"None of {len(results)} results says how large the gap between text and image is. Expected results of "
            f"`back_patching` on tasks that have both panels."
        )
    return pairs + [row for selection in SELECTIONS.values() for row in _together(pairs, selection)]


def _pairs(result: Result) -> list[Row]:
    if result.identity["experiment"] != "back_patching":
        raise InputError(
            f"A result of '{result.identity['experiment']}' closes no gap. Expected results of `back_patching`."
        )
    told: dict[str, Any] = {name: str(result.identity[name]) for name in ("model", "task")}
    rows = [row for row in result.rows if row["panel"] == "image" and row.get("gap") is not None]
    return [
        told
        | {"selection": SELECTIONS[str(row["cell"])], "rule": "this pair", "pairs": 1}
        | {name: row.get(name) for name in (*(f"gap{end}" for end in ENDS), "gain", "share of gap")}
        for row in rows
    ]


def _together(pairs: Sequence[Row], selection: str) -> list[Row]:
    chosen = [row for row in pairs if row["selection"] == selection]
    gains, gaps = ([value or 0.0 for value in numbers(chosen, name)] for name in ("gain", "gap"))
    low, high = total_gap(chosen)
    told: Row = {"model": "all", "task": "all", "selection": selection}
    told = {**told, "gap": sum(gaps), "gap, low": low, "gap, high": high, "gain": sum(gains)}
    total = sum(gains) / sum(gaps) if low > 0 or high < 0 else None
    open_pairs = [(gain, gap) for gain, gap in zip(gains, gaps, strict=True) if gap]
    shares = [gain / gap for gain, gap in open_pairs]
    filtered = PAPER_A.closed(*zip(*open_pairs, strict=True)) if open_pairs else float("nan")
    kept = sum(0 < share <= 1 for share in shares)
    return [
        {**told, "rule": "total", "pairs": len(chosen), "share of gap": total},
        {**told, "rule": "mean of shares in (0, 1] (Paper A)", "pairs": kept, "share of gap": filtered},
    ]


def total_gap(pairs: Sequence[Row]) -> tuple[float, float]:
    """The interval of the sum of gaps, from theirs: how far it reaches below the sum, and above.

    Models that do one task do it on the same prompts, so their reaches add up; those of tasks are independent and add up
    as roots of squares. Source: Zou & Donner 2008.
    """
    gap, low, high = (np.array(numbers(pairs, f"gap{end}"), float) for end in ENDS)
    tasks = np.array([str(row["task"]) for row in pairs])
    sums = np.array([[(gap - low)[tasks == task].sum(), (high - gap)[tasks == task].sum()] for task in set(tasks)])
    below, above = np.sqrt((sums**2).sum(0))
    return float(gap.sum() - below), float(gap.sum() + above)
