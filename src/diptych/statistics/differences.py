"""Differences of accuracies on the same prompts: an interval that rare changes of one sign do not fool (decision 0029)."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

from diptych.statistics.estimates import Estimate, mean, refuse_beyond
from diptych.statistics.resampling import by_cluster, cluster_sums

Clusters = Float[np.ndarray, " cluster"]
NEAR = 1e-9
"""How near to the mean and to a bound limits are looked for, as a share of the way between them."""


def paired_difference(
    values: ArrayLike, clusters: Sequence[str], bounds: tuple[float, float] = (-1.0, 1.0), *, level: float = 0.95
) -> Estimate:
    """The mean of differences that lie within `bounds`, with all means that a score test does not reject.

    `values`: [n], such as right with a patch less right without it. The variance that a mean is tested with is that of the
    clusters weighted as they are likeliest if it were the true one, a cluster of average size at the bound among them. Of
    differences of −1, 0 and 1, a prompt per cluster, this is Tango's interval; of zeros and ones between 0 and 1 Wilson's.
    100 differences of 0 give ±0.037. Raises `InputError` for values out of bounds, empty, not finite or misaligned.
    Source: Tango 1998 (a table of four cells); Owen 2001, §2 (likeliest weights).
    """
    columns, members = by_cluster(values, clusters)
    refuse_beyond(columns, bounds)
    low, high, reason = math.nan, math.nan, ""
    if len(members) == 1:
        reason = "all values are of one cluster: no interval"
    else:
        sums, sizes = cluster_sums(columns, members)[0], np.array([float(rows.size) for rows in members])
        low, high = (_limit(sums, sizes, bound, level) for bound in bounds)
    method = f"{level:.0%} score interval".replace("%", " %")
    return Estimate(mean(columns[0]), low, high, columns.shape[1], f"{len(members)} clusters", method, 0, 0, reason)


def _limit(sums: Clusters, sizes: Clusters, bound: float, level: float) -> float:
    """The mean farthest towards a bound that is not rejected."""
    found = float(sums.sum() / sizes.sum())
    way = bound - found
    if abs(way) < NEAR:
        return bound
    rejected = stats.norm.ppf((1 + level) / 2) ** 2

    def beyond(tested: float) -> float:
        short = np.sign(way) * (sums - tested * sizes)  # [cluster], their mean below 0
        return float(len(sums) * short.mean() ** 2 - rejected * _variance(short, sizes.mean() * abs(bound - tested)))

    ends = found + NEAR * way, bound - NEAR * way
    return float(brentq(beyond, *ends, xtol=NEAR)) if beyond(ends[1]) > 0 else bound


def _variance(short: Clusters, most: float) -> float:
    """That of clusters weighted as likely as can be with a mean of 0; one of `most`, which none need have, may be among them.

    `short`: [cluster], of a mean below 0. The weights are 1/(n (1 + λ short)), and `most` has what they leave of 1.
    """
    largest = float(short.max())
    lowest = -1 / max(largest, most)

    def pull(multiplier: float) -> float:
        return float((short / (1 + multiplier * short)).sum())

    multiplier = lowest
    if largest > most * (1 - NEAR):
        multiplier = brentq(pull, lowest * (1 - 0.5 / len(short)), 0)  # a weight is at most 1
    elif pull(lowest) > 0:
        multiplier = brentq(pull, lowest, 0)
    weights = 1 / (len(short) * (1 + multiplier * short))
    return float((weights * short**2).sum() + max(0.0, 1 - weights.sum()) * most**2)
