"""Layouts: which positions of a prompt are prefix, data, query and generation; and maps between two of them."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
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
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Layout:
    """An ordered partition of a prompt's positions into named spans.

    Prefix: before the data, the same in all prompts (may be empty). Data: the item's data. Query: the rest up to
    the second-last position. Generation: the last position, where the answer is predicted (methods §2).
    """

    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        names = [span.name for span in self.spans]
        if len(set(names)) != len(names):
            raise InputError(f"A layout's spans need different names; got {names}.")
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

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.spans[-1].stop

    def segment(self, name: str) -> slice:
        """Positions of a whole segment as a slice; empty if the layout has no such segment."""
        if name not in SEGMENTS:
            raise InputError(f"No segment named '{name}'. Known: {', '.join(SEGMENTS)}.")
        spans = [span for span in self.spans if span.segment == name]
        return slice(spans[0].start, spans[-1].stop) if spans else slice(0, 0)

    @property
    def prefix(self) -> slice:
        return self.segment("prefix")

    @property
    def data(self) -> slice:
        return self.segment("data")

    @property
    def query(self) -> slice:
        return self.segment("query")

    @property
    def generation(self) -> slice:
        return self.segment("generation")

    def to_json(self) -> list[list[Any]]:
        return [[span.name, span.start, span.stop] for span in self.spans]

    @classmethod
    def from_json(cls, spans: list[list[Any]]) -> "Layout":
        return cls(tuple(Span(name, start, stop) for name, start, stop in spans))


def position_map(source: Layout, target: Layout) -> Bool[Tensor, "source target"]:
    """Which positions of two prompts correspond (methods §2).

    Data ↔ data all-to-all; query ↔ query one-to-one from the right, left-overs to the other's first query position;
    generation ↔ generation; prefix to nothing. `position_map(b, a)` is the transpose of `position_map(a, b)`.
    """
    linked = torch.zeros(source.length, target.length, dtype=torch.bool)
    linked[source.data, target.data] = True
    linked[source.generation, target.generation] = True
    pairs = max(_width(source.query), _width(target.query))
    for back in range(1, pairs + 1):
        linked[max(source.query.stop - back, source.query.start), max(target.query.stop - back, target.query.start)] = (
            True
        )
    return linked


def require_same(a: Layout, b: Layout) -> None:
    """Raise `MismatchError` unless both layouts are equal."""
    if a != b:
        raise MismatchError(
            f"The layouts differ: {a.length} positions {a.to_json()} and {b.length} positions {b.to_json()}. "
            f"Carry one onto the other first: `a.carry(position_map(layout_a, layout_b), layout_b)`."
        )


def _width(segment: slice) -> int:
    return int(segment.stop - segment.start)
