"""Alignments: which prompts of different length are used together, and the layout they are pooled onto (methods §2)."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from diptych.errors import InputError
from diptych.layout import Layout, segment_of

Positions = Literal["aligned", "token", "span"]
"""What a position of a grid is: see `align`."""

Shape = tuple[Layout, int]
"""A prompt's layout and the number of its pictures' form: prompts of one shape can share a batch."""


@dataclass(frozen=True)
class Alignment:
    """`layout`: what the positions of pooled grids are. `shapes`: those of the prompts that are used."""

    layout: Layout
    shapes: frozenset[Shape]

    @property
    def pooled(self) -> list[str]:
        """Names of the spans that are one position of `layout` but several tokens in some prompt."""
        return [
            name
            for name, places in self.layout.places.items()
            if any(len(layout.places[name]) != len(places) for layout, _ in self.shapes)
        ]


def align(shapes: Iterable[Shape], positions: Positions) -> Alignment:
    """The alignment of prompts of these shapes (one entry per prompt).

    `aligned`: all prompts with the same span names; a span keeps its tokens if it is as long in all of them, else it is
    one position. `token`: prompts of the commonest shape only, token by token. `span`: as `aligned`, but every span is
    one position.
    """
    if positions not in RULES:
        raise InputError(f"No positions named '{positions}'. Known: {', '.join(RULES)}.")
    return RULES[positions](Counter(shapes))


def _token(counts: Counter[Shape]) -> Alignment:
    shape = _commonest(counts)
    return Alignment(shape[0], frozenset([shape]))


def _span(counts: Counter[Shape]) -> Alignment:
    shapes = _of_common_names(counts)
    layout, _ = _commonest(shapes)
    return Alignment(layout.pooled(layout.places), frozenset(shapes))


def _aligned(counts: Counter[Shape]) -> Alignment:
    shapes = _of_common_names(counts)
    layout, form = _commonest(shapes)
    differ = [name for name, places in layout.places.items() if _lengths(shapes, name) != {len(places)}]
    if any(other != form for _, other in shapes):  # places in pictures of other proportions are not the same places
        differ += [name for name in layout.places if segment_of(name) == "data"]
    return Alignment(layout.pooled(differ), frozenset(shapes))


RULES: dict[str, Callable[[Counter[Shape]], Alignment]] = {"aligned": _aligned, "token": _token, "span": _span}


def _commonest(counts: Counter[Shape]) -> Shape:
    """The shape of most prompts; of equally many, the one met first."""
    return counts.most_common(1)[0][0]


def _of_common_names(counts: Counter[Shape]) -> Counter[Shape]:
    """The shapes whose spans have the names that most prompts' spans have."""
    names: Counter[frozenset[str]] = Counter()
    for (layout, _), count in counts.items():
        names[frozenset(layout.places)] += count
    wanted = names.most_common(1)[0][0]
    return Counter({shape: count for shape, count in counts.items() if frozenset(shape[0].places) == wanted})


def _lengths(shapes: Iterable[Shape], name: str) -> set[int]:
    return {len(layout.places[name]) for layout, _ in shapes}
