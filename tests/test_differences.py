"""Intervals of differences of accuracies: those of Wilson and Tango where there are such, and what they hold."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from clusters import names
from diptych.statistics import paired_difference, share


@pytest.mark.parametrize(("right", "n"), [(0, 12), (1, 40), (13, 40), (40, 40)])
def test_the_score_interval_of_zeros_and_ones_is_wilson_s(right: int, n: int) -> None:
    values = [1.0] * right + [0.0] * (n - right)

    found, wilson = paired_difference(values, names(n), (0, 1)), share([bool(value) for value in values])

    assert (found.value, found.low, found.high) == pytest.approx((wilson.value, wilson.low, wilson.high), abs=1e-6)


@pytest.mark.parametrize(("helped", "hurt"), [(0, 0), (1, 0), (3, 0), (7, 2), (5, 5), (0, 9)])
def test_the_score_interval_of_a_gain_is_tango_s(helped: int, hurt: int) -> None:
    n = 60
    values = np.array([1.0] * helped + [-1.0] * hurt + [0.0] * (n - helped - hurt))

    found = paired_difference(values, names(n))

    assert found.low < found.value < found.high
    for limit in (found.low, found.high):  # Tango 1998: the likeliest share that is hurt is the root of a quadratic
        a, b = 2 * n, -helped - hurt + (2 * n - helped + hurt) * limit
        share_hurt = (math.sqrt(b**2 - 4 * a * -hurt * limit * (1 - limit)) - b) / (2 * a)
        z = (helped - hurt - n * limit) / math.sqrt(n * (2 * share_hurt + limit * (1 - limit)))
        assert abs(z) == pytest.approx(1.959964, abs=1e-4)


@pytest.mark.parametrize("values", [[0.6, 0.5, -0.2, 0.1, 0.0, 0.0, 0.3, 0.2], [0.9, -0.9] * 12], ids=len)
def test_the_score_interval_is_tested_with_the_likeliest_weights(values: list[float]) -> None:
    n = len(values)
    high = paired_difference(values, names(n)).high

    short = np.append(values, 1.0) - high  # the bound is possible, though nobody was there
    mean = {"type": "eq", "fun": lambda weights: weights @ short}
    whole = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    found = optimize.minimize(
        lambda weights: -np.log(weights[:n]).sum(),
        np.full(n + 1, 1 / (n + 1)),
        bounds=[(1e-6, 1)] * n + [(0, 1)],
        constraints=[mean, whole],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert n * short[:n].mean() ** 2 / (found.x @ short**2) == pytest.approx(1.959964**2, rel=1e-3)


@pytest.mark.parametrize("rare", [False, True])
def test_a_difference_turned_round_and_clusters_of_alike_prompts_tell_the_same(rare: bool) -> None:
    values = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=40) * (not rare)

    found, back, thrice = (
        paired_difference(some, names(len(some), size=size))
        for some, size in ((values, 1), (-values, 1), (values.repeat(3), 3))
    )

    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert (thrice.low, thrice.high) == pytest.approx((found.low, found.high))
    one = paired_difference(values, ["a"] * 40)
    assert math.isnan(one.low) and "one cluster" in one.reason


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.03, 0.05])
def test_a_rare_gain_of_one_sign_is_held_nearly_as_often_as_it_is_said(rate: float) -> None:
    held = [
        paired_difference([1.0] * helped + [0.0] * (100 - helped), names(100)) for helped in range(16)
    ]  # by number of prompts that are helped

    chance = stats.binom.pmf(range(16), 100, rate)
    assert sum(p for p, one in zip(chance, held, strict=True) if one.low <= rate <= one.high) > 0.93
