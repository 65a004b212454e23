"""Structural overlap of two circuits, against random circuits matched in size (methods §7)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from diptych.errors import InputError, MismatchError
from diptych.grid import KINDS, Circuit
from diptych.layout import position_map

SEGMENTS = ("data", "query", "generation")
MEASURED = {"data": "dropped", "query": "kept", "generation": "kept"}
"""Segment → whether a node is told apart by its position, in the overlap of methods §7."""
OTHERWISE = {"data": "kept", "query": "dropped"}
"""The other way round; the generation is one position, so that there is no other way."""

Array = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True)
class SetPair:
    """Sizes that decide an overlap: two sets of a and b nodes out of `nodes`, sharing `both`."""

    a: int
    b: int
    both: int
    nodes: int

    @property
    def open(self) -> bool:
        """Whether the sizes leave the overlap open: they decide it where a set holds all nodes, or none."""
        return min(self.a, self.b) > 0 and max(self.a, self.b) < self.nodes

    @property
    def iou(self) -> float:
        """|a ∩ b| / |a ∪ b|; nan if both are empty."""
        union = self.a + self.b - self.both
        return self.both / union if union else float("nan")

    @property
    def expected(self) -> float:
        """Mean IoU of random sets of these sizes, whose shared count is hypergeometric.

        For large sets this is α·β/(α + β − α·β) with α = a/nodes, β = b/nodes (methods §7), which is too low for
        small ones: by .02 for two sets of 2 out of 16.
        """
        if not self.a + self.b:
            return float("nan")
        centre = self.a * self.b / self.nodes
        reach = 12 * math.sqrt(centre) + 12  # standard deviations: all of the mass
        first = max(0, self.a + self.b - self.nodes, math.floor(centre - reach))
        both = np.arange(first, min(self.a, self.b, math.ceil(centre + reach)) + 1, dtype=np.float64)
        weights = self._weights(both)
        return float((weights * both / (self.a + self.b - both)).sum() / weights.sum())

    def _weights(self, both: Array) -> Array:
        """How often random sets share so many nodes, up to a factor: the hypergeometric law by the ratio of neighbours.

        The same as scipy's `hypergeom.pmf`, in a hundredth of its time for sets of many thousand nodes.
        """
        fewer = both[:-1]
        ratio = (self.a - fewer) * (self.b - fewer) / (both[1:] * (self.nodes - self.a - self.b + both[1:]))
        logarithms = np.concatenate([[0.0], np.cumsum(np.log(ratio))])
        return np.exp(logarithms - logarithms.max())

    def draws(self, count: int, seed: int) -> Array:
        """IoU of `count` pairs of random sets of these sizes: the shared count is hypergeometric."""
        both = np.random.default_rng(seed).hypergeometric(self.a, self.nodes - self.a, self.b, size=count)
        union = self.a + self.b - both
        return both / np.maximum(union, 1) if union.any() else np.full(count, np.nan)


@dataclass(frozen=True)
class Overlap:
    """Overlap of a text and an image circuit in one segment, for one node kind, all directions averaged.

    `positions`: kept, so that a node is one of a layer and position, carried to the other panel, in both directions; or
    dropped, so that it is in if it is in at any position.
    """

    segment: str
    kind: str
    pairs: tuple[SetPair, ...]
    positions: str = "kept"

    @property
    def iou(self) -> float:
        return float(np.mean([pair.iou for pair in self.pairs]))

    @property
    def expected(self) -> float:
        """IoU of matched random circuits."""
        return float(np.mean([pair.expected for pair in self.pairs]))

    @property
    def niou(self) -> float:
        """(IoU − b)/(1 − b): 0 for matched random circuits, 1 for identical ones; nan where sizes alone decide it."""
        return normalised(self.iou, self.expected) if telling(self) else float("nan")

    def draws(self, count: int, seed: int) -> Array:
        """IoU of `count` draws of random circuits matched in size, in increasing order.

        Both directions compare the same two circuits, so their draws are paired by rank: drawn independently, the
        null of query and generation would be √2 too narrow.
        """
        drawn = [np.sort(pair.draws(count, seed + index)) for index, pair in enumerate(self.pairs)]
        return np.asarray(np.mean(drawn, axis=0))

    def null(self, count: int, seed: int) -> Array:
        """nIoU of these draws."""
        drawn = self.draws(count, seed)
        return (drawn - self.expected) / (1 - self.expected) if telling(self) else np.full(count, np.nan)


@dataclass(frozen=True, eq=False)
class Compared:
    """What an overlap is of: for each direction two masks [layer, ...] and how many nodes each layer has there."""

    segment: str
    kind: str
    positions: str
    directions: tuple[tuple[Bool[Tensor, "layer ..."], Bool[Tensor, "layer ..."], tuple[int, ...]], ...]

    def overlap(self, layers: slice = slice(None)) -> Overlap:
        """The overlap in all or some layers."""
        pairs = (set_pair(a[layers], b[layers], sum(nodes[layers])) for a, b, nodes in self.directions)
        return Overlap(self.segment, self.kind, tuple(pairs), self.positions)


def compared(a: Circuit, b: Circuit, positions: Mapping[str, str] = MEASURED) -> Iterator[Compared]:
    """The masks of two circuits of one model in each segment and node kind, on common positions."""
    if a.model != b.model:
        raise MismatchError(f"Circuits of two models, {a.model} and {b.model}. Compare circuits of one model.")
    if a.there != b.there:
        raise MismatchError(
            f"Circuits of different nodes per layer: {a.there} and {b.there}. Compare circuits of one model."
        )
    carried = (
        (a.carry(position_map(a.layout, b.layout), b.layout), b),
        (a, b.carry(position_map(b.layout, a.layout), a.layout)),
    )
    for segment, rule in positions.items():
        for number, kind in enumerate(KINDS):
            sides = carried if rule == "kept" else ((a, b),)
            yield Compared(segment, kind, rule, tuple(RULES[rule](x, y, segment, number) for x, y in sides))


def overlaps(a: Circuit, b: Circuit, positions: Mapping[str, str] = MEASURED) -> list[Overlap]:
    """The overlap of two circuits of one model in each segment and node kind.

    Data: which heads and neurons take part anywhere, positions dropped. Query and generation: nodes carried through
    the position map, in both directions. `positions`: segment → "kept" or "dropped", if asked for otherwise.
    """
    return [part.overlap() for part in compared(a, b, positions)]


def normalised(iou: float, expected: float) -> float:
    """(IoU − b)/(1 − b); nan where random circuits already overlap fully."""
    return (iou - expected) / (1 - expected) if expected < 1 else float("nan")


def possible(part: Overlap) -> float:
    """Highest IoU of sets of these sizes, min/max when one holds the other, averaged as the IoU is; nan for empty sets."""
    sizes = [sorted((pair.a, pair.b)) for pair in part.pairs]
    return float(np.mean([small / large if large else float("nan") for small, large in sizes]))


def highest(part: Overlap) -> float:
    """The nIoU of that: what the closest circuits of these sizes have."""
    return normalised(possible(part), part.expected)


def telling(part: Overlap) -> bool:
    """Whether the sizes leave the overlap open in a direction: not if a side holds all nodes in each of them, or none."""
    return any(pair.open for pair in part.pairs)


def ceiling(across: float, within_a: float, within_b: float, expected: float) -> float:
    """Share of the reachable overlap: (IoU_AB − b)/(√(IoU_AA·IoU_BB) − b), from split halves of each circuit."""
    reachable = float(np.sqrt(within_a * within_b))
    return (across - expected) / (reachable - expected) if reachable > expected else float("nan")


def stability(circuits: Sequence[Circuit]) -> dict[str, tuple[float, float]]:
    """Mean IoU over all pairs of circuits found anew, per node kind, and that of random sets of their sizes (methods §13).

    Raises `InputError` for fewer than two.
    """
    if len(circuits) < 2:
        raise InputError(f"Stability compares circuits pairwise; got {len(circuits)}. Give at least 2.")
    for other in circuits[1:]:
        circuits[0].require_match(other)
    return {
        kind: _agreement([getattr(circuit, kind) for circuit in circuits], circuits[0].size()[number])
        for number, kind in enumerate(KINDS)
    }


def _agreement(sets: Sequence[Bool[Tensor, "..."]], nodes: int) -> tuple[float, float]:
    """Mean IoU of all pairs of masks, and its expectation; as bits, so that 20 circuits of 200 M nodes fit."""
    packed = [np.packbits(mask.flatten().cpu().numpy()) for mask in sets]
    sizes = [int(np.bitwise_count(bits).sum()) for bits in packed]
    pairs = [
        SetPair(sizes[i], sizes[j], int(np.bitwise_count(packed[i] & packed[j]).sum()), nodes)
        for i, j in combinations(range(len(sets)), 2)
    ]
    return float(np.mean([pair.iou for pair in pairs])), float(np.mean([pair.expected for pair in pairs]))


def set_pair(a: Bool[Tensor, "..."], b: Bool[Tensor, "..."], nodes: int) -> SetPair:
    """The sizes of two sets out of `nodes`, given as masks of one shape, which may hold more places than nodes."""
    return SetPair(int(a.sum()), int(b.sum()), int(torch.logical_and(a, b).sum()), nodes)


def _dropped(a: Circuit, b: Circuit, segment: str, kind: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    return a.at(segment).collapse()[kind], b.at(segment).collapse()[kind], a.there[kind]


def _kept(a: Circuit, b: Circuit, segment: str, kind: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    places = a.layout.segment(segment)
    ours, theirs = (tuple(circuit)[kind][:, places] for circuit in (a, b))
    return ours, theirs, tuple((places.stop - places.start) * count for count in a.there[kind])


RULES = {"kept": _kept, "dropped": _dropped}
