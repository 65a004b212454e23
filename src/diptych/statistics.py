"""Intervals and tests: how sure a number is (methods §6, §10, §13). Every random draw has an explicit seed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from diptych.errors import InputError

DRAWS = 2000
"""Resamplings behind an interval (methods §13)."""

Statistic = Callable[..., float]
"""A number from one or several aligned columns of values."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval [low, high].

    `n` values, resampled in `unit` (such as "12 clusters") by `method`. What cannot be known is nan, and `reason` says why.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str
    method: str
    draws: int
    seed: int
    reason: str = ""

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"undefined ({self.reason})"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class MaximumNull:
    """How large the best cell's mean gain is (`gain`), and how large it would be if no cell helped.

    `quantile`: the 1 − α point of the best gain under the null. `p`: share of the null at least as large as `gain`.
    """

    cell: int
    gain: float
    quantile: float
    p: float
    patterns: int
    seed: int


def mean(values: Float[np.ndarray, " n"]) -> float:
    """Arithmetic mean."""
    return float(np.mean(values))


def cluster_bootstrap(
    values: ArrayLike,
    clusters: Sequence[str],
    statistic: Statistic = mean,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A statistic with its percentile interval when whole clusters are resampled with replacement.

    `values`: [n], or several aligned columns [column, n] that `statistic` takes as arguments. Raises `InputError` for
    empty, non-finite or misaligned values.
    """
    columns, members = _aligned(values, clusters)
    picks = _picks(len(members), draws, seed)
    if statistic is mean:
        samples = _resampled_sums(columns, members, picks)[0] / _resampled_counts(members, picks)
    else:
        samples = _resample(statistic, columns, members, picks)
    return _estimate(statistic(*columns), samples, columns, members, level, draws, seed)


def resampled_means(
    columns: Float[np.ndarray, "column n"], clusters: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> Float[np.ndarray, "draw column"]:
    """The mean of each column in cluster-bootstrap draws, all columns resampled together."""
    aligned, members = _aligned(list(columns), clusters)
    picks = _picks(len(members), draws, seed)
    return (_resampled_sums(aligned, members, picks) / _resampled_counts(members, picks)).T


def ratio_of_means(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: Sequence[str],
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """mean(numerator) / mean(denominator), both resampled together; nan if the denominator's interval contains 0."""
    columns, members = _aligned([np.asarray(numerator, float), np.asarray(denominator, float)], clusters)
    below = cluster_bootstrap(columns[1], clusters, draws=draws, level=level, seed=seed)
    if below.low <= 0 <= below.high or math.isnan(below.low):
        reason = below.reason or f"the denominator's interval [{below.low:.3g}, {below.high:.3g}] contains 0"
        return replace(below, value=math.nan, low=math.nan, high=math.nan, reason=reason)
    above_sums, below_sums = _resampled_sums(columns, members, _picks(len(members), draws, seed))
    value = float(columns[0].mean() / columns[1].mean())
    return _estimate(value, above_sums / below_sums, columns, members, level, draws, seed)


def mean_of_ratios(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: Sequence[str],
    *,
    near_zero: float = 0.05,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Estimate, int]:
    """The mean of per-value ratios, and how many denominators are near 0.

    Near 0: smaller in size than `near_zero` times the denominators' median size. They stay in the mean; one that is
    exactly 0 makes it nan.
    """
    columns, members = _aligned([np.asarray(numerator, float), np.asarray(denominator, float)], clusters)
    sizes = np.abs(columns[1])
    small = int((sizes <= near_zero * np.median(sizes)).sum())
    zeros = int((sizes == 0).sum())
    if zeros:
        undefined = np.full(draws, math.nan)
        estimate = _estimate(math.nan, undefined, columns, members, level, draws, seed)
        return replace(estimate, reason=f"{zeros} of {sizes.size} denominators are 0"), small
    return cluster_bootstrap(columns[0] / columns[1], clusters, draws=draws, level=level, seed=seed), small


def mcnemar(a: Sequence[bool] | Bool[np.ndarray, " n"], b: Sequence[bool] | Bool[np.ndarray, " n"]) -> float:
    """Exact two-sided p value that two methods, right or wrong on the same items, are equally often right."""
    first, second = np.asarray(a, bool), np.asarray(b, bool)
    if first.shape != second.shape:
        raise InputError(
            f"McNemar's test pairs the same items: got {first.size} and {second.size}. Give one entry per item."
        )
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def wilcoxon(differences: ArrayLike) -> float:
    """Two-sided p value of the signed-rank test that paired differences are symmetric around 0 (zeros: Pratt)."""
    values = np.asarray(differences, float)
    _refuse_unusable(values)
    if not values.any():
        return 1.0
    return float(stats.wilcoxon(values, zero_method="pratt").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for a family of tests by Holm's step-down rule, in the given order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def max_statistic_null(
    gains: Float[np.ndarray, "cell n"],
    clusters: Sequence[str],
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> MaximumNull:
    """Does any cell help? The best cell's mean gain against its distribution when signs are flipped at random.

    A cluster's sign is flipped in all cells together, so dependence between cells is kept. All 2^clusters patterns are
    used if they are at most `draws`; else `draws` patterns, the observed one among them (so p is never 0).
    """
    columns, members = _aligned(gains, clusters)
    sums = _cluster_sums(columns, members)  # [cell, cluster]
    patterns = _sign_patterns(len(members), draws, seed)  # [pattern, cluster]
    best = (patterns @ sums.T).max(axis=1) / columns.shape[1]  # [pattern]
    means = columns.mean(axis=1)
    cell = int(means.argmax())
    rounding = 1e-12 * max(1.0, float(np.abs(best).max()))
    p = float((best >= means[cell] - rounding).mean())
    return MaximumNull(cell, float(means[cell]), float(np.quantile(best, level)), p, len(patterns), seed)


def _aligned(
    values: ArrayLike, clusters: Sequence[str]
) -> tuple[Float[np.ndarray, "column n"], list[Int[np.ndarray, " _"]]]:
    columns = np.atleast_2d(np.asarray(values, float))
    if columns.shape[1] != len(clusters):
        raise InputError(
            f"{columns.shape[1]} values but {len(clusters)} cluster names. Give the cluster of each value."
        )
    _refuse_unusable(columns)
    names, index = np.unique(np.asarray(clusters, str), return_inverse=True)
    return columns, [np.flatnonzero(index == cluster) for cluster in range(len(names))]


def _refuse_unusable(values: Float[np.ndarray, "..."]) -> None:
    if values.size == 0:
        raise InputError("No values: nothing was kept. Loosen the filter or use more items.")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(f"{bad} of {values.size} values are not finite. Drop them first, and report how many.")


def _picks(clusters: int, draws: int, seed: int) -> Int[np.ndarray, "draw cluster"]:
    return np.random.default_rng(seed).integers(clusters, size=(draws, clusters))


def _cluster_sums(
    columns: Float[np.ndarray, "column n"], members: list[Int[np.ndarray, " _"]]
) -> Float[np.ndarray, "column cluster"]:
    return np.stack([columns[:, rows].sum(axis=1) for rows in members], axis=1)


def _resampled_sums(
    columns: Float[np.ndarray, "column n"], members: list[Int[np.ndarray, " _"]], picks: Int[np.ndarray, "draw cluster"]
) -> Float[np.ndarray, "column draw"]:
    return _cluster_sums(columns, members)[:, picks].sum(axis=2)


def _resampled_counts(
    members: list[Int[np.ndarray, " _"]], picks: Int[np.ndarray, "draw cluster"]
) -> Int[np.ndarray, " draw"]:
    return np.array([rows.size for rows in members])[picks].sum(axis=1)


def _resample(
    statistic: Statistic,
    columns: Float[np.ndarray, "column n"],
    members: list[Int[np.ndarray, " _"]],
    picks: Int[np.ndarray, "draw cluster"],
) -> Float[np.ndarray, " draw"]:
    return np.array([statistic(*columns[:, np.concatenate([members[cluster] for cluster in pick])]) for pick in picks])


def _sign_patterns(clusters: int, draws: int, seed: int) -> Float[np.ndarray, "pattern cluster"]:
    if 2**clusters <= draws:
        bits = np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1
        return 1.0 - 2.0 * bits
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws - 1, clusters))
    return np.concatenate([np.ones((1, clusters)), drawn])


def _estimate(
    value: float,
    samples: Float[np.ndarray, " draw"],
    columns: Float[np.ndarray, "column n"],
    members: list[Int[np.ndarray, " _"]],
    level: float,
    draws: int,
    seed: int,
) -> Estimate:
    low, high, reason = math.nan, math.nan, ""
    undefined = int((~np.isfinite(samples)).sum())
    if len(members) == 1:
        reason = "all values are of one cluster: no interval"
    elif undefined:
        reason = f"undefined in {undefined} of {draws} resamplings: no interval"
    else:
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    method = f"{level:.0%} percentile cluster bootstrap".replace("%", " %")
    return Estimate(
        float(value), float(low), float(high), columns.shape[1], f"{len(members)} clusters", method, draws, seed, reason
    )
