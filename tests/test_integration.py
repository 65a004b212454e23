"""Integration rules, several points per run, memory and metrics (methods §4)."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from diptych.attribution._integrate import Integral
from diptych.attribution._rules import RULES, left_points, midpoints, right_points, trapezoid_points
from diptych.attribution.ap import ap
from diptych.attribution.ap_ig import ap_ig
from diptych.attribution.relp import relp
from diptych.errors import InputError
from diptych.items import MODALITIES, Modality
from diptych.metrics import METRICS, logit_diff, metric
from diptych.models.calls import Path
from memory import PeakMemory
from prompts import batch
from test_attribution import double, nodes_like
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)
METHODS = {"ap": ap, "ap_ig": lambda vlm, some, **options: ap_ig(vlm, some, steps=3, **options), "relp": relp}


def mean_of(rule: str, steps: int, power: int) -> Fraction:
    """The rule's value of ∫ α^power."""
    points = RULES[rule].points(steps)
    total = sum(Fraction(weight) * alpha**power for alpha, weight in points.items())
    return total / sum(Fraction(weight) for weight in points.values())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [2, 5, 8])
def test_a_rule_takes_the_steps_asked_for_and_refining_keeps_them_at_their_weights(rule: str, steps: int) -> None:
    old = RULES[rule].points(steps)
    refined = RULES[rule].points(RULES[rule].refine(steps))

    assert len(old) == steps and len(refined) == RULES[rule].refine(steps) > steps
    assert old.items() <= refined.items()
    assert all(0 <= alpha <= 1 for alpha in refined)


def test_rules_integrate_what_they_integrate_exactly() -> None:
    assert all(mean_of(rule, 4, 0) == 1 for rule in RULES)
    assert mean_of("midpoint", 4, 1) == mean_of("trapezoid", 4, 1) == Fraction(1, 2)
    assert mean_of("right", 4, 1) == Fraction(5, 8) and mean_of("left", 4, 1) == Fraction(3, 8)
    assert mean_of("midpoint", 4, 2) == Fraction(21, 64) and mean_of("trapezoid", 3, 2) == Fraction(3, 8)


def test_the_points_are_those_of_the_textbook() -> None:
    assert left_points(4) == {Fraction(i, 4): 1.0 for i in range(4)}
    assert trapezoid_points(3) == {Fraction(0): 0.5, Fraction(1, 2): 1.0, Fraction(1): 0.5}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_trapezoid_is_the_mean_of_left_and_right(family: str) -> None:
    vlm = double(family)
    some = batch(vlm, "image", 2)
    left, right, both = (
        ap_ig(vlm, some, rule=rule, steps=steps, reduction="signed", at_once=2).scores
        for rule, steps in (("left", 4), ("right", 4), ("trapezoid", 5))
    )

    assert (left.neurons - right.neurons).abs().max() > 1e-3
    for a, b, mean in zip(left, right, both, strict=True):
        torch.testing.assert_close(mean, (a + b) / 2)


@pytest.mark.parametrize("rule", RULES)
def test_an_adaptive_rule_equals_its_last_refinement_at_once(rule: str) -> None:
    vlm = double("llava")
    some = batch(vlm, "image", 2)
    last = {"midpoint": 15, "right": 10, "left": 10, "trapezoid": 9}[rule]

    refined, at_once = ap_ig(vlm, some, rule=rule, tolerance=0.0), ap_ig(vlm, some, rule=rule, steps=last)

    assert refined.steps.tolist() == [last, last]
    torch.testing.assert_close(refined.scores.heads, at_once.scores.heads)
    torch.testing.assert_close(refined.completeness, at_once.completeness)


@every_model
@both_panels
def test_points_that_share_a_run_equal_points_one_by_one(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)  # of prompts and points coprime in number, points in a wrong order come out right

    apart, together = ap_ig(vlm, some, steps=5), ap_ig(vlm, some, steps=5, at_once=4)

    for a, b in zip(apart.scores, together.scores, strict=True):
        assert a.abs().max() > 1e-3
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)  # float32 inside the norms
    torch.testing.assert_close(apart.completeness, together.completeness, atol=1e-5, rtol=1e-4)


@every_model
@pytest.mark.parametrize("method", METHODS)
def test_scores_made_in_low_memory_are_equal(family: str, kernel: str, method: str) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, "image", 2)

    high, low = (METHODS[method](vlm, some, memory=memory) for memory in ("high", "low"))

    for a, b in zip(high.scores, low.scores, strict=True):
        assert a.abs().max() > 1e-3
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)  # float32 inside the norms, other batch sizes
    torch.testing.assert_close(high.completeness, low.completeness)


@pytest.mark.parametrize("family", FAMILIES)
def test_low_memory_needs_much_less_and_keeps_no_run(family: str) -> None:
    vlm = tiny(family)
    some = batch(vlm, "image", 8)
    peaks = {}
    for memory in ("high", "low"):
        with PeakMemory() as used:
            ap_ig(vlm, some, steps=2, memory=memory)  # type: ignore[arg-type]
        peaks[memory] = used.peak
    nodes = (
        4 * sum(mask.numel() * width for mask, width in zip(nodes_like(vlm, some), (16, 1), strict=True)) * len(some)
    )

    integral = Integral(vlm, some, logit_diff, memory="low")

    assert peaks["low"] < 0.65 * peaks["high"] and peaks["high"] - peaks["low"] > 2 * nodes
    assert not hasattr(integral.directions, "values") and not integral.gradients


@pytest.mark.parametrize("name", METRICS)
@both_panels
def test_every_metric_is_followed_by_its_gradient(name: str, modality: Modality) -> None:
    """The sum over inputs is the derivative of the metric along the path, at the clean prompt."""
    vlm = double("qwen2_vl")
    some = batch(vlm, modality, 2)
    likely = vlm.run(vlm.capture(some.clean)).topk(2).indices  # an answer of probability 0 has no slope
    some = replace(some, answers=likely[:, 0], counter_answers=likely[:, 1])
    integral = Integral(vlm, some, metric(name))
    integral.add(right_points(1), [0, 1])
    path, step = Path.between(vlm.capture(some.clean), vlm.capture(some.counterfactual)), 3e-3
    with torch.no_grad():
        ends = [
            metric(name)(vlm.run(path.at(alpha)[0]), some.answers, some.counter_answers, integral.clean)
            for alpha in (1 - step, 1 + step)
        ]

    assert integral.inputs.abs().max() > 1e-2
    torch.testing.assert_close((ends[1] - ends[0]) / (2 * step), integral.inputs, rtol=2e-2, atol=1e-4)


def test_image_positions_differ_between_points_unless_they_are_held() -> None:
    vlm = double("qwen2_vl")
    some = batch(vlm, "image", 2)
    path = Path.between(vlm.capture(some.clean), vlm.capture(some.counterfactual))
    inside = vlm.image_positions(some.clean)
    held = path.holding(inside)

    third, half = (path.at(alpha)[1][0][inside] for alpha in (1 / 3, 1 / 2))
    still = [held.at(alpha)[1][0][inside] for alpha in (0.0, 1 / 2, 1.0)]

    assert (third - half).abs().max() > 1e-2
    assert torch.equal(still[0], still[1]) and torch.equal(still[0], still[2])
    assert torch.equal(still[0], path.clean.embeddings[inside])


def test_attribution_does_not_train_the_model() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)
    before = {name: parameter.clone() for name, parameter in vlm.model.named_parameters()}

    relp(vlm, some, memory="low")

    assert all(torch.equal(parameter, before[name]) for name, parameter in vlm.model.named_parameters())
    assert all(parameter.grad is None for parameter in vlm.model.parameters())
    assert all("forward" not in layer.__dict__ for layer in vlm.layers)


def test_settings_that_mean_nothing_are_refused() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)

    with pytest.raises(InputError, match="No memory setting named 'lo'. Known: high, low"):
        ap(vlm, some, memory="lo")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0 path points are to share a run; expected at least 1"):
        ap_ig(vlm, some, at_once=0)
    with pytest.raises(InputError, match="AP-IG takes 1 steps; expected at least 2"):
        ap_ig(vlm, some, rule="trapezoid", steps=1)
    with pytest.raises(InputError, match="AP-IG may take 1 steps at most; expected a cap of at least 2"):
        ap_ig(vlm, some, rule="trapezoid", cap=1)
    assert midpoints(1) == {Fraction(1, 2): 1.0}
