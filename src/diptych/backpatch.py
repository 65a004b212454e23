"""Back-patching: late representations of the data re-injected into early layers (methods §10)."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.errors import InputError
from diptych.interventions import overwrite, patch_residuals
from diptych.models.applied import Applied
from diptych.models.calls import DecoderCall
from diptych.models.handed import record_handed, started
from diptych.models.shared import sharing_weights
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
    """Last-position logits of the prompts under each cell, in the order of `sorted(some)`.

    `sources` are `resid_post` of every layer to patch from (the run's own by default). Layers below the first one
    overwritten are not run again, and cells of one destination and window share a batch.
    Cost ≤ 1F + Σ_cells (L − destination + half)/L · F.
    """
    with record_handed(vlm) as own:
        vlm.run(call)
    donors = own if sources is None else sources
    layers = len(vlm.layers)
    at_once = max(1, batch_size // call.batch)
    for _destinations, group in groupby(
        sorted(some), key=lambda cell: [destination for _, destination in cell.pairs(layers)]
    ):
        shared = list(group)
        for start in range(0, len(shared), at_once):
            chunk = shared[start : start + at_once]
            logits = _run_chunk(vlm, call, positions, chunk, own, donors)
            yield from zip(chunk, logits.unflatten(0, (len(chunk), call.batch)), strict=True)


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


def _run_chunk(
    vlm: VLM,
    call: DecoderCall,
    positions: slice,
    chunk: Sequence[Cell],
    own: Sequence[Tensor],
    donors: Sequence[Tensor],
) -> Tensor:
    """One run for cells that overwrite the same layers."""
    with _patched(vlm, positions, chunk, own, donors):
        return vlm.run(call.repeat(len(chunk)))


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
