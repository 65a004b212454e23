"""Estimates: a number with its interval (methods §6, §13)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from diptych.errors import InputError
from diptych.statistics.resampling import (
    DRAWS,
    by_cluster,
    cluster_sums,
    drawn_clusters,
    refuse_unusable,
    resampled_counts,
    resampled_sums,
)
from diptych.statistics.weights import expanded

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


def share(right: Sequence[bool], *, level: float = 0.95) -> Estimate:
    """The share of independent values that are true, with its Wilson interval, which is wide at 0 and 1 too.

    Raises `InputError` if there are none. Source: Wilson, JASA 1927.
    """
    refuse_unusable(np.asarray(right, float))
    found = stats.binomtest(sum(right), len(right))
    limits = found.proportion_ci(level, method="wilson")
    method = f"{level:.0%} Wilson".replace("%", " %")
    return Estimate(found.statistic, limits.low, limits.high, len(right), f"{len(right)} values", method, 0, 0)


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

    `values`: [n], or several aligned columns [column, n] that `statistic` takes as arguments. The percentiles are those of
    the level expanded for few clusters (`expanded`). For means of values that cannot leave a range, such as accuracies, take
    `bounded_mean`. Raises `InputError` for empty, non-finite or misaligned values.
    """
    columns, members = by_cluster(values, clusters)
    picks = drawn_clusters(len(members), draws, seed)
    if statistic is mean:
        samples = resampled_sums(columns, members, picks)[0] / resampled_counts(members, picks)
    else:
        samples = _resample(statistic, columns, members, picks)
    return _estimate(statistic(*columns), samples, columns, members, level, draws, seed)


def bounded_mean(
    values: ArrayLike,
    clusters: Sequence[str],
    bounds: tuple[float, float] = (0.0, 1.0),
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The mean of values that lie within `bounds`, with an interval that is not empty where all values are alike.

    `values`: [n], such as accuracies; of their differences take `paired_difference`. Percentiles of the cluster bootstrap,
    among whose clusters are one more at each bound, as large as clusters are on average. The mean itself is that of the
    values alone. Raises `InputError` for values out of bounds, and as `cluster_bootstrap` does.
    Source: after Agresti & Caffo 2000.
    """
    columns, members = by_cluster(values, clusters)
    refuse_beyond(columns, bounds)
    low, high = bounds
    size = columns.shape[1] / len(members)
    sums = np.append(cluster_sums(columns, members)[0], [low * size, high * size])
    sizes = np.append([float(rows.size) for rows in members], [size, size])
    picks = drawn_clusters(len(sums), draws, seed)
    samples = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    found = _estimate(mean(columns[0]), samples, columns, members, level, draws, seed, quantiles=level)
    return replace(found, method=f"{found.method}, one more cluster at each of {low:g} and {high:g}")


def refuse_beyond(columns: Float[np.ndarray, "column n"], bounds: tuple[float, float]) -> None:
    """Raise `InputError` for values out of bounds."""
    low, high = bounds
    if columns.min() < low or columns.max() > high:
        raise InputError(
            f"Values from {columns.min():.3g} to {columns.max():.3g} do not lie within [{low:g}, {high:g}]. Give the bounds that "
            "they cannot leave, or use `cluster_bootstrap`."
        )


def resampled_means(
    columns: Float[np.ndarray, "column n"], clusters: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> Float[np.ndarray, "draw column"]:
    """The mean of each column in cluster-bootstrap draws, all columns resampled together."""
    aligned, members = by_cluster(list(columns), clusters)
    picks = drawn_clusters(len(members), draws, seed)
    return (resampled_sums(aligned, members, picks) / resampled_counts(members, picks)).T


def ratio_of_means(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: Sequence[str],
    *,
    below: Estimate | None = None,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """mean(numerator) / mean(denominator), both resampled together; nan if the denominator may be 0.

    So it is if its interval contains 0, or if it is 0 in a resampling, as that of few values of one sign.
    `below`: the denominator's mean with its interval, by default that of `cluster_bootstrap`.
    """
    columns, members = by_cluster([np.asarray(numerator, float), np.asarray(denominator, float)], clusters)
    below = below or cluster_bootstrap(columns[1], clusters, draws=draws, level=level, seed=seed)
    if below.low <= 0 <= below.high or math.isnan(below.low):
        reason = below.reason or f"the denominator's interval [{below.low:.3g}, {below.high:.3g}] contains 0"
        return _undefined(below, reason)
    above_sums, below_sums = resampled_sums(columns, members, drawn_clusters(len(members), draws, seed))
    if none := int((below_sums == 0).sum()):
        return _undefined(below, f"the denominator is 0 in {none} of {draws} resamplings")
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
    columns, members = by_cluster([np.asarray(numerator, float), np.asarray(denominator, float)], clusters)
    sizes = np.abs(columns[1])
    small = int((sizes <= near_zero * np.median(sizes)).sum())
    zeros = int((sizes == 0).sum())
    if zeros:
        undefined = np.full(draws, math.nan)
        estimate = _estimate(math.nan, undefined, columns, members, level, draws, seed)
        return replace(estimate, reason=f"{zeros} of {sizes.size} denominators are 0"), small
    return cluster_bootstrap(columns[0] / columns[1], clusters, draws=draws, level=level, seed=seed), small


def _undefined(found: Estimate, reason: str) -> Estimate:
    return replace(found, value=math.nan, low=math.nan, high=math.nan, reason=reason)


def _resample(
    statistic: Statistic,
    columns: Float[np.ndarray, "column n"],
    members: list[Int[np.ndarray, " _"]],
    picks: Int[np.ndarray, "draw cluster"],
) -> Float[np.ndarray, " draw"]:
    return np.array([statistic(*columns[:, np.concatenate([members[cluster] for cluster in pick])]) for pick in picks])


def _estimate(
    value: float,
    samples: Float[np.ndarray, " draw"],
    columns: Float[np.ndarray, "column n"],
    members: list[Int[np.ndarray, " _"]],
    level: float,
    draws: int,
    seed: int,
    *,
    quantiles: float | None = None,
) -> Estimate:
    """`quantiles`: the level whose percentiles are taken; by default `level`, expanded for few clusters."""
    low, high, reason = math.nan, math.nan, ""
    taken = expanded(level, len(members)) if quantiles is None else quantiles
    undefined = int((~np.isfinite(samples)).sum())
    if len(members) == 1:
        reason = "all values are of one cluster: no interval"
    elif undefined:
        reason = f"undefined in {undefined} of {draws} resamplings: no interval"
    else:
        low, high = np.quantile(samples, [(1 - taken) / 2, (1 + taken) / 2])
    method = f"{level:.0%} percentile cluster bootstrap".replace("%", " %")
    return Estimate(
        float(value), float(low), float(high), columns.shape[1], f"{len(members)} clusters", method, draws, seed, reason
    )
