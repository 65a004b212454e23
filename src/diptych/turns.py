"""Turns: the layer at which curves over layers turn, with its interval (methods §11–§12)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from diptych.statistics import Estimate, cluster_bootstrap

Curve = Float[np.ndarray, " layer"]
Turn = Callable[[Curve], float]
"""A curve over layers → the layer at which it turns; −∞ if that is before the first, ∞ if it is behind the last.

nan if there is nothing that could turn.
"""
Panel = tuple[Float[np.ndarray, "layer n"], Sequence[str]]
"""The curves of a panel's prompts, and the cluster of each."""
FEWEST = 10
"""Clusters that a layer is told from: of fewer, resampled ones hardly differ, and the interval is too short."""


def depth(curves: Float[np.ndarray, "layer n"], clusters: Sequence[str], turn: Turn, *, seed: int) -> Estimate:
    """Where the mean of the prompts' curves turns; its interval is that of means over resampled clusters.

    Resampled means that turn before the first layer, or behind the last, count as turning there. Undefined if the mean
    itself does, or if there is no interval.
    """
    last = len(curves) - 1

    def of_means(*columns: "np.ndarray[Any, Any]") -> float:
        return float(np.clip(turn(np.stack(columns).mean(1)), 0, last))

    found = cluster_bootstrap(curves, clusters, of_means, seed=seed)
    if not math.isfinite(turn(np.asarray(curves).mean(1))):
        found = undefined(found, "the curve does not turn")
    elif not math.isfinite(found.low):
        found = undefined(found, found.reason)
    return enough(found, clusters)


def bounded_depth(curves: Float[np.ndarray, "layer n"], clusters: Sequence[str], turn: Turn, *, seed: int) -> Estimate:
    """As `depth`, of curves that lie within −1 and 1, with an interval that is not empty where all prompts are alike.

    Where all prompts turn at one place, others of their kind may still do so elsewhere, which resampling cannot show. So
    the interval is that of `with_bounds`.
    """
    found = depth(curves, clusters, turn, seed=seed)
    if not math.isfinite(found.value):
        return found
    more = depth(*with_bounds((curves, clusters)), turn, seed=seed)
    return replace(found, low=more.low, high=more.high, method=f"{found.method}, one more cluster at each of -1 and 1")


def with_bounds(panel: Panel, name: str = "") -> Panel:
    """A panel with one more cluster at each of −1 and 1, as large as clusters are on average.

    `name`: what tells them from those of another panel.
    """
    curves, clusters = panel
    size = max(1, round(len(clusters) / len(set(clusters))))
    more = np.broadcast_to(np.repeat([-1.0, 1.0], size), (len(curves), 2 * size))
    names = [f"{name} at {bound}" for bound in (-1, 1) for _ in range(size)]
    return np.hstack([curves, more]), [*clusters, *names]


def lag(late: Panel, early: Panel, turn: Turn, *, seed: int) -> Estimate:
    """How many layers later the mean curve of one panel turns than that of another.

    Clusters are resampled in both panels together, since they hold prompts of the same entities.
    """
    names = sorted({*late[1], *early[1]})

    def apart(*columns: "np.ndarray[Any, Any]") -> float:
        totals = np.split(np.stack(columns).sum(1), 2)
        first, second = (np.clip(turn(total[:-1] / total[-1]), 0, len(total) - 2) for total in totals)
        return float(first - second)

    found = cluster_bootstrap(np.concatenate([_sums(late, names), _sums(early, names)]), names, apart, seed=seed)
    return found if math.isfinite(found.low) else undefined(found, found.reason)


def _sums(panel: Panel, names: Sequence[str]) -> Float[np.ndarray, "layer_and_count cluster"]:
    """The sum of the curves of each cluster's prompts, and in the last row how many they are."""
    curves, clusters = panel
    member = np.array([[name == cluster for name in names] for cluster in clusters], float)  # [n, cluster]
    return np.vstack([curves, np.ones(len(clusters))]) @ member


def enough(found: Estimate, clusters: Sequence[str]) -> Estimate:
    """The same, undefined if it is of fewer than `FEWEST` clusters."""
    several = len(set(clusters))
    return found if several >= FEWEST else undefined(found, f"{several} clusters, at least {FEWEST} expected")


def undefined(found: Estimate, reason: str) -> Estimate:
    """The same without a value."""
    return replace(found, value=math.nan, low=math.nan, high=math.nan, reason=reason)


def crossing(above: Curve) -> float:
    """The depth at which a curve is above 0 for the last time, between two layers by a straight line.

    0 is not above: from the last layer above it the line goes to the next one.
    """
    top = np.flatnonzero(above > 0)
    if not len(top):
        return -math.inf
    last = int(top[-1])
    return math.inf if last == len(above) - 1 else float(last + above[last] / (above[last] - above[last + 1]))


def onset(above: Curve) -> float:
    """The first layer at which a curve is above 0."""
    top = np.flatnonzero(above > 0)
    return float(top[0]) if len(top) else math.inf


def half_risen(curve: Curve) -> float:
    """The first layer at least half-way from 0 up to the peak."""
    peak = float(curve.max())
    return float(np.flatnonzero(curve >= peak / 2)[0]) if peak > 0 else math.inf


def fallen(share: float) -> Turn:
    """The turn of curves that fall: the last layer before one has first fallen by more than a share of where it starts.

    nan of curves that start at 0 or less.
    """

    def turn(curve: Curve) -> float:
        if curve[0] <= 0:
            return math.nan
        below = np.flatnonzero(curve < (1 - share) * curve[0])
        return float(below[0] - 1) if len(below) else math.inf

    return turn
