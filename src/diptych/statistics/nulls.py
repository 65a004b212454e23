"""Nulls: how large the best of many cells would be if none helped (methods §10)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from diptych.statistics.resampling import DRAWS, by_cluster, cluster_sums


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
    columns, members = by_cluster(gains, clusters)
    sums = cluster_sums(columns, members)  # [cell, cluster]
    patterns = _sign_patterns(len(members), draws, seed)  # [pattern, cluster]
    best = (patterns @ sums.T).max(axis=1) / columns.shape[1]  # [pattern]
    means = columns.mean(axis=1)
    cell = int(means.argmax())
    rounding = 1e-12 * max(1.0, float(np.abs(best).max()))
    p = float((best >= means[cell] - rounding).mean())
    return MaximumNull(cell, float(means[cell]), float(np.quantile(best, level)), p, len(patterns), seed)


def _sign_patterns(clusters: int, draws: int, seed: int) -> Float[np.ndarray, "pattern cluster"]:
    if 2**clusters <= draws:
        bits = np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1
        return 1.0 - 2.0 * bits
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws - 1, clusters))
    return np.concatenate([np.ones((1, clusters)), drawn])
