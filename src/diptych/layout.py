"""Layouts: which positions of a prompt are prefix, data, query and generation; and maps between two of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from diptych.errors import InputError, MismatchError

SEGMENTS = ("prefix", "data", "query", "generation")


@dataclass(frozen=True)
class Span:
    """Positions start ≤ t < stop, named after a segment (`data`) or a finer part of one (`data.operand`)."""

    name: str
    start: int
    stop: int

    @property
    def segment(self) -> str:
        """The segment that it lies in."""
        return segment_of(self.name)


@dataclass(frozen=True)
class Layout:
    """An ordered partition of a prompt's positions into named spans.

    Prefix: before the data, the same in all prompts (may be empty). Data: the item's data. Query: the rest up to
    the second-last position. Generation: the last position, where the answer is predicted (methods §2). A span may lie
    in several pieces of one name, as a cell of a picture does.
    """

    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        names = [span.name for span in self.spans]
        if any(len(list(pieces)) > 1 for _, pieces in groupby(names)):
            raise InputError(f"Neighbouring spans need different names; got {names}. Make one span of them.")
        unknown = [span.name for span in self.spans if span.segment not in SEGMENTS]
        if unknown:
            raise InputError(
                f"Spans {unknown} belong to no segment. A span's name starts with one of {', '.join(SEGMENTS)}."
            )
        order = [SEGMENTS.index(span.segment) for span in self.spans]
        if order != sorted(order) or set(order) - {0} != {1, 2, 3}:
            raise InputError(
                f"A layout holds an optional prefix, then data, query and generation, in this order; got {names}."
            )
        edges = [0, *(span.stop for span in self.spans)]
        if [span.start for span in self.spans] != edges[:-1] or any(span.stop <= span.start for span in self.spans):
            raise InputError(f"Spans must be non-empty and follow one another from position 0; got {self.spans}.")
        if self.generation.stop - self.generation.start != 1:
            raise InputError(
                f"The generation segment has positions {self.generation.start} to {self.generation.stop - 1}; "
                f"expected the last one alone. Give the others to the query."
            )

    @classmethod
    def of(cls, data: tuple[int, int], length: int) -> "Layout":
        """The four segments from the data's first position, its end, and the prompt's length."""
        edges = (0, *data, length - 1, length)
        named = zip(SEGMENTS, edges[:-1], edges[1:], strict=True)
        return cls(tuple(Span(name, start, stop) for name, start, stop in named if stop > start or name != "prefix"))

    @classmethod
    def labelled(cls, labels: Sequence[str]) -> "Layout":
        """The layout whose position t lies in the span named `labels[t]`."""
        spans, start = [], 0
        for name, positions in groupby(labels):
            stop = start + len(list(positions))
            spans.append(Span(name, start, stop))
            start = stop
        return cls(tuple(spans))

    @property
    def labels(self) -> list[str]:
        """The name of each position's span."""
        return [span.name for span in self.spans for _ in range(span.start, span.stop)]

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Span name → its positions, in the order in which the spans begin."""
        found: dict[str, list[int]] = {}
        for position, name in enumerate(self.labels):
            found.setdefault(name, []).append(position)
        return found

    def pooled(self, names: Collection[str]) -> "Layout":
        """The layout in which each of the named spans is one position, where it begins."""
        firsts = {places[0] for places in self.places.values()}
        kept = [name for t, name in enumerate(self.labels) if name not in names or t in firsts]
        return Layout.labelled(kept)

    def onto(self, target: "Layout") -> Int[Tensor, " pos"]:
        """For each position, its place in `target`, where the span of the same name is as long, or one position.

        Raises `MismatchError` if the span names differ, or a span has another length.
        """
        _require_names(self, target)
        index = torch.empty(self.length, dtype=torch.int64)
        for name, places in self.places.items():
            there = target.places[name]
            if len(there) not in (1, len(places)):
                raise MismatchError(
                    f"Span '{name}' has {len(places)} positions and {len(there)}; expected as many, or one that stands "
                    f"for all. Pool both onto one layout first: `scores.pool(layout.pooled(layout.places))`."
                )
            index[places] = torch.tensor(there)
        return index

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.spans[-1].stop

    def segment(self, name: str) -> slice:
        """Positions of a whole segment as a slice; empty if the layout has no such segment.

        Raises `InputError` for any other name.
        """
        if name not in SEGMENTS:
            raise InputError(f"No segment named '{name}'. Known: {', '.join(SEGMENTS)}.")
        spans = [span for span in self.spans if span.segment == name]
        return slice(spans[0].start, spans[-1].stop) if spans else slice(0, 0)

    @property
    def prefix(self) -> slice:
        """Positions before the data."""
        return self.segment("prefix")

    @property
    def data(self) -> slice:
        """Positions of the item's text, or of its picture."""
        return self.segment("data")

    @property
    def query(self) -> slice:
        """Positions behind the data, except the last."""
        return self.segment("query")

    @property
    def generation(self) -> slice:
        """The last position, where the answer is predicted."""
        return self.segment("generation")

    def to_json(self) -> list[list[Any]]:
        """Plain lists, which `from_json` reads."""
        return [[span.name, span.start, span.stop] for span in self.spans]

    @classmethod
    def from_json(cls, spans: list[list[Any]]) -> "Layout":
        """The layout that `to_json` wrote."""
        return cls(tuple(Span(name, start, stop) for name, start, stop in spans))


def segment_of(name: str) -> str:
    """The segment that a span's name begins with."""
    return name.split(".")[0]


def position_map(source: Layout, target: Layout) -> Bool[Tensor, "source target"]:
    """Which positions of two prompts correspond (methods §2).

    Spans of data and query correspond by name; what has no namesake corresponds to the rest of the segment. Within
    these, data ↔ data all-to-all; query ↔ query one-to-one from the right, left-overs to the other's first position.
    Generation ↔ generation; prefix to nothing. `position_map(b, a)` is the transpose of `position_map(a, b)`.
    """
    linked = torch.zeros(source.length, target.length, dtype=torch.bool)
    linked[source.generation, target.generation] = True
    for ours, theirs in _namesakes(source, target, "data"):
        linked[torch.tensor(ours)[:, None], torch.tensor(theirs)] = True
    for ours, theirs in _namesakes(source, target, "query"):
        for back in range(1, max(len(ours), len(theirs)) + 1):
            linked[ours[max(len(ours) - back, 0)], theirs[max(len(theirs) - back, 0)]] = True
    return linked


def require_same(a: Layout, b: Layout) -> None:
    """Raise `MismatchError` unless both layouts are equal."""
    if a != b:
        raise MismatchError(
            f"The layouts differ: {a.length} positions {a.to_json()} and {b.length} positions {b.to_json()}. "
            f"Carry one onto the other first: `a.carry(position_map(layout_a, layout_b), layout_b)`, or pool scores onto "
            f"one layout."
        )


def _namesakes(source: Layout, target: Layout, segment: str) -> Iterator[tuple[list[int], list[int]]]:
    """Positions of each span that both have, then of what is left; where one has nothing left, of its whole segment."""
    ours, theirs = (
        {name: places for name, places in layout.places.items() if segment_of(name) == segment}
        for layout in (source, target)
    )
    yield from ((places, theirs[name]) for name, places in ours.items() if name in theirs)
    rest = [_joined(ours, ours.keys() - theirs.keys()), _joined(theirs, theirs.keys() - ours.keys())]
    if any(rest):
        yield rest[0] or _joined(ours, ours), rest[1] or _joined(theirs, theirs)


def _joined(places: dict[str, list[int]], names: Collection[str]) -> list[int]:
    return sorted(position for name in names for position in places[name])


def _require_names(layout: Layout, target: Layout) -> None:
    lacking, extra = ([n for n in a.places if n not in b.places] for a, b in ((layout, target), (target, layout)))
    if lacking or extra:
        raise MismatchError(
            f"The layouts have other spans: {list(layout.places)} and {list(target.places)}. The second lacks "
            f"{lacking or 'none'} and has {extra or 'none'} besides. Give items the same named spans."
        )
