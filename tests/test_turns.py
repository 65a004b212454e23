"""The layer at which curves turn, by hand (methods §11–§12)."""

import math

import numpy as np
import pytest

from diptych.experiments._layers import lag_said, lags
from diptych.experiments._text import fixed
from diptych.turns import bounded_depth, crossing, depth, fallen, half_risen, lag, onset, with_bounds


def curve(*values: float) -> np.ndarray:
    return np.array(values)


def test_a_curve_crosses_0_between_layers_by_a_straight_line() -> None:
    assert crossing(curve(1, 0.6, -0.4, -1)) == pytest.approx(1.6)
    assert crossing(curve(1, 0, -1)) == 1  # it meets 0 at 1


def test_0_is_not_above() -> None:
    assert crossing(curve(0.5, 0, 0, -0.5, -1)) == 1


def test_of_several_crossings_the_last_one_down_counts_and_the_first_layer_above_is_the_onset() -> None:
    found = curve(-1, -1, 1, 1, -1)

    assert crossing(found) == 3.5 and onset(found) == 2


def test_curves_that_are_never_above_0_cross_before_the_first_layer_and_have_no_onset() -> None:
    for low in (curve(-1, -1, -1), curve(0, 0)):
        assert crossing(low) == -math.inf and onset(low) == math.inf


def test_curves_that_stay_above_0_cross_behind_the_last_layer() -> None:
    assert crossing(curve(1, 1)) == math.inf


def test_half_of_a_rise_is_counted_from_0_to_the_peak() -> None:
    assert half_risen(curve(0, 0.3, 0.4, 0.8, 0.7)) == 2
    assert half_risen(curve(1, 1)) == 0
    assert half_risen(curve(-0.1, 0, -0.1)) == math.inf  # never reached


def test_a_fall_by_a_share_is_told_by_the_last_layer_before_it() -> None:
    half, tenth = fallen(0.5), fallen(0.1)

    assert half(curve(0.8, 0.8, 0.5, 0.3, 0.0)) == 2 and tenth(curve(0.8, 0.8, 0.5, 0.3, 0.0)) == 1
    assert half(curve(0.8, 0.0)) == tenth(curve(0.8, 0.0)) == 0
    assert half(curve(0.8, 0.7)) == math.inf and tenth(curve(0.8, 0.7)) == 0
    assert math.isnan(half(curve(0, 0))) and math.isnan(half(curve(-0.1, 0)))


def test_the_interval_of_a_layer_is_that_of_resampled_mean_curves() -> None:
    early, late = [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]
    curves, clusters = np.array([early] * 5 + [late] * 5).T, list("abcdefghij")

    found = depth(curves, clusters, fallen(0.5), seed=0)
    sure = depth(np.array([late] * 10).T, clusters, fallen(0.5), seed=0)

    assert (found.value, found.low, found.high, found.n) == (2, 0, 2, 10)
    assert (sure.value, sure.low, sure.high) == (2, 2, 2)


def test_a_layer_that_cannot_be_known_is_no_number_and_says_why() -> None:
    flat = np.zeros((3, 10))
    noisy = np.vstack([np.random.default_rng(0).normal(0.05, 0.3, (4, 30)), np.zeros(30)])

    for found in (depth(flat, list("abcdefghij"), turn, seed=0) for turn in (fallen(0.5), half_risen, crossing, onset)):
        assert math.isnan(found.value) and "does not turn" in found.reason
    unsure = depth(noisy, [str(n) for n in range(30)], fallen(0.5), seed=0)  # resampled, it often starts below 0
    assert math.isnan(unsure.value) and math.isnan(unsure.low) and "resamplings: no interval" in unsure.reason


def test_an_interval_holds_the_first_layer_if_many_resampled_curves_turn_before_it() -> None:
    above = np.full((4, 30), -1.0)
    above[0, :16] = 1  # of most prompts, but of fewer than half in many a resampling

    cross, rise = (depth(above, [str(n) for n in range(30)], turn, seed=0) for turn in (crossing, onset))

    assert (cross.low, cross.value) == (0, pytest.approx(1 / 16)) and 0.1 < cross.high < 0.5
    assert (rise.low, rise.value, rise.high) == (0, 0, 3)


def test_a_layer_is_told_of_ten_clusters_and_not_of_nine() -> None:
    curves, clusters = np.tile([[1.0], [0.0]], 20), list("abcdefghij") * 2

    found, few = depth(curves, clusters, fallen(0.5), seed=0), depth(curves[:, :9], clusters[:9], fallen(0.5), seed=0)

    assert found.value == 0 and math.isnan(few.value) and math.isnan(few.low)
    assert few.n == 9 and few.reason == "9 clusters, at least 10 expected"


def test_where_all_prompts_are_alike_the_interval_of_a_crossing_is_not_empty() -> None:
    alike, names = np.array([[1.0, -1.0, -1.0]] * 16).T, [str(n) for n in range(16)]
    truth = crossing(curve(0.94, -0.9, -1))  # sixteen prompts of this kind are often all alike

    found, plain = (turned(alike, names, crossing, seed=0) for turned in (bounded_depth, depth))

    assert (plain.low, plain.high) == (0.5, 0.5) and found.value == 0.5
    assert 0.3 < found.low < 0.5 < truth < found.high < 0.7


def test_the_clusters_at_the_bounds_change_no_value_and_no_layer_that_is_sure() -> None:
    curves, names = panel([3] * 20, each=2)
    above = 2 * curves - 1

    found, plain = (turned(above, names, onset, seed=0) for turned in (bounded_depth, depth))
    more, clusters = with_bounds((above, names), "image")

    assert (found.value, found.low, found.high, found.n, found.unit) == (0, 0, 0, plain.n, plain.unit)
    assert more.shape == (5, 24) and clusters[20:] == ["image at -1"] * 2 + ["image at 1"] * 2
    assert more[:, 20:].tolist() == [[-1, -1, 1, 1]] * 5
    assert math.isnan(bounded_depth(above[:, :4], names[:4], crossing, seed=0).low)


def panel(layers: list[float], each: int = 1, start: int = 0) -> tuple[np.ndarray, list[str]]:
    """Prompts that turn at these layers of five, `each` of a cluster."""
    curves = np.array([[float(layer <= turns) for layer in range(5)] for turns in layers]).T
    return curves, [str(start + n // each) for n in range(len(layers))]


def test_a_lag_is_by_how_much_later_one_panel_turns_than_the_other() -> None:
    image, text = panel([3] * 12), panel([1] * 24, each=2)

    found, back = lag(image, text, fallen(0.5), seed=0), lag(text, image, fallen(0.5), seed=0)

    assert (found.value, found.low, found.high) == (2, 2, 2) and (back.value, back.high) == (-2, -2)
    assert found.value == depth(*image, fallen(0.5), seed=0).value - depth(*text, fallen(0.5), seed=0).value


def test_the_interval_of_a_lag_is_of_clusters_resampled_in_both_panels_together() -> None:
    mixed = [0] * 12 + [
        3
    ] * 12  # which half the mean follows is chance, alike in both panels if they are resampled together

    same, apart = (lag(panel(mixed), panel(mixed, start=start), fallen(0.4), seed=0) for start in (0, 100))

    assert (same.low, same.value, same.high) == (0, 0, 0) and (same.n, apart.n) == (24, 48)
    assert apart.low == -3 and apart.high == 3


def test_a_lag_is_undefined_where_either_layer_is_and_there_is_none_of_one_panel() -> None:
    panels, turn = {"image": panel([2] * 12), "text": panel([2] * 9)}, fallen(0.5)
    depths = {f"reading layer, {name}": depth(*one, turn, seed=0) for name, one in panels.items()}

    found = lags("reading layer", panels, depths, turn, 0)

    assert found["reading layer, image minus text"].reason == "9 clusters, at least 10 expected"
    assert math.isnan(found["reading layer, image minus text"].value) and lag_said(found) == ""
    assert lags("reading layer", {"image": panels["image"]}, depths, turn, 0) == {}


@pytest.mark.parametrize(
    ("turns", "verdict"), [((3, 1), "the image is late"), ((1, 3), "the text is late"), ((2, 2), "neither is surely")]
)
def test_a_delay_or_its_absence_is_said_with_its_interval(turns: tuple[int, int], verdict: str) -> None:
    image, text = (panel([at] * 12) for at in turns)

    words = lag_said({"reading layer, image minus text": lag(image, text, fallen(0.5), seed=0)})

    assert verdict in words and f": {fixed(turns[0] - turns[1], 1, sign='+')} [" in words
