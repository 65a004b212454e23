"""Freezing: the picture's positions keep an early state through the layers that read them (methods §11)."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.interventions import overwrite
from diptych.models.calls import DecoderCall
from diptych.models.handed import record_handed, started
from diptych.models.streams import edit_streams, record_streams, require_all_in_stream
from diptych.models.vlm import VLM, Edit


@torch.no_grad()
def freeze(
    vlm: VLM, call: DecoderCall, positions: slice, starts: Sequence[int], until: int
) -> Iterator[tuple[int, Float[Tensor, "batch vocab"]]]:
    """Last-position logits when what enters layer l at `positions` enters layers l + 1 to `until` there too.

    After layer `until` the positions evolve again. Nothing is held if l is `until` or more: the run is then the clean
    one. Layers below l are not run again: cost ≤ F + Σ_l (L − l)/L · F. Raises `UnsupportedModel` if layers learn of the
    picture beside the stream.
    """
    with require_all_in_stream(vlm), record_streams(vlm) as own, record_handed(vlm) as residuals:
        vlm.run(call)
    for start in starts:
        hold = dict.fromkeys(range(start + 1, until + 1), holding(positions, own[start]))
        with started(vlm, start - 1, residuals[start - 1]) if start else nullcontext(), edit_streams(vlm, hold):
            yield start, vlm.run(call)


def holding(positions: slice, value: Tensor) -> Edit:
    """The edit that writes `value` at `positions`."""
    return lambda live: overwrite(live, positions, value)
