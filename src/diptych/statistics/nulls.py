"""Nulls: how large the best of many cells would be if none helped (methods §10)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from diptych.statistics.resampling import DRAWS, by_cluster, cluster_sums


@dataclass(frozen=True, eq=False)
class MaximumNull:
    """Whether any cell helps (`p`), and per cell its mean gain, the gain that it needs and its p among all cells.

    `cell`: that of the highest t. `needed`: a gain above it has p ≤ 1 − `level`; NaN where a cell changes no cluster.
    """

    cell: int
    gains: Float[np.ndarray, " cell"]
    needed: Float[np.ndarray, " cell"]
    p_values: Float[np.ndarray, " cell"]
    patterns: int
    seed: int

    @property
    def p(self) -> float:
        """Share of sign patterns in which some cell's t is at least the highest one found."""
        return float(self.p_values[self.cell])


def max_statistic_null(
    gains: Float[np.ndarray, "cell n"],
    clusters: Sequence[str],
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> MaximumNull:
    """Does any cell help? Each cell's t against the distribution of the best t when signs are flipped at random.

    t is the sum of a cell's gains over the root of its summed squared cluster sums, which no flip changes: a cell that
    breaks many prompts counts for no more than a quiet one. A cluster's sign is flipped in all cells together, so
    dependence between cells is kept. All 2^clusters patterns are used if they are at most `draws`; else `draws`
    patterns, the observed one among them (so p is never 0). Single-step max-t of Westfall and Young 1993.
    """
    columns, members = by_cluster(gains, clusters)
    sums = cluster_sums(columns, members)  # [cell, cluster]
    scale = np.linalg.norm(sums, axis=1)  # [cell]
    units = np.divide(sums, scale[:, None], out=np.zeros_like(sums), where=scale[:, None] > 0)
    found = units.sum(axis=1)
    best = np.sort((_sign_patterns(len(members), draws, seed) @ units.T).max(axis=1))  # [pattern]
    rounding = 1e-12 * max(1.0, float(np.abs(best).max()))
    p_values = (best.size - np.searchsorted(best, found - rounding)) / best.size
    allowed = int((1 - level) * best.size + 1e-9)  # patterns that may reach a t of p ≤ 1 − level
    critical = best[-1 - allowed] + rounding
    needed = np.where(scale > 0, critical * scale, np.nan) / columns.shape[1]
    return MaximumNull(int(found.argmax()), columns.mean(axis=1), needed, p_values, best.size, seed)


def _sign_patterns(clusters: int, draws: int, seed: int) -> Float[np.ndarray, "pattern cluster"]:
    if 2**clusters <= draws:
        bits = np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1
        return 1.0 - 2.0 * bits
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws - 1, clusters))
    return np.concatenate([np.ones((1, clusters)), drawn])
