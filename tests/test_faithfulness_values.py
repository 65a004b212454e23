"""Areas under the faithfulness curve against hand values, and the minimal size (methods §5, §6)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych.errors import InputError
from diptych.faithfulness import MIB_SIZES, cmd, cpr, minimal_size
from laws import LAWS

ALWAYS = [1.0] * 10
ONLY_WHOLE = [0.0] * 9 + [1.0]

HAND = {
    "1 everywhere": (ALWAYS, 0.999, 0.0),
    "1 for the whole model only": (ONLY_WHOLE, 0.25, 0.749),
    "the size": (list(MIB_SIZES), 0.4999995, 0.4990005),
}


@pytest.mark.parametrize("curve", HAND)
def test_the_areas_of_a_known_curve_are_those_worked_out_by_hand(curve: str) -> None:
    faithfulness, performance, distance = HAND[curve]

    assert cpr(MIB_SIZES, faithfulness) == pytest.approx(performance, abs=1e-12)
    assert cmd(MIB_SIZES, faithfulness) == pytest.approx(distance, abs=1e-12)


def test_a_circuit_better_than_the_model_is_as_distant_as_one_worse() -> None:
    better, worse = [1.5] * 10, [0.5] * 10

    assert cmd(MIB_SIZES, better) == cmd(MIB_SIZES, worse) == pytest.approx(0.999 / 2)
    assert cpr(MIB_SIZES, better) == pytest.approx(0.999 * 1.5)


@LAWS
@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_between_none_and_all_of_the_behaviour_the_two_areas_fill_the_axis(faithfulness: list[float]) -> None:
    assert cpr(MIB_SIZES, faithfulness) + cmd(MIB_SIZES, faithfulness) == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("faithfulness", "expected"),
    [
        ([0.1, 0.7, 0.8, 0.9, 1.0], 0.2),
        ([0.9, 0.9, 0.9, 0.9, 1.0], 0.05),
        ([0.1, 0.9, 0.7, 0.9, 1.0], 0.5),  # .1 passes, but the larger .2 does not
        ([0.9, 0.9, 0.9, 0.9, 0.7], None),
        ([0.1, 0.9, math.nan, 0.9, 1.0], 0.5),  # what is not known does not pass
    ],
)
def test_the_minimal_size_is_the_smallest_of_which_all_larger_pass(
    faithfulness: list[float], expected: float | None
) -> None:
    assert minimal_size([0.05, 0.1, 0.2, 0.5, 1.0], faithfulness) == expected


@LAWS
@given(st.lists(st.floats(-1, 2), min_size=10, max_size=10), st.floats(-1, 2))
def test_from_the_minimal_size_on_all_pass_and_just_below_it_one_does_not(
    faithfulness: list[float], threshold: float
) -> None:
    found = minimal_size(MIB_SIZES, faithfulness, threshold)
    first = len(MIB_SIZES) if found is None else MIB_SIZES.index(found)

    assert all(value >= threshold for value in faithfulness[first:])
    assert first == 0 or faithfulness[first - 1] < threshold


def test_sizes_out_of_order_are_refused() -> None:
    with pytest.raises(InputError, match=r"Circuit sizes \[0.5, 0.1\] are not in increasing order. Sort them"):
        minimal_size([0.5, 0.1], [1.0, 1.0])
