"""Places: the positions of a prompt that hold its picture, found by changing it."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diptych.models.calls import DecoderCall
from diptych.models.entry import stopped_at
from diptych.models.resume import stream

if TYPE_CHECKING:
    from diptych.models.vlm import VLM


@torch.no_grad()
def changed_positions(vlm: "VLM", a: DecoderCall, b: DecoderCall) -> Bool[Tensor, "batch pos"]:
    """The positions at which two calls differ: in their embeddings, or else where the first layer receives them."""
    changed = (a.embeddings != b.embeddings).any(-1)
    return changed if bool(changed.any()) else (_first_input(vlm, a) != _first_input(vlm, b)).any(-1)


def _first_input(vlm: "VLM", call: DecoderCall) -> Float[Tensor, "batch pos d_model"]:
    """What the first layer receives in a run of the call."""
    with stopped_at(vlm.layers[0]) as received:
        vlm.run(call)
    return stream(received[0])
