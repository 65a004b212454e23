"""Tests of paired values, and their adjustment for a family of tests (methods §13)."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from diptych.errors import InputError
from diptych.statistics.resampling import refuse_unusable

EXACT = 200
"""Differences whose signs are followed exactly (20 ms)."""


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
    """Two-sided p value of the signed-rank test that paired differences are symmetric around 0 (zeros: Pratt).

    Exact, ties or not, for up to `EXACT` differences that are not 0; the normal approximation beyond.
    """
    values = np.asarray(differences, float)
    refuse_unusable(values)
    ranks = np.rint(2 * stats.rankdata(np.abs(values)))[values != 0].astype(
        int
    )  # doubled, since ties share a mean rank
    if ranks.size > EXACT:
        return float(stats.wilcoxon(values, zero_method="pratt", method="asymptotic").pvalue)
    chance = _sums_of_halves(ranks)
    positive = int(ranks[values[values != 0] > 0].sum())
    return min(1.0, 2 * float(min(chance[: positive + 1].sum(), chance[positive:].sum())))


def _sums_of_halves(ranks: Int[np.ndarray, " n"]) -> Float[np.ndarray, " sum"]:
    """How likely each sum is if every rank is in it with probability one half."""
    chance = np.zeros(int(ranks.sum()) + 1)
    chance[0] = 1.0
    for rank in ranks:
        chance = (chance + np.concatenate([np.zeros(rank), chance[: chance.size - rank]])) / 2
    return chance


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for a family of tests by Holm's step-down rule, in the given order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
