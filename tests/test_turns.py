"""The layer at which curves turn, by hand (methods §11–§12)."""

import math

import numpy as np
import pytest

from diptych.turns import crossing, depth, half_fallen, half_risen, onset


def both(first: list[float], second: list[float]) -> np.ndarray:
    return np.array([*first, *second])


def test_two_curves_cross_between_layers_by_a_straight_line() -> None:
    assert crossing(both([1, 0.8, 0.2, 0], [0, 0.2, 0.6, 1])) == pytest.approx(1.6)  # +0.6 at 1, −0.4 at 2
    assert crossing(both([1, 1, 0], [0, 1, 1])) == 1  # they meet at 1


def test_a_tie_is_not_on_top() -> None:
    never_again = both([0.5, 0, 0, 0, 0], [0, 0, 0, 0.5, 1])

    assert crossing(never_again) == 1  # +0.5 at 0, none at 1 to 2


def test_of_several_crossings_the_last_one_down_counts_and_the_first_layer_on_top_is_the_onset() -> None:
    curves = both([0, 0, 1, 1, 0], [1, 1, 0, 0, 1])

    assert crossing(curves) == 3.5 and onset(curves) == 2


@pytest.mark.parametrize("turn", [crossing, onset])
def test_curves_of_which_the_first_is_never_on_top_do_not_turn(turn) -> None:  # type: ignore[no-untyped-def]
    assert math.isnan(turn(both([0, 0, 0], [1, 1, 1]))) and math.isnan(turn(both([0, 0], [0, 0])))


def test_curves_of_which_the_first_stays_on_top_do_not_cross() -> None:
    assert math.isnan(crossing(both([1, 1], [0, 0])))


def test_half_of_a_rise_is_counted_from_the_floor_to_the_peak() -> None:
    assert half_risen(0.2)(np.array([0.2, 0.5, 0.7, 1.0, 0.9])) == 2  # (0.2 + 1) / 2 = 0.6
    assert half_risen(0.2)(np.array([1.0, 1.0])) == 0
    assert half_risen(0.2)(np.array([0.1, 0.2, 0.1])) == 3  # never reached


def test_half_of_a_fall_is_told_by_the_last_layer_before_it() -> None:
    assert half_fallen(np.array([0.8, 0.8, 0.5, 0.3, 0.0])) == 2
    assert half_fallen(np.array([0.8, 0.0])) == 0
    assert half_fallen(np.array([0.8, 0.7])) == 1
    assert math.isnan(half_fallen(np.array([0.0, 0.0]))) and math.isnan(half_fallen(np.array([-0.1, 0.0])))


def test_the_interval_of_a_layer_is_that_of_resampled_mean_curves() -> None:
    early, late = [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]
    curves, clusters = np.array([early] * 5 + [late] * 5).T, list("abcdefghij")

    found = depth(curves, clusters, half_fallen, seed=0)
    sure = depth(np.array([late] * 10).T, clusters, half_fallen, seed=0)

    assert (found.value, found.low, found.high, found.n) == (2, 0, 2, 10)
    assert (sure.value, sure.low, sure.high) == (2, 2, 2)


def test_a_layer_that_cannot_be_known_says_why() -> None:
    assert "does not turn" in depth(np.zeros((3, 10)), list("abcdefghij"), half_fallen, seed=0).reason


def test_a_layer_is_told_of_ten_clusters_and_not_of_nine() -> None:
    curves, clusters = np.tile([[1.0], [0.0]], 20), list("abcdefghij") * 2

    found, few = depth(curves, clusters, half_fallen, seed=0), depth(curves[:, :9], clusters[:9], half_fallen, seed=0)

    assert found.value == 0 and math.isnan(few.value) and math.isnan(few.low)
    assert few.n == 9 and few.reason == "9 clusters, at least 10 expected"
