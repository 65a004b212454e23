"""The study of steps and sizes: its reductions by hand, its adaptive steps against `ap_ig`'s, and its record's freshness."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from steps_measured import DEFAULT, FIXED, SIZES, WAYS, Errors, Way, integrated, mean
from steps_measured import REFINED as CHAINS
from steps_study import AGAIN, PAGE, paged, said, stale
from steps_told import REFINED, SWEEP, at_equal_cost, minimal, of_way, shares

from diptych.attribution.ap_ig import ap_ig
from diptych.models.encode import encode
from prompts import answers, batch, contrasts
from tiny import tiny

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "docs" / "steps.json"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8"))


def test_the_record_of_steps_is_of_the_code_the_tasks_and_the_weights_as_they_are(record: dict[str, Any]) -> None:
    assert stale(record) == [], AGAIN


def test_what_is_of_other_weights_or_other_code_or_lacks_is_stale(record: dict[str, Any]) -> None:
    first, *rest, last = record["pairs"]
    older = {"made": record["made"] | {"told by": "0" * 12}, "pairs": [first | {"weights": "0" * 12}, *rest]}

    assert stale(older) == [said(first), said(last), "the comparisons"]


def test_the_page_on_steps_says_what_the_record_holds() -> None:
    assert PAGE.read_text(encoding="utf-8") == paged(), (
        "run `python scripts/steps_study.py --page`, then read what changed"
    )


def test_the_record_is_of_every_organism_task_and_panel_that_it_does_not_call_lacking(record: dict[str, Any]) -> None:
    held = {(pair["model"], pair["task"], pair["panel"]) for pair in record["pairs"]}

    assert len(held) + len(set(record["made"]["lacking"])) == 3 * 5 * 2
    for pair in record["pairs"]:
        for name, way in pair["ways"].items():
            assert way["forwards"] == pytest.approx(2 + way["steps"], rel=1e-3), name
        assert pair["ways"]["midpoint 10"]["steps"] == 10 and 0 < pair["n"]["select"] <= 24


def test_a_mean_number_of_steps_lies_between_its_neighbours_on_a_line_over_log_steps() -> None:
    assert shares(5, (3, 5, 10)) == {5: 1.0}
    assert shares(math.sqrt(50), (3, 5, 10)) == pytest.approx({5: 0.5, 10: 0.5})
    assert shares(6, (5, 15)) == pytest.approx({5: 1 - math.log(1.2) / math.log(3), 15: math.log(1.2) / math.log(3)})


def numbers(prompts: int = 6) -> dict[str, Any]:
    """Of ways whose likeness and effects are lines over log steps, of the rule `right` .1 lower."""

    steps = np.array([[way.steps[0]] * prompts for way in WAYS])
    refined = [place for place, way in enumerate(WAYS) if len(way.steps) > 1]
    steps[refined, : prompts // 2] = [[WAYS[place].steps[1]] for place in refined]
    line = np.log(steps.mean(1)) / 10 - np.array([way.rule == "right" for way in WAYS]) / 10
    return {
        "steps": steps,
        "errors": np.arange(len(FIXED) * prompts).reshape(len(FIXED), prompts) / 100,
        "likeness": np.stack([line, 2 * line], 1),
        "kept": np.tile(np.repeat(line, len(SIZES))[:, None], prompts) * np.arange(1, prompts + 1),
        "total": np.arange(1.0, prompts + 1),
        "clusters": np.arange(prompts).astype(str),
    }


def test_what_lies_on_the_line_of_fixed_steps_differs_by_nothing_at_equal_cost() -> None:
    for way in REFINED:
        found = at_equal_cost(numbers(), way)
        assert found["correlation"] == pytest.approx(0) and found["top"] == pytest.approx(0), way
        assert np.array(found["F"]) == pytest.approx(0, abs=1e-12)


def test_what_lies_above_the_line_is_better_by_as_much_at_equal_cost() -> None:
    some, way = numbers(), REFINED[0]
    some["likeness"][WAYS.index(way)] += [0.01, 0.02]
    kept = some["kept"].reshape(len(WAYS), -1, 6)
    kept[WAYS.index(way)] += 0.3 * some["total"]

    found = at_equal_cost(some, way)

    assert [found["correlation"], found["top"]] == pytest.approx([0.01, 0.02])
    assert np.array(found["F"]) == pytest.approx(0.3)


def test_a_way_costs_two_forwards_and_one_of_each_per_step_and_has_each_prompt_s_own_error() -> None:
    some, way = numbers(2), Way("midpoint", (5, 15), 0.1)
    errors = some["errors"]
    own = [errors[FIXED.index(Way("midpoint", (15,))), 0], errors[FIXED.index(Way("midpoint", (5,))), 1]]

    found = of_way(some, way)

    assert (found["forwards"], found["backwards"]) == (12, 10) and found["error"] == pytest.approx(np.mean(own))
    assert found["F"] == pytest.approx([some["likeness"][WAYS.index(way), 0]] * 3)


def test_the_size_found_and_what_it_costs_by_hand() -> None:
    kept = np.repeat([[0.0] * 10 + [0.9] * 16 + [1.0]], 24, 0).T

    found = minimal(kept, np.ones(24))

    assert found["sweep"] == found["bisection"]["size"] == SWEEP[10] and found["crossings"] == 1
    assert found["bisection"] == {"size": SWEEP[10], "off": 0, "forwards": 7}  # sizes 13, 6, 10, 8, 9
    assert found["race"] == {"off": [0] * 20, "forwards": 3.5}  # 12 of the 24 prompts leave no doubt


def test_a_sweep_that_ends_higher_on_a_curve_that_dips_is_told() -> None:
    found = minimal(np.repeat([[0.0] * 5 + [0.9] * 15 + [0.1] * 3 + [0.9] * 4], 24, 0).T, np.ones(24))

    assert found["crossings"] == 3 and found["bisection"]["off"] == 5 - 23


def test_prompts_are_refined_by_their_own_error_or_by_its_share_of_the_mean_effect() -> None:
    at = {Way("midpoint", (5,)): np.array([0.2, 0.2, 0.05]), Way("midpoint", (15,)): np.array([0.15, 0.05, 0.0])}
    errors = Errors(np.array([0.5, 1.0, 1.5]), at)

    assert Way("midpoint", (5, 15, 45), 0.1).used(errors).tolist() == [45, 15, 5]
    assert Way("midpoint", (5, 15), 0.1, pooled=True).used(errors).tolist() == [5, 15, 5]  # .2 · .5 / 1 is not above .1


def test_the_study_s_adaptive_scores_and_steps_are_those_of_ap_ig() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image")
    grids, errors = integrated(vlm, encode(vlm, contrasts("image"), answers(vlm), batch_size=1).batches, some.layout)
    own = np.sort(errors.at[Way("midpoint", (5,))])
    tolerance = float(own[:2].mean())

    for rule, chain in CHAINS:
        way = Way(rule, chain, tolerance)
        found = ap_ig(vlm, some, rule=rule, tolerance=tolerance, cap=chain[-1])
        steps = way.used(errors)
        assert found.steps.tolist() == steps.tolist()
        expected = mean(grids, rule, steps)
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(found.scores, expected, strict=True))
    assert set(Way(*CHAINS[0], tolerance).used(errors)) == {5, 15} and Way("midpoint", (5, 15), 0.1) == DEFAULT
