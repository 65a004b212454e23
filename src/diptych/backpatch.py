"""Back-patching: late representations of the data re-injected into early layers (methods §10)."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.errors import InputError
from diptych.interventions import overwrite, patch_residuals
from diptych.models.applied import Applied
from diptych.models.calls import DecoderCall
from diptych.models.entry import stopped_at
from diptych.models.handed import record_handed, started
from diptych.models.past import Past, alone
from diptych.models.shared import sharing_weights
from diptych.models.trace import Trace, trace
from diptych.models.vlm import VLM


@dataclass(frozen=True, order=True)
class Cell:
    """Overwrite `resid_post` of layers destination ± half by that of layers source ± half; window = 2·half + 1.

    Where a model adds features of the picture between layers, they are in `resid_post`, which is read and overwritten as it
    is handed to the next layer (methods §10).
    """

    destination: int
    window: int
    source: int

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise InputError(f"A back-patching window is {self.window} layers; expected an odd number of at least 1.")

    def pairs(self, layers: int) -> list[tuple[int, int]]:
        """(source, destination) layers; a pair with an end out of range is dropped whole."""
        half = self.window // 2
        pairs = [(self.source + offset, self.destination + offset) for offset in range(-half, half + 1)]
        return [pair for pair in pairs if min(pair) >= 0 and max(pair) < layers]


def cells(layers: int, windows: Sequence[int] = (1, 3, 5)) -> list[Cell]:
    """Every cell with destination below source, ordered by destination, window and source.

    Of cells that are the same intervention, since a larger window lost its pairs out of range, the one of the smallest
    window is kept.
    """
    everything = [Cell(d, w, s) for w in sorted(windows) for d in range(layers) for s in range(d + 1, layers)]
    first: dict[tuple[tuple[int, int], ...], Cell] = {}
    for cell in everything:
        first.setdefault(tuple(cell.pairs(layers)), cell)
    return sorted(first.values())


@torch.no_grad()
def back_patch(
    vlm: VLM,
    call: DecoderCall,
    positions: slice,
    some: Sequence[Cell],
    *,
    sources: Sequence[Float[Tensor, "batch pos d_model"]] | None = None,
    batch_size: int = 64,
) -> Iterator[tuple[Cell, Float[Tensor, "batch vocab"]]]:
    """Last-position logits of the prompts under each cell, each once, in an order of its own.

    `sources` are `resid_post` of every layer to patch from (the run's own by default). Layers below the first one
    overwritten are not run again, and cells of one destination and window share a batch. Cells that end in the same pair
    leave the same at `positions` above it: if there are any, and the model's later positions can be computed alone
    (`models.trace`), `positions` are run once for all of them, and for each cell only what follows.
    Cost ≤ 1F + Σ_cells (L − destination + half)/L · F.
    """
    bundles = _bundles(some, len(vlm.layers))
    own = trace(vlm, call, _ends(bundles, positions))
    sweep = _Sweep(vlm, call, positions, own, own.residuals if sources is None else sources)
    at_once = max(1, batch_size // call.batch)
    if own.past is not None:
        for some_bundles in _chunks(bundles, lambda bundle: sweep.destinations(bundle[0]), at_once):
            yield from sweep.bundled(some_bundles, own.past)
    else:
        for chunk in _chunks(sorted(set(some)), sweep.destinations, at_once):
            yield from sweep.whole(chunk)


def forwards(some: Sequence[Cell], layers: int, positions: slice, length: int, *, alone: bool) -> float:
    """Forwards per prompt of `length` positions that `back_patch` takes for these cells, its plain run included.

    `alone`: whether the model's later positions can be computed alone. A layer asked for its keys alone counts nothing.
    """
    bundles = _bundles(some, layers)
    ends = _ends(bundles, positions) if alone else ()
    size, follow = positions.stop - positions.start, length - positions.stop
    total = length * layers + sum(length - end for end in ends) * layers
    for bundle in bundles:
        first, *others = (destination for _, destination in bundle[0].pairs(layers))
        lowest = [cell.pairs(layers)[0][1] for cell in bundle]
        total += size * (layers - 1 - first - len({*others, layers - 1})) if ends else 0
        total += sum((follow if ends else length) * (layers - 1 - one) for one in lowest)
    return total / (length * layers)


@torch.no_grad()
def loop(
    vlm: VLM, call: DecoderCall, positions: slice, cell: Cell, rounds: int
) -> Iterator[Float[Tensor, "batch vocab"]]:
    """Last-position logits of each round under one cell: the first patches from the plain run, others from the round before."""
    with record_handed(vlm) as own:
        vlm.run(call)
    donors = own
    for _ in range(rounds):
        # recorded behind the patches: what a layer was overwritten with is what the next round takes from it
        with record_handed(vlm) as residuals, _patched(vlm, positions, [cell], own, donors):
            logits = vlm.run(call)
        yield logits
        donors = residuals


def noise_like(
    residual: Float[Tensor, "batch pos d_model"], seeds: Sequence[int]
) -> Float[Tensor, "batch pos d_model"]:
    """Random directions with the norm that the residual has at each position, from one seed per prompt."""
    shape = residual.shape[1:]
    drawn = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    length = residual.float().norm(dim=-1, keepdim=True)
    return (drawn / drawn.norm(dim=-1, keepdim=True)).to(length.device).mul(length).to(residual.dtype)


def patched(vlm: VLM, cell: Cell) -> VLM:
    """The model with its data positions back-patched in every run on a picture: to attribute, or to ablate, with the patch.

    Equal to `back_patch` on the image panel. What is patched is seen in the original, whatever is done to the copy, and is
    a constant to gradients: nodes count in the second pass alone. Weights are shared with `vlm`.
    """
    digest = hashlib.sha256(f"{vlm.digest} {cell}".encode()).hexdigest()[:12]
    copy = sharing_weights(vlm, f"{vlm.name} (back-patched)", digest)
    Applied(copy.model, cell.pairs(len(vlm.layers)), reader=vlm.model)
    return copy


@dataclass(frozen=True, eq=False)
class _Sweep:
    """The runs of a sweep of cells over some prompts; `own`: their plain run, `donors`: what is patched in, by layer."""

    vlm: VLM
    call: DecoderCall
    positions: slice
    own: Trace
    donors: Sequence[Tensor]

    def destinations(self, cell: Cell) -> list[int]:
        """The layers that a cell overwrites."""
        return [destination for _, destination in cell.pairs(len(self.vlm.layers))]

    def whole(self, chunk: Sequence[Cell]) -> Iterator[tuple[Cell, Tensor]]:
        """One run of all positions for cells that overwrite the same layers."""
        with _patched(self.vlm, self.positions, chunk, self.own.residuals, self.donors):
            logits = self.vlm.run(self.call.repeat(len(chunk)))
        yield from zip(chunk, logits.unflatten(0, (len(chunk), -1)), strict=True)

    def bundled(self, bundles: Sequence[Sequence[Cell]], plain: Past) -> Iterator[tuple[Cell, Tensor]]:
        """A run of `positions` for bundles whose largest cells overwrite the same layers, then of what follows, by cell."""
        past = self._patched_past([bundle[0] for bundle in bundles], plain)
        members = [(self.destinations(cell), cell, place) for place, bundle in enumerate(bundles) for cell in bundle]
        for (first, *_), group in groupby(sorted(members), key=lambda member: member[0]):
            _, chunk, places = zip(*group, strict=True)
            rows = [place * self.call.batch + prompt for place in places for prompt in range(self.call.batch)]
            logits = self._behind(past.take(rows), first + 1, len(chunk))
            yield from zip(chunk, logits.unflatten(0, (len(chunk), -1)), strict=True)

    def _patched_past(self, chunk: Sequence[Cell], plain: Past) -> Past:
        """The past up to the end of `positions` under cells that overwrite the same layers, from the first of them on.

        What a layer leaves there that is then overwritten, or leaves the model, is not computed.
        """
        vlm, where = self.vlm, self.destinations(chunk[0])
        unread = {*where[1:], len(vlm.layers) - 1}
        before = plain.until(self.positions.start).take(list(range(self.call.batch)) * len(chunk))
        with (
            _patched(vlm, self.positions, chunk, self.own.residuals, self.donors),
            alone(vlm, before, self.positions, where[0] + 1, keys_only=unread) as past,
            stopped_at(vlm.sites.unembedding),
        ):
            vlm.run(self.call.repeat(len(chunk)))
        return past

    def _behind(self, past: Past, start: int, times: int) -> Tensor:
        """Logits of the prompts, several times, from a layer on: what follows `positions` alone."""
        follows = slice(self.positions.stop, self.call.input_ids.shape[1])
        with self.own.resumed(self.vlm, start, times), alone(self.vlm, past, follows, start):
            return self.vlm.run(self.call.repeat(times))


def _bundles(some: Sequence[Cell], layers: int) -> list[list[Cell]]:
    """The cells that end in the same pair of layers, those that overwrite most first; ordered by what the first overwrites.

    Pairs of a cell follow each other, so those of one in a bundle are the last pairs of any larger one.
    """
    found: dict[tuple[int, int], list[Cell]] = {}
    for cell in sorted(set(some), key=lambda cell: len(cell.pairs(layers)), reverse=True):
        found.setdefault(cell.pairs(layers)[-1], []).append(cell)
    return sorted(found.values(), key=lambda bundle: [pair[::-1] for pair in bundle[0].pairs(layers)])


def _ends(bundles: Sequence[Sequence[Cell]], positions: slice) -> tuple[int, ...]:
    """From where on positions have to be computed alone: nowhere if no two cells end alike."""
    return (positions.start, positions.stop) if any(len(bundle) > 1 for bundle in bundles) else ()


def _chunks(ordered: Sequence[Any], key: Callable[[Any], Any], size: int) -> Iterator[list[Any]]:
    """At most `size` neighbours of one key at a time."""
    for _, group in groupby(ordered, key=key):
        alike = list(group)
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


@contextmanager
def _patched(
    vlm: VLM, positions: slice, chunk: Sequence[Cell], own: Sequence[Tensor], donors: Sequence[Tensor]
) -> Iterator[None]:
    """While open, a run of the prompts under cells that overwrite the same layers starts just above the lowest of them."""
    pairs = [cell.pairs(len(vlm.layers)) for cell in chunk]
    values = {
        destination: torch.cat([donors[source].to(own[destination].device) for source in column])
        for destination, column in (
            (column[0][1], [source for source, _ in column]) for column in zip(*pairs, strict=True)
        )
    }
    first = min(values)
    residual = overwrite(own[first].repeat(len(chunk), 1, 1), positions, values.pop(first))
    with patch_residuals(vlm, positions, values), started(vlm, first, residual):
        yield
