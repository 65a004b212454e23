"""The faithfulness curve end to end: ablations, rankings, bisection and stability, on a tiny random model."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from diptych.compare import stability
from diptych.errors import InputError
from diptych.experiments._curve import areas
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import (
    Measured,
    as_scored,
    by_size,
    helpful_first,
    measure,
    random_scores,
    reversed_order,
)
from diptych.experiments._ranked import rankings
from diptych.experiments.faithfulness_curve import _stability, choose
from diptych.faithfulness import MIB_SIZES, bisect, cmd, cpr
from diptych.grid import Grid
from diptych.layout import Layout
from diptych.metrics import logit_diff
from diptych.result import Result
from diptych.run import Run, Store
from diptych.statistics import Estimate
from diptych.tasks.counting import counting
from laws import IMAGE, circuit, scores
from prompts import answers, batch, contrasts
from test_attribution import double, nodes_like
from tiny import tiny

QUICK: dict[str, Any] = {"modality": "text", "sizes": (0.3, 1.0), "random_circuits": 2, "halvings": 1, "threshold": 0.5}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")
    store = Store(tmp_path_factory.mktemp("runs"))
    return Run(str(folder), counting(per_split=24, style="shapes"), store=store, load=lambda source: tiny("qwen2_vl"))


def curve(run: Run, **options: Any) -> Result:
    return run.get("faithfulness_curve", **QUICK, **{"discovery": {"method": "ap"}} | options)


@pytest.mark.parametrize("ablation", ["counterfactual", "zero", "mean"])
def test_under_every_ablation_the_whole_model_is_faithful_and_its_parts_are_measured(run: Run, ablation: str) -> None:
    result = curve(run, ablation=ablation)

    whole, part = result.rows[-1], result.rows[0]
    assert result.conditions["ablation"] == ablation
    if whole["faithfulness"] is None:  # the effect of a random model may be too small to divide by
        assert any("contains 0" in note for note in result.notes)
    else:
        assert whole["faithfulness"] == pytest.approx(1) and part["faithfulness"] != pytest.approx(1, abs=1e-3)
        assert whole["lowest scores first"] == pytest.approx(1)


def test_ablations_differ_and_say_what_the_mean_is_over(run: Run) -> None:
    found = {ablation: curve(run, ablation=ablation) for ablation in ("counterfactual", "zero", "mean")}

    ratios = {ablation: result.rows[0]["mean of ratios"] for ablation, result in found.items()}
    assert len(set(ratios.values())) == 3
    used = found["mean"].conditions["mean over"]
    discovered = run.get("discover", modality="text", method="ap").conditions["n discover"]
    assert used == f"{discovered} clean discover prompts"
    assert any("every node at its mean" in note for note in found["mean"].notes)


def test_sizes_are_chosen_on_prompts_of_select_and_reported_on_those_of_test(run: Run) -> None:
    result = curve(run)

    units = run.store.folder(result).path / "units"
    splits = {path.name: {unit.name.partition("-")[0] for unit in path.iterdir()} for path in units.iterdir()}
    assert {name.split()[0].split("-")[0] for name in splits} >= {"select", "test"}
    assert all(some == {"test" if name.startswith("test") else "select"} for name, some in splits.items())


def test_a_curve_tells_how_stable_its_circuit_is_and_how_exact_its_scores_are(run: Run) -> None:
    conditions = curve(run).conditions

    assert "completeness error (median)" in conditions
    if conditions["minimal size"] is not None:
        assert 0 < float(conditions["stability of heads"] or 0) <= 1
        assert float(conditions["stability of heads"] or 0) > float(conditions["stability of random heads"] or 0)


def test_the_empty_circuit_of_zero_ablation_is_the_run_with_every_node_at_zero() -> None:
    vlm = double("llava")
    some = batch(vlm, "text", 2)
    whole = ~nodes_like(vlm, some)
    scores_of_all = whole.map(lambda nodes: nodes.float())

    found = measure(
        vlm,
        (0, contrasts("text", 2)),
        scores=scores_of_all,
        sizes=[1.0],
        orders={"circuit": as_scored},
        ablation="zero",
        means=None,
        metric="logit_diff",
        answers=answers(vlm),
        batch_size=8,
    )

    with vlm.edit_inputs(dict.fromkeys(vlm.sites, torch.zeros_like)), torch.no_grad():
        silent = vlm.run(vlm.capture(some.clean))
    expected = logit_diff(silent, some.answers, some.counter_answers)
    assert (found["model"] - expected).abs().max() > 1e-2
    torch.testing.assert_close(found["empty"], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found["circuit"][0], found["model"], atol=0, rtol=0)


def estimate(value: float) -> Estimate:
    return Estimate(value, value, value, 4, "4 clusters", "none", 0, 0)


def tried(values: dict[float, float]) -> dict[float, Estimate]:
    return {size: estimate(value) for size, value in values.items()}


def test_the_minimal_size_is_refined_between_it_and_the_next_smaller_one() -> None:
    asked = []

    def passes(size: float, threshold: float) -> bool:
        asked.append(size)
        return size >= 0.33

    assert choose(tried({0.1: 0.2, 0.2: 0.5, 0.6: 0.9, 1.0: 1.0}), 0.8, 3, passes) == 0.35
    assert asked == [0.4, 0.3, 0.35]


def test_the_smallest_size_is_refined_towards_the_empty_circuit() -> None:
    assert choose(tried({0.2: 0.9, 1.0: 1.0}), 0.8, 2, lambda size, threshold: True) == 0.05


def test_without_a_size_that_passes_nothing_is_tried() -> None:
    assert choose(tried({0.2: 0.9, 1.0: 0.7}), 0.8, 2, lambda size, threshold: pytest.fail("tried")) is None


@pytest.mark.parametrize("true", [0.011, 0.02, 0.031])
def test_bisection_ends_within_the_last_halving_above_the_smallest_size_that_passes(true: float) -> None:
    found = bisect(lambda size: size >= true, 0.01, 0.05, 6)

    assert true <= found <= true + 0.04 / 2**6 + 1e-9


def line(*values: float) -> Grid:
    """Scores of one head and one neuron at each of as many positions, the first two of them the prefix."""
    nodes = torch.tensor([float(value) for value in values]).reshape(1, -1, 1)
    return Grid(nodes, nodes, Layout.of((2, 4), len(values)), "m")


def ranked(order: Any, size: float, *values: float) -> list[int]:
    return order(line(*values)).top(size).heads.flatten().nonzero().flatten().tolist()


def test_in_reversed_order_the_lowest_scores_come_first_and_the_prefix_last() -> None:
    lowest = reversed_order(line(0, 0, 5, 1, 3, 2), order=helpful_first("logit_diff", "l1"))

    kept = [lowest.top(k / 6 + 0.01).heads.flatten().nonzero().flatten().tolist() for k in (1, 3)]
    assert kept == [[3], [3, 4, 5]] and lowest.top(0.9).heads.flatten()[0]


def test_signed_scores_are_ranked_by_how_much_patching_takes_the_metric_to_the_counterfactual() -> None:
    values = (0, 0, 4, -5, 1, -2)

    assert ranked(helpful_first("logit_diff", "signed"), 0.34, *values) == [3, 5]
    assert ranked(helpful_first("indirect_effect", "signed"), 0.34, *values) == [2, 4]
    assert ranked(helpful_first("logit_diff", "abs"), 0.34, *values) == [2, 4]
    assert ranked(by_size, 0.34, *values) == [2, 3]


def test_each_random_circuit_is_drawn_with_a_seed_of_its_own() -> None:
    orders = rankings(helpful_first("logit_diff", "l1"), "l1", 3, 7)

    drawn = [order(scores(IMAGE, 0)).top(0.3) for name, order in orders.items() if name.startswith("random")]
    assert len(drawn) == 3 and not any(drawn[0].equal(other) for other in drawn[1:])
    assert drawn[1].equal(random_scores(scores(IMAGE, 0), 8).top(0.3))


def measured(**curves: list[float]) -> Measured:
    """Two prompts with m(model) = 2 and m(empty) = 0 under circuits of increasing size."""
    circuits = {name: np.array([[2 * value, 2 * value] for value in values]) for name, values in curves.items()}
    return Measured(np.full(2, 2.0), np.zeros(2), circuits, ["a", "b"], seed=0)


def test_cpr_ranks_by_signed_scores_and_cmd_by_absolute_ones() -> None:
    half, early = [0.5] * 10, [0.75] * 10

    found = areas(MIB_SIZES, measured(circuit=early, absolute=half), "signed")

    assert found["CPR"] == pytest.approx(cpr(MIB_SIZES, early)) and found["CMD"] == pytest.approx(cmd(MIB_SIZES, half))
    assert (found["CPR ranks by"], found["CMD ranks by"]) == ("signed scores", "absolute value of signed scores")
    assert areas(MIB_SIZES, measured(circuit=early), "l1")["CPR ranks by"] == "absolute scores (l1)"
    assert areas((0.5, 1.0), measured(circuit=early), "l1") == {}


def test_areas_of_an_undefined_faithfulness_are_undefined() -> None:
    nothing = replace(measured(circuit=[0.5] * 10), model=np.array([1.0, -1.0]))

    found = areas(MIB_SIZES, nothing, "l1")

    assert math.isnan(float(found["CPR"])) and math.isnan(float(found["CMD"]))


def test_circuits_found_alike_are_stable_and_random_ones_as_chance_says() -> None:
    same = stability([circuit(IMAGE, 1)] * 3)
    drawn = [
        random_scores(Grid(torch.zeros(4, 9, 30), torch.zeros(4, 9, 90), Layout.of((0, 5), 9), "m"), seed).top(0.3)
        for seed in range(6)
    ]

    assert {kind: value for kind, (value, _) in same.items()} == {"heads": 1, "neurons": 1}
    found, expected = stability(drawn)["neurons"]
    assert expected == pytest.approx(0.3 * 0.3 / (0.6 - 0.09), abs=0.001) and found == pytest.approx(expected, abs=0.01)


def test_stability_by_hand() -> None:
    drawn = [line(9, 8, 7, 0, 0, 0).top(0.5), line(9, 8, 0, 7, 0, 0).top(0.5), line(0, 0, 0, 7, 8, 9).top(0.5)]

    assert stability(drawn)["heads"][0] == pytest.approx((2 / 4 + 0 / 6 + 1 / 5) / 3)


def test_one_circuit_alone_has_no_stability() -> None:
    with pytest.raises(InputError, match="Stability compares circuits pairwise; got 1. Give at least 2"):
        stability([circuit(IMAGE, 1)])


def test_rediscoveries_use_only_folds_that_hold_prompts() -> None:
    nodes = torch.zeros(4, 1, 6, 1)
    nodes[2] = torch.arange(6.0).view(1, 6, 1)
    folds = FoldScores(nodes, nodes, torch.tensor([0, 0, 5, 0]), Layout.of((2, 4), 6), "m")

    assert _stability(folds, helpful_first("logit_diff", "l1"), 0.5, 3, 0)["stability of heads"] == 1
