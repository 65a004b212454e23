"""The null of the best of many cells: what chance alone would find."""

import math

import numpy as np
import pytest

from clusters import names
from diptych.statistics import max_statistic_null


def test_the_null_of_the_best_of_one_cell_is_the_sign_flip_test() -> None:
    null = max_statistic_null(np.array([[1.0, 1.0, 1.0]]), names(3))

    assert (null.cell, null.gains.tolist(), null.patterns) == (0, [1.0], 8)
    assert null.p == 1 / 8  # only the observed pattern reaches a mean of 1


def test_the_null_flips_a_cluster_in_all_cells_together() -> None:
    gains = np.array([[1.0, 1.0], [-1.0, -1.0]])

    null = max_statistic_null(gains, names(2))

    assert null.p_values.tolist() == [0.5, 1.0]  # patterns ++ and −− give a best mean of 1, +− and −+ give 0
    assert null.needed == pytest.approx([1.0, 1.0])


def test_values_of_one_cluster_share_their_sign() -> None:
    null = max_statistic_null(np.array([[1.0, 1.0, 1.0, 1.0]]), ["a", "a", "b", "b"])

    assert (null.patterns, null.p) == (4, 1 / 4)


def test_a_drawn_null_holds_the_observed_pattern_so_that_p_is_never_zero() -> None:
    null = max_statistic_null(np.ones((2, 40)), names(40), draws=100)

    assert (null.patterns, null.p) == (100, 0.01)


def test_a_cell_that_changes_nothing_has_no_t_and_no_gain_that_it_needs() -> None:
    null = max_statistic_null(np.array([[0.0, 0.0], [-1.0, -1.0]]), names(2))

    assert (null.cell, null.p) == (0, 1.0) and math.isnan(null.needed[0])


def test_the_scale_of_a_cell_changes_no_p_and_what_it_needs_in_proportion() -> None:
    gains = np.random.default_rng(0).normal(0.3, size=(4, 20))
    larger = np.array([1.0, 10.0, 0.1, 3.0])

    one, other = (max_statistic_null(some, names(20)) for some in (gains, gains * larger[:, None]))

    assert one.p_values.tolist() == other.p_values.tolist() and min(one.p_values) < 0.05 < max(one.p_values)
    assert other.needed == pytest.approx(one.needed * larger)


def test_a_gain_is_above_what_its_cell_needs_where_p_is_at_most_five_in_hundred() -> None:
    generator = np.random.default_rng(1)
    helped = [0.9, 0.8, 0.7, 0.65, 0.6, 0.55, 0.5, 0.5]
    gains = np.array([generator.choice([1.0, -1.0], size=40, p=[share, 1 - share]) for share in helped])

    null = max_statistic_null(gains, names(40))

    assert (null.gains > null.needed).tolist() == (null.p_values <= 0.05).tolist()
    assert 1 <= (null.p_values <= 0.05).sum() < 8


def quiet(generator: np.random.Generator, cells: int, prompts: int) -> np.ndarray:
    """Cells without effect, which change few prompts or many."""
    changed = generator.uniform(0.05, 0.8, size=(cells, 1))
    signs = generator.choice([-1.0, 1.0], size=(cells, prompts))
    return np.where(generator.uniform(size=(cells, prompts)) < changed, signs, 0.0)


def test_of_tests_without_an_effect_five_in_hundred_are_called_one() -> None:
    generator = np.random.default_rng(2)

    sweeps = [quiet(generator, 50, 30) * generator.uniform(size=(50, 30)) for _ in range(200)]  # graded: no two t tie

    p_values = [max_statistic_null(sweep, names(30), draws=200, seed=t).p for t, sweep in enumerate(sweeps)]

    assert 3 <= (np.array(p_values) <= 0.05).sum() <= 19  # 99 % of binomial(200, 0.05)
    assert 0.44 <= np.mean(p_values) <= 0.56


def destructive(generator: np.random.Generator, cells: int, prompts: int) -> np.ndarray:
    """Cells that break four prompts of five."""
    return -(generator.uniform(size=(cells, prompts)) < 0.8).astype(float)


def test_destructive_cells_make_no_useless_cell_look_helpful() -> None:
    generator = np.random.default_rng(3)
    sweeps = (np.concatenate([quiet(generator, 20, 30), destructive(generator, 20, 30)]) for _ in range(100))

    p_values = np.array([max_statistic_null(sweep, names(30), draws=200, seed=t).p for t, sweep in enumerate(sweeps)])

    assert (p_values <= 0.05).sum() <= 11  # 99.5 % of binomial(100, 0.05)


def test_destructive_cells_do_not_hide_one_that_helps() -> None:
    generator = np.random.default_rng(0)
    helping = np.concatenate([np.ones(14), np.zeros(86)])[None]
    still = np.where(generator.uniform(size=(150, 100)) < 0.04, generator.choice([-1.0, 1.0], size=(150, 100)), 0.0)

    null = max_statistic_null(np.concatenate([still, helping, destructive(generator, 150, 100)]), names(100))

    assert null.cell == 150 and null.p < 0.01 and null.needed[150] < 0.14
