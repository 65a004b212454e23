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
"""A curve over layers, or two behind each other → the layer at which it turns; nan if it does not."""
FEWEST = 10
"""Clusters that a layer is told from: of fewer, resampled ones hardly differ, and the interval is too short."""


def depth(curves: Float[np.ndarray, "layer n"], clusters: Sequence[str], turn: Turn, *, seed: int) -> Estimate:
    """Where the mean of the prompts' curves turns; its interval is that of means over resampled clusters."""

    def of_means(*columns: "np.ndarray[Any, Any]") -> float:
        return turn(np.stack(columns).mean(1))

    found = cluster_bootstrap(curves, clusters, of_means, seed=seed)
    return enough(found if math.isfinite(found.value) else undefined(found, "the curve does not turn"), clusters)


def enough(found: Estimate, clusters: Sequence[str]) -> Estimate:
    """The same, undefined if it is of fewer than `FEWEST` clusters."""
    several = len(set(clusters))
    return found if several >= FEWEST else undefined(found, f"{several} clusters, at least {FEWEST} expected")


def undefined(found: Estimate, reason: str) -> Estimate:
    """The same without a value."""
    return replace(found, value=math.nan, low=math.nan, high=math.nan, reason=reason)


def crossing(both: Float[np.ndarray, " twice_layer"]) -> float:
    """The depth at which the first curve is on top of the second one for the last time, between two layers by a straight line.

    `both`: two curves of one length behind each other. A tie is not on top: from the last layer on top the line goes to
    the next one. nan if the first is never on top, or is on top at the end.
    """
    above = np.subtract(*np.split(both, 2))
    top = np.flatnonzero(above > 0)
    if not len(top) or top[-1] == len(above) - 1:
        return math.nan
    last = int(top[-1])
    return float(last + above[last] / (above[last] - above[last + 1]))


def onset(both: Float[np.ndarray, " twice_layer"]) -> float:
    """The first layer at which the first of two curves, behind each other, is on top of the second; nan if it never is."""
    above = np.flatnonzero(np.subtract(*np.split(both, 2)) > 0)
    return float(above[0]) if len(above) else math.nan


def half_risen(floor: float) -> Turn:
    """The turn of curves that rise: the first layer at least half-way from `floor` up to the peak.

    One more than the last layer if the peak is not above the floor: it is never reached.
    """

    def turn(curve: Curve) -> float:
        peak = float(curve.max())
        return float(np.flatnonzero(curve >= (floor + peak) / 2)[0]) if peak > floor else float(len(curve))

    return turn


def half_fallen(curve: Curve) -> float:
    """The last layer before a curve first falls below half of where it starts; nan if it starts at 0 or less."""
    if curve[0] <= 0:
        return math.nan
    below = np.flatnonzero(curve < curve[0] / 2)
    return float(below[0] - 1) if len(below) else float(len(curve) - 1)
