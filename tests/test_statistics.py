"""Statistics against numbers that can be worked out by hand, and coverage by simulation."""

import itertools
import math

import numpy as np
import pytest

from clusters import names
from diptych.errors import InputError
from diptych.statistics import (
    bounded_mean,
    cluster_bootstrap,
    expanded,
    holm,
    mcnemar,
    mean,
    mean_of_ratios,
    paired_difference,
    ratio_of_means,
    resampled_means,
    share,
    wilcoxon,
)


def test_the_bootstrap_of_two_clusters_has_the_four_equally_likely_draws_as_its_distribution() -> None:
    estimate = cluster_bootstrap([0, 0, 1, 1], ["a", "a", "b", "b"], level=0.1, seed=1)

    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)  # means 0, .5, .5, 1 with weight 1/4 each
    assert (estimate.n, estimate.unit, estimate.draws, estimate.seed) == (4, "2 clusters", 2000, 1)
    assert "10 %" in estimate.method


def test_a_wider_level_reaches_the_ends_of_the_distribution() -> None:
    estimate = cluster_bootstrap([0, 0, 1, 1], ["a", "a", "b", "b"], level=0.95)

    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_whole_clusters_are_resampled_not_values() -> None:
    values = [0.0, 1.0] * 50
    by_pair = cluster_bootstrap(values, names(100, size=2))
    by_value = cluster_bootstrap(values, names(100))

    assert (by_pair.low, by_pair.high) == (0.5, 0.5)  # every cluster holds one 0 and one 1
    assert by_value.high - by_value.low == pytest.approx(2 * 1.96 * 0.5 / 10, rel=0.1)


def test_clusters_of_different_sizes_are_weighted_by_their_values() -> None:
    estimate = cluster_bootstrap([1, 1, 1, 5], ["a", "a", "a", "b"], level=0.999, draws=500)

    assert estimate.value == 2.0
    assert (estimate.low, estimate.high) == (1.0, 5.0)


def test_the_general_path_agrees_with_the_vectorised_mean() -> None:
    values, clusters = np.random.default_rng(3).normal(size=30), names(30, size=4)

    fast = cluster_bootstrap(values, clusters, seed=5)
    general = cluster_bootstrap(values, clusters, lambda column: float(np.mean(column)), seed=5)

    assert (fast.low, fast.high) == (pytest.approx(general.low), pytest.approx(general.high))


def test_a_statistic_of_several_columns_resamples_them_together() -> None:
    a = np.arange(20.0)
    estimate = cluster_bootstrap((a, a + 3), names(20), lambda x, y: float(np.mean(y - x)), draws=50)

    assert (estimate.value, estimate.low, estimate.high) == (3.0, 3.0, 3.0)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values, clusters = np.random.default_rng(0).normal(size=15), names(15)

    assert cluster_bootstrap(values, clusters, seed=1) == cluster_bootstrap(values, clusters, seed=1)
    assert cluster_bootstrap(values, clusters, seed=1).low != cluster_bootstrap(values, clusters, seed=2).low


def test_one_cluster_gives_a_value_without_an_interval() -> None:
    estimate = cluster_bootstrap([1, 2, 3], ["a", "a", "a"])

    assert estimate.value == 2.0
    assert math.isnan(estimate.low) and math.isnan(estimate.high)
    assert "one cluster" in estimate.reason


def test_a_statistic_that_is_undefined_in_some_draws_has_no_interval() -> None:
    estimate = cluster_bootstrap([0, 1, 1], names(3), lambda column: math.nan if not column.any() else 1.0, draws=200)

    assert math.isnan(estimate.low)
    assert "of 200 resamplings" in estimate.reason


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for trial in range(200):
        centres = np.repeat(generator.normal(size=25), 3)  # 25 clusters of 3 alike values
        estimate = cluster_bootstrap(
            centres + 0.1 * generator.normal(size=75), names(75, size=3), draws=300, seed=trial
        )
        covered += estimate.low <= 0 <= estimate.high

    assert 0.91 <= covered / 200 <= 0.98


def test_few_clusters_get_a_wider_interval_than_plain_percentiles() -> None:
    values, clusters = np.random.default_rng(2).normal(size=8), names(8)
    draws = resampled_means(values[None], clusters)

    found = cluster_bootstrap(values, clusters)

    assert found.low < np.quantile(draws, 0.025) - 0.02 and np.quantile(draws, 0.975) + 0.02 < found.high
    assert (found.low, found.high) == tuple(
        np.quantile(draws, [(1 - expanded(0.95, 8)) / 2, (1 + expanded(0.95, 8)) / 2])
    )


@pytest.mark.parametrize(("value", "bounds"), [(1.0, (0, 1)), (0.0, (0, 1)), (5.0, (0, 10))])
def test_values_that_are_all_alike_still_have_an_interval_that_shrinks_with_their_number(
    value: float, bounds: tuple[int, int]
) -> None:
    some, many = (bounded_mean([value] * n, names(n), bounds) for n in (20, 200))

    for found in (some, many):
        assert found.value == value and bounds[0] <= found.low <= value <= found.high <= bounds[1]
        assert found.high - found.low > 0
    assert (some.high - some.low) == pytest.approx(10 * (many.high - many.low), rel=0.35)
    assert "one more cluster at each" in some.method


def test_bounds_far_from_the_values_hardly_change_the_interval_of_many_clusters() -> None:
    values = np.random.default_rng(0).integers(0, 2, 400).astype(float)

    plain, bounded = cluster_bootstrap(values, names(400)), bounded_mean(values, names(400))

    assert bounded.value == plain.value
    assert (bounded.low, bounded.high) == (pytest.approx(plain.low, abs=0.006), pytest.approx(plain.high, abs=0.006))


@pytest.mark.parametrize("bounds", [(0, 1), (-1, 0.5)])
def test_values_out_of_their_bounds_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="Values from -0.5 to 0.7 do not lie within"):
        bounded_mean([-0.5, 0.7], names(2), bounds)
    with pytest.raises(InputError, match="Values from -0.5 to 0.7 do not lie within"):
        paired_difference([-0.5, 0.7], names(2), bounds)


def test_the_interval_of_a_share_is_wilson_s() -> None:
    all_of_60, half = share([True] * 60), share([True, False] * 8)

    # z = 1.96: n / (n + z²) is the lower limit of n of n
    assert (all_of_60.value, all_of_60.high) == (1, 1) and all_of_60.low == pytest.approx(60 / 63.8415, abs=1e-4)
    assert half.value == 0.5 and half.high - 0.5 == pytest.approx(0.5 - half.low) == pytest.approx(0.2200, abs=1e-4)
    assert (half.n, half.unit) == (16, "16 values") and "Wilson" in half.method


def test_the_share_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="No values"):
        share([])


def test_a_ratio_of_means_divides_the_means() -> None:
    estimate = ratio_of_means([1, 2, 3], [2, 4, 6], names(3))

    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)


def test_a_ratio_of_means_weighs_prompts_by_their_denominator() -> None:
    assert ratio_of_means([1, 0], [1, 3], names(2)).value == 0.25  # the mean of ratios is 0.5


def test_a_ratio_is_undefined_where_the_denominator_s_own_interval_holds_nothing() -> None:
    values = [1.0, 1.5, 2.0]
    wide = paired_difference(np.array(values) / 2, names(3))

    plain, asked = (ratio_of_means(values, values, names(3), below=below) for below in (None, wide))

    assert wide.low < 0 and plain.value == 1 and math.isnan(asked.value) and "contains 0" in asked.reason


def test_a_ratio_is_undefined_where_a_resampling_has_no_denominator() -> None:
    few = [1.0] * 5 + [0.0] * 95

    assert cluster_bootstrap(few, names(100)).low > 0
    assert "the denominator is 0 in" in (found := ratio_of_means(few, few, names(100))).reason
    assert math.isnan(found.value)


def test_a_ratio_over_a_denominator_that_may_be_zero_is_nan_with_the_reason() -> None:
    estimate = ratio_of_means([1, 1, 1, 1], [1, -1, 1, -1], names(4))

    assert math.isnan(estimate.value) and math.isnan(estimate.low)
    assert "contains 0" in estimate.reason
    assert str(estimate).startswith("undefined (")


def test_a_ratio_from_one_cluster_is_nan_because_its_denominator_has_no_interval() -> None:
    estimate = ratio_of_means([1, 1], [2, 2], ["a", "a"])

    assert math.isnan(estimate.value)
    assert "one cluster" in estimate.reason


def test_a_mean_of_ratios_counts_denominators_near_zero() -> None:
    estimate, near_zero = mean_of_ratios([1, 1, 1, 1], [1, 2, 1, 0.01], names(4), draws=100)

    assert estimate.value == pytest.approx((1 + 0.5 + 1 + 100) / 4)
    assert near_zero == 1


def test_a_mean_of_ratios_with_a_zero_denominator_is_nan_with_the_count() -> None:
    estimate, near_zero = mean_of_ratios([1, 1, 1], [1, 0, 1], names(3), draws=100)

    assert math.isnan(estimate.value)
    assert estimate.reason == "1 of 3 denominators are 0"
    assert near_zero == 1


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (5, 1, 2 * (1 + 6) / 64), (3, 3, 1.0), (0, 8, 2 / 256)],
)
def test_mcnemar_is_the_two_sided_binomial_tail_of_the_discordant_items(only_a: int, only_b: int, p: float) -> None:
    a = [True] * only_a + [False] * only_b + [True, False]
    b = [False] * only_a + [True] * only_b + [True, False]

    assert mcnemar(a, b) == pytest.approx(p)


def test_mcnemar_refuses_unpaired_items() -> None:
    with pytest.raises(InputError, match="got 2 and 1"):
        mcnemar([True, False], [True])


def test_wilcoxon_of_five_positive_differences_is_two_in_thirty_two() -> None:
    assert wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)


def test_wilcoxon_of_equal_pairs_is_one() -> None:
    assert wilcoxon([0.0, 0.0, 0.0]) == 1.0


def test_zeros_take_ranks_in_wilcoxon_and_then_drop_out() -> None:
    # Pratt: ranks of 0, 1, 2, 3, 4, -5 are 1..6; flipping signs of the five non-zero ones, 6 or less on the smaller side
    smaller_side = {frozenset(), *(frozenset({r}) for r in (2, 3, 4, 5, 6)), frozenset({2, 3}), frozenset({2, 4})}

    assert wilcoxon([0, 1, 2, 3, 4, -5]) == pytest.approx(2 * len(smaller_side) / 2**5)


@pytest.mark.parametrize("values", [[1.0] * 10, [1, 1, -1, 2, 2, 0, 0, -3], [0.5, -0.5, 0.25, 1, 1, 1, 0]])
def test_the_signed_rank_test_of_ties_is_that_of_all_signs(values: list[float]) -> None:
    sizes, told = np.abs(values), np.array(values)
    ranks = np.array([(sizes < size).sum() + ((sizes == size).sum() + 1) / 2 for size in sizes]) * (sizes > 0)
    signs = np.array(list(itertools.product([0, 1], repeat=len(values))))
    sums, found = signs @ ranks, ranks[told > 0].sum()

    assert wilcoxon(values) == pytest.approx(min(1, 2 * min((sums <= found).mean(), (sums >= found).mean())))


def test_many_differences_are_tested_by_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(0.05, size=200)

    exact, approximate = wilcoxon(values), wilcoxon(np.append(values, 1e-9))

    assert 0.01 < exact < 0.99 and exact != approximate == pytest.approx(exact, abs=0.01)


def test_holm_multiplies_the_sorted_p_values_by_what_is_left() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([], [], "No values"),
        ([1.0, math.nan], ["a", "b"], "1 of 2 values are not finite"),
        ([1.0], ["a", "b"], "1 values but 2 cluster"),
    ],
)
def test_unusable_values_are_refused_with_the_reason(values: list[float], clusters: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cluster_bootstrap(values, clusters)


def test_an_estimate_reads_as_a_value_with_its_interval() -> None:
    assert str(cluster_bootstrap([0.5, 0.5], names(2), mean)) == "0.5 [0.5, 0.5]"
