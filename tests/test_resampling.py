"""Draws behind intervals, against what they must have on average, and the record of how often intervals hold."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from simulate_intervals import stale

from diptych.errors import InputError
from diptych.statistics import expanded, fold_weights, student, together

ROOT = Path(__file__).parent.parent
RECORD = json.loads((ROOT / "docs" / "intervals.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("clusters", [3, 12, 100])
def test_the_expanded_level_makes_a_percentile_interval_as_wide_as_student_s(clusters: int) -> None:
    level = expanded(0.95, clusters)

    reach = stats.norm.ppf((1 + level) / 2) * math.sqrt((clusters - 1) / clusters)  # a bootstrap's spread is too small
    assert reach == pytest.approx(stats.t.ppf(0.975, clusters - 1))
    assert 0.95 < level < 1


def test_without_two_clusters_the_level_is_as_it_was() -> None:
    assert expanded(0.9, 1) == 0.9


def test_weights_of_folds_add_up_to_one_and_vary_as_means_do() -> None:
    weights, values = fold_weights(8, 20_000, 0), np.random.default_rng(1).normal(size=8)

    assert weights.sum(1) == pytest.approx(1) and weights.min() > 0
    assert weights.mean(0) == pytest.approx(1 / 8, abs=5e-3)
    assert (weights @ values).std() == pytest.approx(values.std(ddof=1) / math.sqrt(8), rel=0.03)


def test_two_folds_are_too_few_to_weigh() -> None:
    with pytest.raises(InputError, match="2 folds hold prompts; expected at least 3"):
        fold_weights(2, 10, 0)


def test_student_s_interval_by_hand_leaves_out_what_is_undefined() -> None:
    low, high = student(0.5, [0.1, 0.3, math.nan, 0.2], folds=4)

    reach = 3.182446 * 0.1
    assert (low, high) == (pytest.approx(0.5 - reach), pytest.approx(0.5 + reach))


@pytest.mark.parametrize(("value", "draws"), [(math.nan, [0.1, 0.2]), (0.1, []), (0.1, [0.1, math.nan])])
def test_there_is_no_interval_around_what_is_mostly_undefined(value: float, draws: list[float]) -> None:
    assert all(map(math.isnan, student(value, draws, folds=4)))


def test_a_cluster_is_drawn_equally_often_in_all_groups() -> None:
    text, image = together([["a", "a", "b", "c"], ["c", "a"]], 500, 0)

    assert (text.shape, image.shape) == ((500, 4), (500, 2))
    assert (text[:, 0] == text[:, 1]).all() and (text[:, 0] == image[:, 1]).all() and (text[:, 3] == image[:, 0]).all()
    assert (text[:, 1:].sum(1) == 3).all()  # three clusters, drawn three times
    assert text.std(0).min() > 0.5


def test_the_record_of_intervals_is_of_the_code_as_it_is() -> None:
    assert [case.name for case in stale(RECORD)] == [], "run `python scripts/simulate_intervals.py`"


@pytest.mark.parametrize("line", RECORD["lines"], ids=lambda line: f"{line['interval']}, {line['clusters']}")
def test_the_record_says_truly_how_often_intervals_hold(line: dict) -> None:
    low, high = RECORD["holds between"]

    assert (RECORD["level"], low, high, line["simulations"]) == (0.95, 0.93, 0.97, 1000)
    assert line["coverage"] == line["covered"] / line["simulations"]
    assert line["coverage low"] < line["coverage"] and (
        line["coverage"] < line["coverage high"] or line["coverage"] == 1
    )
    assert not line["expected to hold"] or low <= line["coverage"] <= high


def test_every_interval_holds_its_value_under_some_condition_that_is_named() -> None:
    held = {line["interval"] for line in RECORD["lines"] if line["expected to hold"]}

    assert {
        "mean",
        "accuracy",
        "gain in accuracy",
        "ratio of means",
        "normalised swap",
        "overlap",
        "entity gap",
    } <= held


def test_the_digest_of_code_changes_with_what_is_computed_and_not_with_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    from code_digest import code_digest

    texts = {
        "plain": "def used():\n    return 1\ndef root():\n    return used()\n",
        "words": '"""A module."""\ndef used():\n    """One."""\n    return 1  # why\ndef root():\n    return used()\n',
        "other": "def used():\n    return 2\ndef root():\n    return used()\n",
        "more": "def root():\n    return used()\ndef used():\n    return 1\ndef unused():\n    return 3\n",
    }
    found = {}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "subject.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path / name))
        sys.modules.pop("subject", None)
        _forget()
        found[name] = code_digest([("subject", "root")], ())

    assert found["plain"] == found["words"] == found["more"] != found["other"]


def _forget() -> None:
    import code_digest

    code_digest._names.cache_clear()
