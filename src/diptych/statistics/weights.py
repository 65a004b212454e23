"""Weights of folds and clusters, and levels: what is behind intervals of numbers that are no plain mean (methods §13)."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from diptych.errors import InputError

Array = NDArray[np.float64]


def expanded(level: float, clusters: int) -> float:
    """The level at which a percentile interval of few clusters is as wide as Student's at `level`.

    Percentile intervals are too narrow by √((n − 1)/n), and take the normal's quantiles for Student's (Hesterberg 2015,
    §5.3). With one cluster there is no interval: the level is given back.
    """
    if clusters < 2:
        return level
    below = stats.norm.cdf(math.sqrt(clusters / (clusters - 1)) * stats.t.ppf((1 - level) / 2, clusters - 1))
    return float(1 - 2 * below)


def fold_weights(folds: int, draws: int, seed: int) -> Float[np.ndarray, "draw fold"]:
    """Random weights of folds, each draw adding up to 1, under which a mean varies as it does between data sets.

    Dirichlet weights of concentration 1 − 2/folds give a weighted mean the variance s²/folds. Unlike folds drawn with
    replacement they leave none out, so what is ranked by such means changes by small steps.
    """
    if folds < 3:
        raise InputError(f"{folds} folds hold prompts; expected at least 3 to see how a number varies between them.")
    return np.random.default_rng(seed).dirichlet(np.full(folds, 1 - 2 / folds), size=draws)


def student(value: float, draws: ArrayLike, folds: int, level: float = 0.95) -> tuple[float, float]:
    """value ± t·s, with s the standard deviation of its draws over `folds` folds; nan if the value or most draws are."""
    drawn = np.asarray(draws, float)
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or 2 * drawn.size <= np.size(draws):
        return math.nan, math.nan
    reach = float(stats.t.ppf((1 + level) / 2, folds - 1) * drawn.std(ddof=1))
    return value - reach, value + reach


def together(clusters: Sequence[Sequence[str]], draws: int, seed: int) -> list[Float[np.ndarray, "draw n"]]:
    """How often each value of several groups is drawn when whole clusters are resampled, all groups' together."""
    names, index = np.unique(np.concatenate([np.asarray(group, str) for group in clusters]), return_inverse=True)
    chance = np.random.default_rng(seed)
    times = chance.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws).astype(float)
    edges = np.cumsum([len(group) for group in clusters])[:-1]
    return [times[:, part] for part in np.split(index, edges)]
