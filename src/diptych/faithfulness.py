"""Faithfulness: how much of the model's behaviour a circuit keeps when all else is counterfactual (methods §6)."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from diptych.errors import InputError

Array = NDArray[np.float64]
MIB_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Circuit sizes of the MIB benchmark: fractions of all nodes."""


def cpr(sizes: Sequence[float], faithfulness: Sequence[float]) -> float:
    """Trapezoid area of F over size: how early a circuit performs."""
    _require_increasing(sizes)
    return float(np.trapezoid(faithfulness, sizes))


def cmd(sizes: Sequence[float], faithfulness: Sequence[float]) -> float:
    """Trapezoid area of |1 − F| over size: how far the circuit's behaviour is from the model's."""
    _require_increasing(sizes)
    return float(np.trapezoid(np.abs(1 - np.asarray(faithfulness)), sizes))


def minimal_size(sizes: Sequence[float], faithfulness: Sequence[float], threshold: float = 0.8) -> float | None:
    """The smallest size that reaches the threshold such that all larger sizes also do; None if even the largest does not."""
    _require_increasing(sizes)
    smallest = None
    for size, value in sorted(zip(sizes, faithfulness, strict=True), reverse=True):
        if not value >= threshold:
            break
        smallest = size
    return smallest


def bisect(passes: Callable[[float], bool], fails_at: float, passes_at: float, halvings: int) -> float:
    """The smallest size tried that passes, halving the gap between a size that fails and a larger one that passes.

    All sizes tried above it pass. After k halvings it is at most (passes_at − fails_at)/2^k above one that fails.
    """
    for _ in range(halvings):
        middle = round((fails_at + passes_at) / 2, 9)
        if passes(middle):
            passes_at = middle
        else:
            fails_at = middle
    return passes_at


def search(sizes: Sequence[float], passes: Callable[[float], bool]) -> float | None:
    """The smallest of these sizes that passes, from ⌈log₂(n + 1)⌉ of the n at most; None if the largest does not.

    What `minimal_size` finds by trying all, if F does not fall below the threshold again at larger sizes. In any case the
    size found passes, and the next smaller one has been tried and fails.
    """
    _require_increasing(sizes)
    found = bisect_left(sizes, True, key=passes)
    return sizes[found] if found < len(sizes) else None


def _require_increasing(sizes: Sequence[float]) -> None:
    if list(sizes) != sorted(sizes):
        raise InputError(f"Circuit sizes {list(sizes)} are not in increasing order. Sort them.")
