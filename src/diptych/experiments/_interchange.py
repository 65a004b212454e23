"""Interchange: faithfulness of swapped circuits over one or both directions, with intervals (methods §8)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from diptych.statistics import DRAWS, Estimate, expanded, together
from diptych.swap import OWN, interchanged

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Effects:
    """The metric of one panel's prompts: of the model and the empty circuit [n], and of each case's circuits [draw, n]."""

    model: Array
    empty: Array
    cases: Mapping[str, Array]
    clusters: Sequence[str]


@dataclass(frozen=True, eq=False)
class Interchange:
    """Estimates over one panel's prompts, or the mean over both panels'.

    Clusters are resampled in all directions together, and the random circuits of a case are resampled too. Intervals are
    percentiles, expanded for few clusters.
    """

    directions: Sequence[Effects]
    seed: int
    draws: int = DRAWS
    level: float = 0.95

    def values(self, case: str) -> Array:
        """F of each of a case's circuits [draw], mean over directions; nan where a denominator may be 0."""
        if self._reason:
            return np.full(len(self.directions[0].cases[case]), math.nan)
        return np.asarray(np.mean(self._faithfulness(case), axis=0))

    def faithfulness(self, case: str) -> Estimate:
        """F, mean over the case's circuits and over directions."""
        resampled = np.mean(self._resampled(case), axis=0)
        return self._estimate(float(self.values(case).mean()), resampled, self._reason)

    def normalised(self, swapped: str, random: str) -> Estimate:
        """(F_swap − F_random)/(F_own − F_random); nan with the reason if the denominator's interval is not above 0."""
        cases = (OWN, swapped, random)
        value = interchanged(*([f.mean() for f in self._faithfulness(case)] for case in cases))
        own, swap, chance = (self._resampled(case) for case in cases)
        return self._estimate(float(value), interchanged(own, swap, chance), self._reason or self._alike(random))

    def _alike(self, random: str) -> str:
        """Why the panel's own nodes are not surely better than random ones, if so."""
        below = np.mean(self._resampled(OWN), axis=0) - np.mean(self._resampled(random), axis=0)
        low, high = self._quantiles(below)
        return "" if low > 0 else f"the interval of F_own − F_random, [{low:.3g}, {high:.3g}], is not above 0"

    @cached_property
    def _reason(self) -> str:
        """Why nothing is known, if so: a denominator m(model) − m(empty) that may be 0, or no clusters to resample."""
        if self._clusters < 2:
            return "all prompts are of one cluster: no interval"
        for one, times in zip(self.directions, self._times, strict=True):
            low, high = self._quantiles(times @ (one.model - one.empty) / np.maximum(times.sum(1), 1))
            if low <= 0 <= high:
                return f"the interval of the denominator m(model) − m(empty), [{low:.3g}, {high:.3g}], contains 0"
        return ""

    def _faithfulness(self, case: str) -> list[Array]:
        """F of each circuit [draw], by direction."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return [(one.cases[case] - one.empty).sum(1) / (one.model - one.empty).sum() for one in self.directions]

    def _resampled(self, case: str) -> list[Array]:
        """The mean F of resampled circuits over resampled prompts [draws], by direction."""
        chance = np.random.default_rng(self.seed + 1)
        found = []
        for one, times in zip(self.directions, self._times, strict=True):
            above = times @ (one.cases[case] - one.empty).T  # [draws, circuit]
            count = above.shape[1]
            weights = chance.multinomial(count, np.full(count, 1 / count), size=self.draws) / count
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append((above * weights).sum(1) / (times @ (one.model - one.empty)))
        return found

    @cached_property
    def _times(self) -> list[Array]:
        return [*together([one.clusters for one in self.directions], self.draws, self.seed)]

    @property
    def _clusters(self) -> int:
        return len({cluster for one in self.directions for cluster in one.clusters})

    def _quantiles(self, samples: Array) -> tuple[float, float]:
        level = expanded(self.level, self._clusters)
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def _estimate(self, value: float, samples: Array, reason: str) -> Estimate:
        count = sum(len(one.clusters) for one in self.directions)
        method = f"{self.level:.0%} percentile cluster bootstrap, expanded for few clusters".replace("%", " %")
        unit = f"{self._clusters} clusters"
        unknown = Estimate(math.nan, math.nan, math.nan, count, unit, method, self.draws, self.seed, reason)
        undefined = int((~np.isfinite(samples)).sum())
        if reason or undefined:
            return replace(unknown, reason=reason or f"undefined in {undefined} of {self.draws} resamplings")
        low, high = self._quantiles(samples)
        return replace(unknown, value=value, low=low, high=high)
