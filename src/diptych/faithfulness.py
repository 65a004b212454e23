"""Faithfulness: how much of the model's behaviour a circuit keeps when all else is counterfactual (methods §6)."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from diptych.errors import InputError

Array = NDArray[np.float64]
Margins = Callable[[float, int, int], Array]
"""Circuit size, start, stop → m(circuit) − m(empty) − threshold·(m(model) − m(empty)) of prompts start … stop − 1."""

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


@dataclass(frozen=True)
class Raced:
    """`size`: the smallest that passes, or None. `prompts`: on how many prompts each size tried was run."""

    size: float | None
    prompts: dict[float, int]

    @property
    def forwards(self) -> int:
        """Runs of prompts under circuits, and a clean and a counterfactual run of each prompt used."""
        return sum(self.prompts.values()) + 2 * max(self.prompts.values(), default=0)


def race(margins: Margins, prompts: int, sizes: Sequence[float], *, risk: float = 0.05, look: int = 12) -> Raced:
    """`search`, each size being run on as many prompts as its verdict needs.

    A size passes if the mean margin of all prompts is at least 0, that is, F (a ratio of means whose denominator is
    positive) at least the threshold. Prompts, which must be in random order, are run `look` at a time until the mean of
    those run is farther from 0 than its error as an estimate of that of all: t·s·√((1 − n/N)/n), which is 0 at n = N. The
    quantiles t are such that all verdicts are those of all prompts with probability 1 − `risk` (Bonferroni; margins about
    normal). Raises `InputError` for a look of less than two prompts or none to look at.
    """
    if look < 2 or prompts < 1 or not 0 < risk < 1:
        raise InputError(
            f"A race of {prompts} prompts, {look} at a time at a risk of {risk}; expected at least 1, at least 2 at a time, "
            f"and a risk between 0 and 1."
        )
    stops = [*range(look, prompts, look), prompts]
    level = risk / (len(stops) * max(1, math.ceil(math.log2(len(sizes) + 1))))
    used: dict[float, int] = {}

    def passes(size: float) -> bool:
        seen = np.empty(0)
        for stop in stops:
            seen = np.append(seen, margins(size, len(seen), stop))
            used[size] = stop
            if abs(seen.mean()) > _doubt(seen, prompts, level):
                break
        return bool(seen.mean() >= 0)

    return Raced(search(sizes, passes), used)


def _doubt(seen: Array, prompts: int, level: float) -> float:
    """How far the mean of these values may be from that of as many as there are prompts, but for a share of cases `level`."""
    left = 1 - len(seen) / prompts
    if not left:
        return 0.0
    return float(stats.t.ppf(1 - level / 2, len(seen) - 1) * seen.std(ddof=1) * math.sqrt(left / len(seen)))


def _require_increasing(sizes: Sequence[float]) -> None:
    if list(sizes) != sorted(sizes):
        raise InputError(f"Circuit sizes {list(sizes)} are not in increasing order. Sort them.")
