"""Guided back-patching: what of a patch is let through, by positions or by nodes, and which random sets stand beside it."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Bool
from torch import Tensor

from diptych.backpatch import Cell, back_patch
from diptych.grid import Circuit
from diptych.items import Item
from diptych.metrics import correct
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.vlm import VLM
from diptych.ranking import highest
from diptych.written import Plain, written

PARTS = ("all", "circuit", "others")
"""What is let through, before the random sets: all, what the circuit holds, and all but that."""

Values = Callable[[int, int], Tensor]
"""Source and destination layer → what is written over the destination [set, batch, pos, d_model]."""


@torch.no_grad()
def guided(
    vlm: VLM,
    payload: tuple[int, list[Item]],
    *,
    circuit: Circuit,
    cell: Cell,
    share: float,
    draws: int,
    seed: int,
    answers: AnswerTokens,
    batch_size: int,
) -> dict[str, Tensor]:
    """Whether each image prompt is answered correctly: unpatched [n], and by positions and by nodes [set, n] as in `PARTS`
    and then for each random set, of which there are none if the circuit holds no data position; and of each prompt how
    many data positions hold a node of the circuit, how many `share` asks for, how many are let through, and how many of
    these are drawn from more that hold as much [n]."""
    _, items = payload
    prompts = [encode_item(vlm, item, "image") for item in items]
    layout = prompts[0].layout
    call = vlm.capture(collate(prompts))
    inside = circuit.expand(layout).at("data")
    plain = Plain.of(vlm, call)
    score = partial(correct, answers=answers.of(items).to(vlm.device), choices=answers.choices)
    at_once = max(1, batch_size // call.batch)
    draws = draws if _weight(circuit.at("data")).any() else 0
    held, asked = int(_weight(inside).count_nonzero()), math.ceil(share * (layout.data.stop - layout.data.start))
    counts = {"held": held, "asked": asked, "let": min(held, asked)}
    counts["drawn"] = _drawn(_weight(inside)[layout.data], counts["let"])

    def right(sets: Iterator[Values]) -> Tensor:
        """[set, n]."""
        found = []
        for values in sets:
            logits = _patched(vlm, plain, layout.data, cell, values)
            found += [score(one).cpu() for one in logits]
        return torch.stack(found)

    found = {
        "base": score(vlm.run(call)).cpu(),
        "positions": right(_by_positions(plain, _positions(inside, counts["let"], draws, seed), at_once)),
        "nodes": right(_by_nodes(vlm, plain, _nodes(inside, draws, seed), at_once)),
    }
    return found | {name: torch.full((len(items),), count) for name, count in counts.items()}


def _patched(vlm: VLM, plain: Plain, data: slice, cell: Cell, values: Values) -> Tensor:
    """Logits [set, batch, vocab] with `values` written over the destinations at the data positions."""
    sources = list(plain.residuals)
    sets = 1
    for source, destination in cell.pairs(len(sources)):
        written_over = values(source, destination)
        sets = written_over.shape[0]
        sources[source] = written_over.flatten(0, 1)
    ((_, logits),) = back_patch(vlm, plain.call.repeat(sets), data, [cell], sources=sources)
    return logits.unflatten(0, (sets, plain.call.batch))


def _by_positions(plain: Plain, sets: Sequence[Bool[Tensor, " pos"]], at_once: int) -> Iterator[Values]:
    """The source at the positions of each set; elsewhere the destination stays as it is."""
    for start in range(0, len(sets), at_once):
        chosen = torch.stack(list(sets[start : start + at_once]))[:, None, :, None]

        def values(source: int, destination: int, chosen: Tensor = chosen) -> Tensor:
            ours, theirs = plain.residuals[source], plain.residuals[destination]
            return torch.where(chosen.to(ours.device), ours, theirs.to(ours.device))

        yield values


def _by_nodes(vlm: VLM, plain: Plain, sets: Iterator[Circuit], at_once: int) -> Iterator[Values]:
    """The destination, and what the nodes of each set write between it and the source."""
    for some in _chunks(sets, at_once):

        def values(source: int, destination: int, some: Sequence[Circuit] = some) -> Tensor:
            return plain.residuals[destination] + written(vlm, plain, some, destination, source)

        yield values


def _chunks(sets: Iterator[Circuit], at_once: int) -> Iterator[list[Circuit]]:
    chunk: list[Circuit] = []
    for one in sets:
        chunk.append(one)
        if len(chunk) == at_once:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _positions(inside: Circuit, count: int, draws: int, seed: int) -> list[Bool[Tensor, " pos"]]:
    """All data positions; the `count` of them that hold most of the circuit; the others; and as many at random.

    Of positions that hold as much, those that are taken are drawn: a circuit of spans holds all alike.
    """
    data = inside.layout.data
    every = torch.zeros(inside.layout.length, dtype=torch.bool)
    every[data] = True

    def most(weights: Tensor, draw: int) -> Tensor:
        among = torch.rand(len(every), generator=torch.Generator().manual_seed(seed + draw))[data].argsort(
            descending=True
        )
        chosen = torch.zeros_like(every)
        chosen[data.start + among[weights[data][among].argsort(descending=True, stable=True)][:count]] = True
        return chosen

    ours = most(_weight(inside), draws)
    return [every, ours, every & ~ours, *(most(torch.zeros(len(every)), draw) for draw in range(draws))]


def _drawn(weights: Tensor, count: int) -> int:
    """How many of the `count` highest weights are taken from more that are equal."""
    if not count:
        return 0
    lowest = weights.sort(descending=True).values[count - 1]
    needed = count - int((weights > lowest).sum())
    return needed if int((weights == lowest).sum()) > needed else 0


def _weight(inside: Circuit) -> Tensor:
    """How much of a circuit each position holds: its share of the heads and of the neurons [pos]."""
    kinds = [nodes.sum((0, 2)).double() / max(1, int(nodes.sum())) for nodes in inside]
    return kinds[0] + kinds[1]


def _nodes(inside: Circuit, draws: int, seed: int) -> Iterator[Circuit]:
    """All nodes of the data positions; the circuit's; the others; and random ones, as many in each layer and of each kind."""
    every = (inside.map(torch.zeros_like).map(torch.logical_not)).at("data")
    yield from (every, inside, every & ~inside)
    for draw in range(draws):
        yield drawn_like(inside, seed + draw)


def drawn_like(inside: Circuit, seed: int) -> Circuit:
    """Random nodes of the data positions, as many in each layer and of each kind as the circuit has there."""
    chance = torch.Generator().manual_seed(seed)
    data, kinds = inside.layout.data, iter(inside.there)

    def draw(nodes: Tensor) -> Tensor:
        drawn = torch.zeros_like(nodes)
        for layer, (mask, there) in enumerate(zip(nodes[:, data], next(kinds), strict=True)):
            scores = torch.rand(mask.shape, generator=chance)[None]
            drawn[layer, data] = highest(scores, (there,), int(mask.sum()))[0]
        return drawn

    return inside.map(draw)
