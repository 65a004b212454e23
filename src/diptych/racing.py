"""A race for the minimal circuit: sizes are bisected, each on as many prompts as its verdict needs (decision 0027)."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from diptych.errors import InputError
from diptych.faithfulness import Array, search

Margins = Mapping[float, Array]
"""By circuit size: m(circuit) − m(empty) − threshold·(m(model) − m(empty)) of each of some prompts."""


@dataclass(frozen=True, eq=False)
class Standing:
    """What is known of some sizes from the margins `seen` of some of `prompts` prompts, which come in random order.

    A size passes if the mean margin of all prompts is at least 0, that is, F (a ratio of means whose denominator is
    positive) at least the threshold. The mean of n of N prompts leaves no doubt of that if it is farther from 0 than its
    error as an estimate of the mean of all: t·s·√((1 − n/N)/n), which is 0 at n = N; t at the two-sided `level`.
    """

    sizes: Sequence[float]
    prompts: int
    level: float
    seen: Margins = field(default_factory=dict)

    def verdict(self, size: float) -> bool | None:
        """Whether a size passes; None while that is in doubt."""
        seen = self.seen.get(size, np.empty(0))
        return self._leans(size) if len(seen) and abs(seen.mean()) > _doubt(seen, self.prompts, self.level) else None

    def minimal(self) -> tuple[float | None, list[float]]:
        """The smallest size that passes as far as is known (None if none does), and the sizes on the way that are in doubt."""
        doubted = []

        def passes(size: float) -> bool:
            verdict = self.verdict(size)
            if verdict is None:
                doubted.append(size)
            return self._leans(size) if verdict is None else verdict

        return search(self.sizes, passes), doubted

    def look(self, measure: Callable[[float], Array], known: Collection[float] = ()) -> dict[float, Array]:
        """Bisect the sizes with some more prompts: measure their margins at each size on the way that is in doubt.

        Those that are `known` have been measured on these prompts. Gives what was measured.
        """
        found: dict[float, Array] = {}

        def passes(size: float) -> bool:
            if (verdict := self.and_of(found).verdict(size)) is not None:
                return verdict
            if size not in known and size not in found:
                found[size] = measure(size)
            return self.and_of(found)._leans(size)

        search(self.sizes, passes)
        return found

    def and_of(self, found: Margins) -> "Standing":
        """With the margins of more prompts."""
        more = {size: np.append(self.seen.get(size, np.empty(0)), margins) for size, margins in found.items()}
        return Standing(self.sizes, self.prompts, self.level, {**self.seen, **more})

    def _leans(self, size: float) -> bool:
        """Whether a size passes by what was seen; one that was not seen may."""
        return size not in self.seen or bool(self.seen[size].mean() >= 0)


LookAt = Callable[[slice, Standing, Collection[float]], Margins]
"""Some prompts, what is known, and the sizes measured on these prompts before → what `Standing.look` measures on them."""


@dataclass(frozen=True, eq=False)
class Raced:
    """`size`: the smallest that passes, or None. `forwards`: runs of a prompt under a circuit, or plain.

    Each look costs a clean and a counterfactual run of its prompts, and one for each size measured on them.
    """

    size: float | None
    forwards: int
    standing: Standing

    @property
    def prompts(self) -> dict[float, int]:
        """On how many prompts each size tried was run."""
        return {size: len(margins) for size, margins in self.standing.seen.items()}


def race(look_at: LookAt, prompts: int, sizes: Sequence[float], *, risk: float = 0.05, look: int = 12) -> Raced:
    """`search`, each size being run on as many prompts as its verdict needs.

    Prompts, which must be in random order, are looked at `look` at a time, the sizes in doubt being bisected on each, until
    no verdict on the way is in doubt: then all are those of all prompts with probability 1 − `risk` (Bonferroni over looks
    and the sizes of one bisection; margins about normal). Raises `InputError` for a look of less than two prompts or none
    to look at.
    """
    if look < 2 or prompts < 1 or not 0 < risk < 1:
        raise InputError(
            f"A race of {prompts} prompts, {look} at a time at a risk of {risk}; expected at least 1, at least 2 at a time, "
            f"and a risk between 0 and 1."
        )
    parts = [slice(start, min(start + look, prompts)) for start in range(0, prompts, look)]
    level = risk / (len(parts) * max(1, math.ceil(math.log2(len(sizes) + 1))))
    standing, forwards = Standing(sizes, prompts, level), 0
    measured: list[set[float]] = [set() for _ in parts]
    while (found := standing.minimal())[1]:
        # prompts that were not looked at, or else those on which a size in doubt was not run
        fresh = (place for place, sizes_there in enumerate(measured) if not sizes_there)
        lacking = (place for place, sizes_there in enumerate(measured) if not sizes_there.issuperset(found[1]))
        place = next(fresh, None)
        place = next(lacking) if place is None else place
        margins = look_at(parts[place], standing, measured[place])
        forwards += (2 + len(margins)) * (parts[place].stop - parts[place].start)
        measured[place] |= margins.keys()
        standing = standing.and_of(margins)
    return Raced(found[0], forwards, standing)


def _doubt(seen: Array, prompts: int, level: float) -> float:
    """How far the mean of these values may be from that of as many as there are prompts, but for a share of cases `level`."""
    left = 1 - len(seen) / prompts
    if not left:
        return -1.0
    if len(seen) < 2:
        return math.inf
    return float(stats.t.ppf(1 - level / 2, len(seen) - 1) * seen.std(ddof=1) * math.sqrt(left / len(seen)))
