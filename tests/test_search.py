"""Searches for the minimal circuit: by bisection of sizes, and by races that run as many prompts as a verdict needs."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych.errors import InputError
from diptych.faithfulness import minimal_size, search
from diptych.racing import LookAt, Standing, race
from laws import LAWS, SEEDS

Array = np.ndarray[Any, np.dtype[np.float64]]
CURVES = st.lists(st.floats(-1, 2), min_size=1, max_size=40)


def sizes_of(curve: list[float]) -> list[float]:
    return [(place + 1) / len(curve) for place in range(len(curve))]


def searched(curve: list[float]) -> tuple[float | None, list[float]]:
    """What `search` finds at a threshold of .8, and the sizes that it tries."""
    sizes, tried = sizes_of(curve), list[float]()

    def passes(size: float) -> bool:
        tried.append(size)
        return curve[sizes.index(size)] >= 0.8

    return search(sizes, passes), tried


@LAWS
@given(CURVES.map(sorted))
def test_on_a_rising_curve_a_search_finds_what_a_sweep_does(curve: list[float]) -> None:
    found, tried = searched(curve)

    assert found == minimal_size(sizes_of(curve), curve)
    assert len(tried) <= math.ceil(math.log2(len(curve) + 1))


@LAWS
@given(CURVES)
def test_on_any_curve_the_size_found_passes_and_the_next_smaller_one_was_tried_and_fails(curve: list[float]) -> None:
    found, tried = searched(curve)
    sizes = sizes_of(curve)
    place = len(curve) if found is None else sizes.index(found)

    assert found is None or (curve[place] >= 0.8 and found in tried)
    assert place == 0 or (curve[place - 1] < 0.8 and sizes[place - 1] in tried)


def test_27_sizes_are_searched_by_5_at_most() -> None:
    steps = [[0.0] * fails + [1.0] * (27 - fails) for fails in range(28)]

    assert max(len(searched(curve)[1]) for curve in steps) == 5


def table(seed: int, sizes: int = 27, prompts: int = 60, spread: float = 0.5) -> Array:
    """Margins [size, prompt] that rise with size through 0, with noise that is shared by a prompt's sizes and some of its own."""
    chance = np.random.default_rng(seed)
    rise = np.linspace(-1, 1, sizes) + chance.uniform(-0.5, 0.5)
    noise = chance.normal(size=prompts) + 0.2 * chance.normal(size=(sizes, prompts))
    return np.asarray(rise[:, None] + spread * noise)


def look_at(values: Array) -> LookAt:
    return lambda some, standing, known: standing.look(lambda size: values[int(size) - 1, some], known)


def swept(values: Array) -> float | None:
    return search(range(1, len(values) + 1), lambda size: bool(values[int(size) - 1].mean() >= 0))


@LAWS
@given(SEEDS)
def test_a_race_that_looks_at_all_prompts_at_once_or_allows_no_risk_is_a_search(seed: int) -> None:
    values = table(seed, prompts=30)
    sizes = range(1, 28)

    at_once, certain = (race(look_at(values), 30, sizes, **how) for how in ({"look": 30}, {"risk": 1e-30}))

    assert at_once.size == certain.size == swept(values)
    assert set(at_once.prompts.values()) == {30} and at_once.forwards == 30 * (2 + len(at_once.prompts))
    below, found = (certain.size or 28) - 1, certain.size
    assert all(certain.prompts[size] == 30 for size in (below, found) if size in sizes)


@pytest.mark.parametrize(("spread", "forwards"), [(0.5, 7.2), (0.2, 5.2), (0.05, 3.1)])
def test_verdicts_of_races_are_those_of_all_prompts_but_for_the_risk_and_cost_less(
    spread: float, forwards: float
) -> None:
    tables = [table(seed, spread=spread) for seed in range(100)]

    raced = [race(look_at(values), 60, range(1, 28), risk=0.05) for values in tables]

    wrong = sum(found.size != swept(values) for found, values in zip(raced, tables, strict=True))
    assert wrong <= 0.05 * len(tables)
    # a bisection of all prompts takes 7
    assert np.mean([found.forwards for found in raced]) / 60 < forwards


def test_a_verdict_close_to_0_is_wrong_as_rarely_as_the_risk_says() -> None:
    drawn = np.random.default_rng(0).normal(
        size=(2000, 1, 60)
    )  # means of all are about as far from 0 as chance takes them
    verdicts = [race(look_at(values), 60, [1], risk=0.2) for values in drawn]

    wrong = np.mean(
        [(found.size is None) != (values.mean() < 0) for found, values in zip(verdicts, drawn, strict=True)]
    )
    early = np.mean([found.prompts[1] < 60 for found in verdicts])

    assert 0 < wrong <= 0.2 and early > 0.2


def test_a_race_by_hand_counts_two_plain_runs_of_each_look() -> None:
    values = np.array([[-1.0] * 8, [-1.0, -2, -1, 4, 4, 4, 4, 4], [1.0] * 8])

    found = race(look_at(values), 8, [1, 2, 3], look=2)

    # of size 2, −1 and −2 leave a doubt, and so do all but the eight; while it leans to failing, 3 is run, then 1
    assert found.size == 2 and found.prompts == {2: 8, 3: 2, 1: 2}
    assert found.forwards == 4 * (2 * 2 + 2) + 2 + 2


def test_prompts_are_looked_at_in_order_and_again_where_a_size_in_doubt_was_not_run() -> None:
    asked: list[tuple[int, int, float]] = []
    # all of size 2 hangs on the last prompt, which alone lets it pass; size 1 is then in doubt, and was not run before
    values = np.array([[1.0, -1, 1, -1, 1, -1.1], [-1.0, 0.9, -1, 0.9, -1, 1.3]])

    def looked(some: slice, standing: Standing, known: Any) -> Any:
        found = look_at(values)(some, standing, known)
        asked.extend((some.start, some.stop, size) for size in found)
        return found

    found = race(looked, 6, [1, 2], look=2)

    assert asked == [(0, 2, 2), (2, 4, 2), (4, 6, 2), (4, 6, 1), (0, 2, 1), (2, 4, 1)]
    assert found.size == 2 and found.prompts == {2: 6, 1: 6} and found.forwards == (3 + 3 + 4 + 3 + 3) * 2


def test_a_mean_of_exactly_0_passes_once_all_prompts_were_run() -> None:
    assert race(look_at(np.array([[1.0, -1, 1, -1]])), 4, [1], look=2).size == 1


@pytest.mark.parametrize("given", [{"look": 1}, {"risk": 0.0}, {"risk": 1.0}])
def test_a_race_that_could_not_doubt_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"A race of 10 prompts, \d+ at a time at a risk of .*; expected at least 1"):
        race(look_at(np.ones((1, 10))), 10, [1], **given)
