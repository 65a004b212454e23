"""Ranking: the highest scores of a grid's nodes as a mask. A selection, not a sort: 211 M neurons must pass."""

import math
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import MismatchError
from diptych.there import PerLayer

Array = NDArray[np.floating[Any]]

SAMPLE = 2**18
"""About how many scores are looked at to guess where the last one kept lies."""


def highest(scores: Tensor, there: PerLayer, keep: int) -> Tensor:
    """The `keep` highest scores [layer, pos, node] as a mask, of as many nodes per layer as are there; ties by lower index."""
    if scores.dtype == torch.bool:
        raise MismatchError("A circuit has no ranking. Take `top` of the scores it came from.")
    wide = scores.detach().cpu() if scores.dtype == torch.float64 else scores.detach().float().cpu()
    layers = [layer[:, :count] for layer, count in zip(wide.numpy(), there, strict=True)]
    undefined = sum(int(np.isnan(layer).sum()) for layer in layers)
    if undefined:
        raise MismatchError(f"{undefined} scores are NaN. Rank only finite scores: see how they arose.")
    kept = torch.zeros(scores.shape, dtype=torch.bool)
    if keep == 0:
        return kept
    threshold = _nth_highest(layers, keep)
    ties = keep - sum(int((layer > threshold).sum()) for layer in layers)
    for layer, mask in zip(layers, kept.numpy(), strict=True):  # layer by layer: no index of a whole grid
        chosen = layer > threshold
        if ties:
            tied = np.flatnonzero(layer == threshold)[:ties]
            chosen.reshape(-1)[tied] = True
            ties -= len(tied)
        mask[:, : layer.shape[1]] = chosen
    return kept


def _nth_highest(layers: list[Array], rank: int) -> float:
    """The value of this rank: a sample proposes bounds, counting narrows them, and what is left between them is sorted.

    So nothing as large as the scores is copied, and equal scores do not slow it down as they do a partial sort.
    """
    total = sum(layer.size for layer in layers)
    stride = max(1, total // SAMPLE)
    sample = np.sort(np.concatenate([layer.reshape(-1)[::stride] for layer in layers]))
    low, high, above, up_to = math.nan, math.nan, 0, total  # scores ≥ high, scores > low
    for side in cycle((1, -1)):
        between = sample[_between(sample, low, high)]
        margin = max(len(sample) // 256, 2**10)
        if len(between) <= 4 * margin:
            break
        place = round((1 - (rank - above) / (up_to - above)) * len(between)) + side * margin
        pivot = between[min(max(place, 0), len(between) - 1)]
        more = sum(int((layer > pivot).sum()) for layer in layers)
        same = sum(int((layer == pivot).sum()) for layer in layers)
        if more < rank <= more + same:
            return float(pivot)
        if more >= rank:
            low, up_to = pivot, more
        else:
            high, above = pivot, more + same
    left = np.sort(np.concatenate([layer[_between(layer, low, high)] for layer in layers]))
    return float(left[above - rank])


def _between(values: Array, low: float, high: float) -> "NDArray[np.bool_]":
    return ~(values <= low) & ~(values >= high)  # nan bounds nothing
