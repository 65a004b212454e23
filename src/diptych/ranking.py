"""Ranking: the highest scores of a grid's nodes as a mask. A selection, not a sort: 211 M neurons must pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import InputError, MismatchError
from diptych.there import PerLayer

Array = NDArray[np.floating[Any]]

SAMPLE = 2**18
"""About how many scores are looked at to guess where the last one kept lies."""
HEAD = 16
"""About one score in so many, the highest, is kept in order: most circuits are smaller."""


def highest(scores: Tensor, there: PerLayer, keep: int) -> Tensor:
    """The `keep` highest scores [layer, pos, node] as a mask, of as many nodes per layer as are there; ties by lower index."""
    return Ranking.of(scores, there).highest(keep)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The scores of each layer's nodes, and in order a sample of them and the highest: what masks of several sizes share."""

    layers: list[Array]
    width: int
    sample: Array
    head: Array

    @classmethod
    def of(cls, scores: Tensor, there: PerLayer) -> "Ranking":
        """Raises `MismatchError` for a circuit, and for scores that are NaN."""
        if scores.dtype == torch.bool:
            raise MismatchError("A circuit has no ranking. Take `top` of the scores it came from.")
        wide = scores.detach().cpu() if scores.dtype == torch.float64 else scores.detach().float().cpu()
        layers = [layer[:, :count] for layer, count in zip(wide.numpy(), there, strict=True)]
        undefined = sum(np.count_nonzero(np.isnan(layer)) for layer in layers)
        if undefined:
            raise MismatchError(f"{undefined} scores are NaN. Rank only finite scores: see how they arose.")
        stride = max(1, sum(layer.size for layer in layers) // SAMPLE)
        sample = np.sort(np.concatenate([layer.reshape(-1)[::stride] for layer in layers]))
        return cls(layers, scores.shape[-1], sample, sample if stride == 1 else _head(layers, sample))

    @property
    def total(self) -> int:
        """Number of scores."""
        return sum(layer.size for layer in self.layers)

    def top(self, size: float) -> Tensor:
        """The ⌊size·N⌋ highest scores as a mask; `size` is read as the decimal it prints as (methods §5)."""
        if not 0 <= size <= 1:
            raise InputError(f"A circuit's size is {size}; expected a fraction of all nodes between 0 and 1.")
        return self.highest(math.floor(Fraction(repr(float(size))) * self.total))

    def highest(self, keep: int) -> Tensor:
        """The `keep` highest scores as a mask [layer, pos, node]."""
        kept = torch.zeros(len(self.layers), len(self.layers[0]), self.width, dtype=torch.bool)
        if keep == 0:
            return kept
        last = -math.inf if keep == self.total else self._of_rank(keep)
        masks = [mask[:, : layer.shape[1]] for layer, mask in zip(self.layers, kept.numpy(), strict=True)]
        for layer, mask in zip(self.layers, masks, strict=True):
            np.greater_equal(layer, last, out=mask)
        ties = sum(int(np.count_nonzero(mask)) for mask in masks) - keep  # too many by so many
        for layer, mask in zip(reversed(self.layers), reversed(masks), strict=True):  # no index of a whole grid
            if ties:
                rows, columns = (places[-ties:] for places in np.nonzero(layer == last))
                mask[rows, columns] = False
                ties -= len(rows)
        return kept

    def _of_rank(self, rank: int) -> float:
        """The value of this rank: a sample proposes bounds, counting narrows them, and what is left between them is sorted.

        So nothing as large as the scores is copied, and equal scores do not slow it down as they do a partial sort.
        """
        if rank <= len(self.head):
            return float(self.head[-rank])
        low, high, above, up_to = math.nan, math.nan, 0, self.total  # scores ≥ high, scores > low
        for side in cycle((1, -1)):
            between = self.sample[_between(self.sample, low, high)]
            margin = max(len(self.sample) // 256, 2**10)
            if len(between) <= 4 * margin:
                break
            place = round((1 - (rank - above) / (up_to - above)) * len(between)) + side * margin
            pivot = between[min(max(place, 0), len(between) - 1)]
            more = _count(self.layers, np.greater, pivot)
            if more >= rank:
                low, up_to = pivot, more
                continue
            high, above = pivot, _count(self.layers, np.greater_equal, pivot)
            if rank <= above:
                return float(pivot)
        left = np.sort(np.concatenate([layer[_between(layer, low, high)] for layer in self.layers]))
        return float(left[above - rank])


def _head(layers: list[Array], sample: Array) -> Array:
    """The highest scores in order, of all that are as high; none if the sample tells of far fewer than there are."""
    pivot = sample[-len(sample) // HEAD]
    if _count(layers, np.greater, pivot) > 2 * sum(layer.size for layer in layers) // HEAD:
        return sample[:0]
    return np.sort(np.concatenate([layer[layer > pivot] for layer in layers]))


def _count(layers: list[Array], compare: Callable[[Array, float], NDArray[np.bool_]], value: float) -> int:
    """How many scores compare so with the value."""
    return sum(int(np.count_nonzero(compare(layer, value))) for layer in layers)


def _between(values: Array, low: float, high: float) -> "NDArray[np.bool_]":
    return ~((values <= low) | (values >= high))  # nan bounds nothing
