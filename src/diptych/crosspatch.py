"""Cross-patching: the picture's positions take the states of another picture, layer by layer (methods §11)."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.interventions import overwrite
from diptych.models.calls import DecoderCall, Path
from diptych.models.handed import record_handed, started
from diptych.models.streams import edit_streams, record_streams, require_all_in_stream
from diptych.models.vlm import VLM


@torch.no_grad()
def cross_patch(
    vlm: VLM, call: DecoderCall, donor: DecoderCall, positions: slice, layers: Sequence[int]
) -> Iterator[tuple[int, Float[Tensor, "batch vocab"]]]:
    """Last-position logits when what enters layer l at `positions` is what enters it there in the donor's run.

    Layer L, behind the last one, is allowed. Features of the picture that a model adds between layers are the donor's
    too, so at layer 0 the run is the donor's if nothing else of the prompts differs. Layers below l are not run again:
    cost ≤ 2F + Σ_l (L − l)/L · F. Raises `UnsupportedModel` if layers learn of the picture
    beside the stream.
    """
    with require_all_in_stream(vlm), record_streams(vlm) as donated:
        vlm.run(donor)
    with record_handed(vlm) as own:
        vlm.run(call)
    mixed = with_injections(call, donor)
    for layer in layers:
        edit = {layer: lambda live, value=donated[layer]: overwrite(live, positions, value)}
        with started(vlm, layer - 1, own[layer - 1]) if layer else nullcontext(), edit_streams(vlm, edit):
            yield layer, vlm.run(mixed)


def with_injections(call: DecoderCall, donor: DecoderCall) -> DecoderCall:
    """The call with all that the donor's picture adds beside the merged embeddings, which stay the call's own."""
    entries = Path.between(call, donor).entries[1:]
    theirs = donor.leaves()
    return call.with_leaves(lambda name, leaf: theirs[name] if name in entries else leaf)
