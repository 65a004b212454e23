"""Resampling of whole clusters: what intervals and nulls share. Every random draw has an explicit seed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from diptych.errors import InputError

DRAWS = 2000
"""Resamplings behind an interval (methods §13)."""

INTERVAL = (
    f"95% cluster bootstrap, {DRAWS} draws; expanded for few clusters, of accuracies with one more cluster at each bound; "
    "of their differences score tests"
)
"""How experiments make their intervals: `cluster_bootstrap`; `bounded_mean` of accuracies, `paired_difference` of their
differences."""


def by_cluster(
    values: ArrayLike, clusters: Sequence[str]
) -> tuple[Float[np.ndarray, "column n"], list[Int[np.ndarray, " _"]]]:
    """Values as columns, and which values each cluster holds; raises `InputError` for empty, non-finite or misaligned ones."""
    columns = np.atleast_2d(np.asarray(values, float))
    if columns.shape[1] != len(clusters):
        raise InputError(
            f"{columns.shape[1]} values but {len(clusters)} cluster names. Give the cluster of each value."
        )
    refuse_unusable(columns)
    names, index = np.unique(np.asarray(clusters, str), return_inverse=True)
    return columns, [np.flatnonzero(index == cluster) for cluster in range(len(names))]


def refuse_unusable(values: Float[np.ndarray, "..."]) -> None:
    """Raise `InputError` if there are no values, or some are not finite."""
    if values.size == 0:
        raise InputError("No values: nothing was kept. Loosen the filter or use more items.")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(f"{bad} of {values.size} values are not finite. Drop them first, and report how many.")


def drawn_clusters(clusters: int, draws: int, seed: int) -> Int[np.ndarray, "draw cluster"]:
    """Indices of the clusters of each resampling, drawn with replacement."""
    return np.random.default_rng(seed).integers(clusters, size=(draws, clusters))


def cluster_sums(
    columns: Float[np.ndarray, "column n"], members: list[Int[np.ndarray, " _"]]
) -> Float[np.ndarray, "column cluster"]:
    """Sum of each column within each cluster."""
    return np.stack([columns[:, rows].sum(axis=1) for rows in members], axis=1)


def resampled_sums(
    columns: Float[np.ndarray, "column n"], members: list[Int[np.ndarray, " _"]], picks: Int[np.ndarray, "draw cluster"]
) -> Float[np.ndarray, "column draw"]:
    """Sum of each column in each resampling."""
    return cluster_sums(columns, members)[:, picks].sum(axis=2)


def resampled_counts(
    members: list[Int[np.ndarray, " _"]], picks: Int[np.ndarray, "draw cluster"]
) -> Int[np.ndarray, " draw"]:
    """How many values each resampling holds."""
    return np.array([rows.size for rows in members])[picks].sum(axis=1)
