"""Cross-patching: the picture's positions take the states of another picture, layer by layer (methods §11)."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.interventions import overwrite
from diptych.models.calls import DecoderCall, Path
from diptych.models.past import alone
from diptych.models.streams import edit_streams, require_all_in_stream
from diptych.models.trace import Trace, trace
from diptych.models.vlm import VLM


@torch.no_grad()
def cross_patch(
    vlm: VLM, call: DecoderCall, donor: DecoderCall, positions: slice, layers: Sequence[int]
) -> Iterator[tuple[int, Float[Tensor, "batch vocab"]]]:
    """Last-position logits when what enters layer l at `positions` is what enters it there in the donor's run.

    Layer L, behind the last one, is allowed. Features of the picture that a model adds between layers are the donor's
    too, so at layer 0 the run is the donor's if nothing else of the prompts differs. Layers below l are not run again,
    nor are positions up to the end of `positions` where the prompts are alike before them, nothing but layers writes into
    them, and the model allows it (`models.trace`): cost ≤ 3F + Σ_l (L − l)/L · F. Raises `UnsupportedModel` if layers learn
    of the picture beside the stream.
    """
    length = call.input_ids.shape[1]
    start, stop, _ = positions.indices(length)
    with require_all_in_stream(vlm):
        theirs = trace(vlm, donor, (stop,))
    own, mixed = trace(vlm, call), with_injections(call, donor)
    shared = _alike(own, theirs, start) and all(_undisturbed(run, stop) for run in (own, theirs))
    past = theirs.past.until(stop) if theirs.past is not None and shared else None

    def patched(layer: int) -> AbstractContextManager[Any]:
        if past is not None:  # from here on, nothing up to the end of the positions differs from the donor's run
            return alone(vlm, past, slice(stop, length), layer)
        return edit_streams(vlm, {layer: lambda live: overwrite(live, positions, theirs.streams[layer])})

    for layer in layers:
        with own.resumed(vlm, layer), patched(layer):
            logits = vlm.run(mixed)
        yield layer, logits


def with_injections(call: DecoderCall, donor: DecoderCall) -> DecoderCall:
    """The call with all that the donor's picture adds beside the merged embeddings, which stay the call's own."""
    entries = Path.between(call, donor).entries[1:]
    theirs = donor.leaves()
    return call.with_leaves(lambda name, leaf: theirs[name] if name in entries else leaf)


def _alike(own: Trace, other: Trace, stop: int) -> bool:
    """Whether two runs are the same at all positions before one, in every layer."""
    return all(torch.equal(a[:, :stop], b[:, :stop]) for a, b in zip(own.streams, other.streams, strict=True))


def _undisturbed(run: Trace, stop: int) -> bool:
    """Whether what enters each layer is what the one below hands on, at all positions before one.

    Not so where a hook writes into the stream, as a planted delay does: it would write into a patched run too.
    """
    return all(torch.equal(a[:, :stop], b[:, :stop]) for a, b in zip(run.streams[1:], run.residuals, strict=True))
