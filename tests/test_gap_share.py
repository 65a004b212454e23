"""The share of the gap that is closed: total over total, with Paper A's filtered mean beside it."""

import math

import pytest

from diptych.errors import InputError
from diptych.gap_share import gap_closed
from diptych.result import Result, Row


def found(
    task: str,
    gap: float | None,
    held_out: float,
    in_sample: float,
    experiment: str = "back_patching",
    reach: float = 0.05,
) -> Result:
    """A result of back-patching one task, whose text rows have no gap."""
    identity = {"experiment": experiment, "model": "m", "task": task, "digest": task}
    gaps: Row = {} if gap is None else {"gap": gap, "gap, low": gap - reach, "gap, high": gap + reach}
    gaps |= {} if gap is None else {"share of gap": math.nan}
    rows: list[Row] = [{"panel": "text", "cell": "chosen on select", "gain": 0.5}]
    gains = {"chosen on select": held_out, "best on test (in-sample)": in_sample}
    rows += [{"panel": "image", "cell": cell, "gain": gain, **gaps} for cell, gain in gains.items()]
    return Result(identity, "said", rows, {})


def of_all(results: list[Result], selection: str, rule: str) -> Row:
    (row,) = (r for r in gap_closed(results) if (r["task"], r["selection"], r["rule"]) == ("all", selection, rule))
    return row


def test_all_pairs_together_close_their_total_gain_over_their_total_gap() -> None:
    results = [found("a", 0.4, 0.1, 0.2), found("b", 0.1, -0.1, 0.2), found("c", -0.1, 0.04, 0.1)]

    held_out, in_sample = (of_all(results, how, "total") for how in ("held out", "in-sample (Paper A)"))

    assert held_out["share of gap"] == pytest.approx((0.1 - 0.1 + 0.04) / 0.4) and held_out["pairs"] == 3
    assert in_sample["share of gap"] == pytest.approx((0.2 + 0.2 + 0.1) / 0.4)


def test_the_authors_mean_leaves_out_all_but_the_shares_between_none_and_all() -> None:
    results = [found("a", 0.4, 0.1, 0.2), found("b", 0.1, -0.1, 0.2), found("c", 0.5, 0.05, 0.5), found("d", 0.0, 0, 0)]

    row = of_all(results, "in-sample (Paper A)", "mean of shares in (0, 1] (Paper A)")

    assert row["share of gap"] == pytest.approx((0.5 + 1.0) / 2) and row["pairs"] == 2


def test_the_total_is_undefined_where_the_total_gap_may_be_nothing_as_models_of_one_task_share_its_prompts() -> None:
    def total(*tasks: str) -> Row:
        return of_all([found(task, 0.4, 0.1, 0.2, reach=0.5) for task in tasks], "held out", "total")

    apart, alike = total("a", "b"), total("a", "a")

    # 0.8 ± √2 · 0.5 for two tasks, 0.8 ± 2 · 0.5 for two models of one
    assert apart["gap, low"] == pytest.approx(0.8 - 0.5 * math.sqrt(2)) and apart["share of gap"] == pytest.approx(0.25)
    assert alike["gap, low"] == pytest.approx(-0.2) and alike["share of gap"] is None
    assert alike["gap, high"] == pytest.approx(1.8)


def test_every_pair_of_model_and_task_has_a_row_for_each_selection() -> None:
    rows = [row for row in gap_closed([found("a", 0.4, 0.1, 0.2), found("b", 0.1, 0, 0)]) if row["pairs"] == 1]

    assert [(row["task"], row["selection"], row["gain"]) for row in rows if row["rule"] == "this pair"] == [
        ("a", "held out", 0.1),
        ("a", "in-sample (Paper A)", 0.2),
        ("b", "held out", 0),
        ("b", "in-sample (Paper A)", 0),
    ]


def test_results_without_a_gap_are_refused() -> None:
    with pytest.raises(InputError, match="None of 1 results says how large the gap"):
        gap_closed([found("a", None, 0.1, 0.2)])
    with pytest.raises(InputError, match="A result of 'accuracy' closes no gap"):
        gap_closed([found("a", 0.1, 0.1, 0.2, "accuracy")])
