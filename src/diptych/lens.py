"""Logit lens: what the model would say if the stream went from a layer straight to the final norm (methods §9)."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.models.calls import DecoderCall
from diptych.models.vlm import VLM


@torch.no_grad()
def logit_lens(
    vlm: VLM, call: DecoderCall, residuals: Sequence[Float[Tensor, "batch pos d_model"]], positions: Sequence[int]
) -> Iterator[Float[Tensor, "batch position vocab"]]:
    """The lens's logits of each layer at some positions, one layer at a time (nostalgebraist 2020).

    `residuals`: `resid_post` of every layer in a run of `call`, as `models.handed.record_handed` keeps them. All layers are
    skipped with a layer's residual as what the last one returns, so final norm, unembedding, scaling and soft caps are
    the model's own: the last layer's logits are those of the model. float32.
    """
    for residual in residuals:
        with vlm.resume(len(vlm.layers), residual):
            yield vlm.read(call, positions)
