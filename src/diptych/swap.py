"""Swaps: a circuit in which one segment's nodes are those of the other panel's circuit (methods §8)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diptych.compare import SEGMENTS
from diptych.errors import InputError
from diptych.grid import Circuit, Scores
from diptych.items import Modality
from diptych.layout import Layout, position_map
from diptych.ranking import highest
from diptych.there import PerLayer

OWN, RANDOM, WHOLE = "own", "random", "whole"


@dataclass(frozen=True)
class Combination:
    """Where each segment's nodes come from, in a circuit for the prompts of panel `into`: a panel, or random nodes."""

    into: Modality
    data: str
    query: str
    generation: str

    def __post_init__(self) -> None:
        if len(self._sources) > 1:
            raise InputError(
                f"A combination for {self.into} takes segments from {sorted(self._sources)}; expected one source for all "
                f"that are not its own."
            )

    @property
    def swapped(self) -> tuple[str, ...]:
        """The segments that are not the panel's own."""
        return tuple(segment for segment in SEGMENTS if getattr(self, segment) != self.into)

    @property
    def part(self) -> str:
        """What is swapped: segments, the whole circuit, or nothing, which leaves the panel's own."""
        return {(): OWN, SEGMENTS: WHOLE}.get(self.swapped, " and ".join(self.swapped))

    @property
    def source(self) -> str:
        """Where it is from: a panel, or random; the panel itself if nothing is swapped."""
        return next(iter(self._sources), self.into)

    @property
    def _sources(self) -> set[str]:
        return {getattr(self, segment) for segment in self.swapped}


FOURTEEN = (
    #            into     data     query    generation
    Combination("text", "text", "text", "text"),
    Combination("text", "image", "text", "text"),
    Combination("text", "text", "image", "text"),
    Combination("text", "text", "text", "image"),
    Combination("text", RANDOM, "text", "text"),
    Combination("text", "text", RANDOM, "text"),
    Combination("text", "text", "text", RANDOM),
    Combination("image", "image", "image", "image"),
    Combination("image", "text", "image", "image"),
    Combination("image", "image", "text", "image"),
    Combination("image", "image", "image", "text"),
    Combination("image", RANDOM, "image", "image"),
    Combination("image", "image", RANDOM, "image"),
    Combination("image", "image", "image", RANDOM),
)
"""Paper A's fourteen combinations: each panel's own circuit, and with one segment from the other panel or random."""

TRANSFERS = (
    Combination("text", "image", "image", "image"),
    Combination("text", RANDOM, RANDOM, RANDOM),
    Combination("image", "text", "text", "text"),
    Combination("image", RANDOM, RANDOM, RANDOM),
)
"""Transfer of a whole circuit, and random nodes in all segments."""


def carry(circuit: Circuit, layout: Layout) -> Circuit:
    """The circuit on the other panel's layout (methods §2).

    Data: a node that is in anywhere is in at all data positions. Query: one-to-one from the right. Generation: the same.
    There and back it holds at least what it held outside the prefix.
    """
    return circuit.carry(position_map(circuit.layout, layout), layout)


def splice(own: Circuit, donor: Circuit, segments: Sequence[str]) -> Circuit:
    """`own` with the nodes of `donor`, a circuit on the same layout, in the segments named."""
    own.require_match(donor)
    spliced = own
    for segment in segments:
        spliced = spliced.without(segment) | donor.at(segment)
    return spliced


def carry_as_many(scores: Scores, own: Circuit) -> Circuit:
    """The highest-ranked nodes of the other panel, carried: in each segment and kind as many as `own` has there.

    A node carried to several positions has its rank at each of them; a node carried from several has the highest.
    """
    moves = position_map(scores.layout, own.layout)
    carried = [_carried(nodes, moves) for nodes in scores]
    masks = [torch.zeros_like(nodes) for nodes in own]
    for segment in SEGMENTS:
        places, counts = own.layout.segment(segment), own.at(segment).count()
        for mask, nodes, there, count in zip(masks, carried, own.there, counts, strict=True):
            mask[:, places] = highest(nodes[:, places], there, count)
    return replace(own, heads=masks[0], neurons=masks[1])


def random_like(circuit: Circuit, segments: Sequence[str], seed: int) -> Circuit:
    """Random nodes in the segments named: in each and of each kind as many as the circuit has there."""
    chance = np.random.default_rng(seed)
    masks = [torch.zeros_like(nodes) for nodes in circuit]
    for segment in segments:
        places, counts = circuit.layout.segment(segment), circuit.at(segment).count()
        for mask, there, count in zip(masks, circuit.there, counts, strict=True):
            drawn = _draw(places.stop - places.start, there, count, chance)
            mask[drawn[0], places.start + drawn[1], drawn[2]] = True
    return replace(circuit, heads=masks[0], neurons=masks[1])


@dataclass(frozen=True, eq=False)
class Donor:
    """What a panel's segments are swapped for, on its layout: `given` from the other panel, or random nodes like it."""

    given: Circuit
    draws: int
    seed: int

    def count(self, combination: Combination) -> int:
        """How many circuits a combination has: one, or as many as there are random draws."""
        return self.draws if combination.source == RANDOM else 1

    def circuits(self, own: Circuit, combination: Combination) -> Iterator[Circuit]:
        """The panel's circuit with the combination's segments swapped."""
        segments = combination.swapped
        for draw in range(self.count(combination)):
            random = combination.source == RANDOM
            donor = random_like(self.given, segments, self.seed + draw) if random else self.given
            yield splice(own, donor, segments)


def interchanged(own: ArrayLike, swapped: ArrayLike, random: ArrayLike) -> NDArray[np.float64]:
    """(F_swap − F_random)/(F_own − F_random), each [direction, ...] the mean over directions before they are put together."""
    kept, given, chance = (np.asarray(values, float).mean(0) for values in (own, swapped, random))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((given - chance) / (kept - chance))


def _carried(nodes: Float[Tensor, "layer source node"], moves: Bool[Tensor, "source target"]) -> Tensor:
    """The highest score over the source positions of each target position; −∞ where there is none."""
    sources, index = torch.unique(moves, dim=1, return_inverse=True)
    lowest = nodes.new_full((nodes.shape[0], nodes.shape[2]), -torch.inf)
    best = [nodes[:, places].amax(1) if places.any() else lowest for places in sources.T]
    return torch.stack(best, 1)[:, index]


def _draw(positions: int, there: PerLayer, count: int, chance: np.random.Generator) -> list[Tensor]:
    """Layer, position and index of `count` different nodes, each of those that are there equally likely."""
    starts = np.concatenate([[0], positions * np.cumsum(there)])
    chosen = chance.choice(starts[-1], size=count, replace=False, shuffle=False)
    layers = np.searchsorted(starts, chosen, side="right") - 1
    places, nodes = np.divmod(chosen - starts[layers], np.asarray(there)[layers])
    return [torch.from_numpy(part) for part in (layers, places, nodes)]
