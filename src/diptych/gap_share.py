"""The gap between the panels, and how much of it back-patching closes, over models and tasks (methods §10, §14)."""

from collections.abc import Sequence
from typing import Any

from diptych.errors import InputError
from diptych.paper_compat import PAPER_A
from diptych.result import Result, Row, numbers

SELECTIONS = {"chosen on select": "held out", "best on test (in-sample)": "in-sample (Paper A)"}
"""A row's cell → how it was selected."""


def gap_closed(results: Sequence[Result]) -> list[Row]:
    """The share of the gap that back-patching closes: of each result, and of all together, for both selections of cells.

    All together: total gain / total gap over all pairs of model and task. Beside it, labelled, what Paper A reports: the
    mean of the shares between 0 and 1 (above 0), all others left out. Raises `InputError` for results without a gap.
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
        | {"gap": row["gap"], "gain": row["gain"], "share of gap": row["share of gap"]}
        for row in rows
    ]


def _together(pairs: Sequence[Row], selection: str) -> list[Row]:
    chosen = [row for row in pairs if row["selection"] == selection]
    gains, gaps = ([value or 0.0 for value in numbers(chosen, name)] for name in ("gain", "gap"))
    told: Row = {"model": "all", "task": "all", "selection": selection, "gap": sum(gaps), "gain": sum(gains)}
    open_pairs = [(gain, gap) for gain, gap in zip(gains, gaps, strict=True) if gap]
    shares = [gain / gap for gain, gap in open_pairs]
    filtered = PAPER_A.closed(*zip(*open_pairs, strict=True)) if open_pairs else float("nan")
    kept = sum(0 < share <= 1 for share in shares)
    return [
        {**told, "rule": "total", "pairs": len(chosen), "share of gap": sum(gains) / sum(gaps) if sum(gaps) else None},
        {**told, "rule": "mean of shares in (0, 1] (Paper A)", "pairs": kept, "share of gap": filtered},
    ]
