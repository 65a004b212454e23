"""Figures of single prompts: examples, maps over pictures, and both panels with what is painted over them."""

from collections.abc import Sequence
from dataclasses import dataclass

from diptych.errors import InputError
from diptych.figures.checks import Number, require_lengths, require_png


@dataclass(frozen=True)
class Panel:
    """One panel of an example prompt: its tokens, their segments, the model's answer, and the picture (PNG data URI)."""

    modality: str
    tokens: Sequence[str]
    segments: Sequence[str]
    predicted: str
    probability: float
    picture: str | None = None

    def __post_init__(self) -> None:
        require_lengths(f"Panel '{self.modality}'", len(self.tokens), segments=self.segments)
        if self.picture is not None:
            require_png(f"Panel '{self.modality}'", self.picture)


@dataclass(frozen=True)
class Example:
    """One item as the model sees it, in up to two panels."""

    title: str
    caption: str
    query: str
    answer: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class PictureMap:
    """Numbers over the cells of a picture (PNG data URI): `values[row][column]`, rows from the top.

    `words[row][column]`: what is written into the cells, if anything.
    """

    label: str
    picture: str
    values: Sequence[Sequence[Number]]
    words: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        owner = f"Picture map '{self.label}'"
        if not self.values or not self.values[0]:
            raise InputError(f"{owner} has no cells. Expected at least one row and one column of values.")
        for row in self.values:
            require_lengths(owner, len(self.values[0]), row=row)
        if self.words:
            require_lengths(owner, len(self.values), words=self.words)
        for words in self.words:
            require_lengths(owner, len(self.values[0]), words=words)
        require_png(owner, self.picture)


@dataclass(frozen=True)
class PictureMaps:
    """Maps over one or several pictures, of one colour scale."""

    title: str
    caption: str
    value_title: str
    maps: Sequence[PictureMap]


Named = tuple[int, Number, int]
"""A node's number in its layer, its score, and the place of the smallest circuit that holds it."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of one kind (`head`, `neuron`) in one panel of a prompt.

    `scores[layer][position]`: of all of them there. `first[layer][position]`: the place, among the sizes of the figure, of
    the smallest circuit that holds one of them; their number if none does. `named[layer][position]`: the strongest nodes.
    """

    kind: str
    scores: Sequence[Sequence[Number]]
    first: Sequence[Sequence[int]]
    named: Sequence[Sequence[Sequence[Named]]]

    def __post_init__(self) -> None:
        require_lengths(f"Nodes '{self.kind}'", len(self.scores), first=self.first, named=self.named)


@dataclass(frozen=True)
class Side:
    """One panel of a prompt with its nodes, by kind.

    `cells`: the positions of the picture (PNG data URI), row by row in so many `columns`; none if they have no place in it.
    """

    panel: Panel
    nodes: Sequence[Nodes]
    cells: Sequence[int] = ()
    columns: int = 1

    def __post_init__(self) -> None:
        owner = f"Side '{self.panel.modality}'"
        for layer in (layer for one in self.nodes for part in (one.scores, one.first, one.named) for layer in part):
            require_lengths(owner, len(self.panel.tokens), layer=layer)


@dataclass(frozen=True)
class Pair:
    """One prompt in two panels, with the scores of both."""

    title: str
    query: str
    answer: str
    sides: Sequence[Side]


@dataclass(frozen=True)
class Diptych:
    """Prompts in two panels whose scores are painted over them, by layer and by size of the circuit.

    `sizes`: increasing shares of all nodes; `said`: what is known of the circuits of each size; `start`: the place of
    the one that is shown first.
    """

    title: str
    caption: str
    value_title: str
    layers: Sequence[str]
    sizes: Sequence[float]
    said: Sequence[str]
    start: int
    pairs: Sequence[Pair]

    def __post_init__(self) -> None:
        owner = f"Diptych '{self.title}'"
        require_lengths(owner, len(self.sizes), said=self.said)
        for side in (side for pair in self.pairs for side in pair.sides):
            for one in side.nodes:
                require_lengths(owner, len(self.layers), scores=one.scores)
