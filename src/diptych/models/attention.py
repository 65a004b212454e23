"""Attention weights: what each head of a layer attends to, from the model's own eager kernel in the layers asked for."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.calls import DecoderCall
from diptych.models.hooks import hooks
from diptych.models.knockout import whole_mask, with_mask
from diptych.models.sites import Mixer
from diptych.models.vlm import VLM

Weights = Float[Tensor, "batch head pos pos"]
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
"""How much the heads of the eager kernel may differ, as a share of the largest; 5 % in half precision."""


@torch.no_grad()
def attention_weights(vlm: VLM, call: DecoderCall, heads: Mapping[int, Sequence[int]]) -> dict[int, Weights]:
    """Layer → how much each position (rows) attends to each other one (columns), for the given heads of it.

    Rows sum to 1, or to less where a layer has attention sinks. The model may run under any kernel: the layers asked for
    run once more under the eager one, and what their heads then hold must be what they hold in the model's own run.
    Cost 2F. Raises `UnsupportedModel` for a layer that gives no weights between positions.
    """
    mixers = [vlm.sites.mixers[layer] for layer in heads]
    for mixer in mixers:
        require_weights(mixer)
    own, _ = _heads_of(vlm, call, heads)
    with ExitStack() as stack:
        kept = {mixer.layer: stack.enter_context(_eager(mixer, heads[mixer.layer])) for mixer in mixers}
        again, length = _heads_of(vlm, call, heads)
    for layer in heads:
        _require_same(layer, own[layer], again[layer])
        _require_square(layer, kept[layer], length)
    return {layer: kept[layer][0] for layer in heads}


def require_weights(mixer: Mixer) -> None:
    """Raise `UnsupportedModel` for a layer in which positions do not attend to positions."""
    if mixer.mixing != "attention":
        raise UnsupportedModel(
            f"Layer {mixer.layer} moves information by {mixer.mixing}, which has no attention weights between positions. "
            f"Expected layers of attention: leave this one out."
        )
    if not hasattr(mixer.module, "config"):
        raise UnsupportedModel(
            f"Layer {mixer.layer}: {type(mixer.module).__name__} does not say which attention kernel it uses, so it cannot "
            f"be run under the eager one, which gives weights. Leave this layer out."
        )


@contextmanager
def _eager(mixer: Mixer, heads: Sequence[int]) -> Iterator[list[Tensor]]:
    """While open, the layer's attention runs under the eager kernel, and the weights of the heads are kept."""
    module, kept = mixer.module, []
    assert module is not None  # it attends
    own: Any = module.config

    def keep(attention: nn.Module, args: Any, output: Any) -> None:
        found = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if isinstance(found, Tensor):
            kept.append(found.detach()[:, list(heads)])

    # the setter of `_attn_implementation` would also change the configurations inside
    other = copy.copy(own)
    other._attn_implementation_internal = "eager"
    module.config = other
    try:
        with hooks(
            module.register_forward_pre_hook(with_mask(_additive(mixer)), with_kwargs=True),
            module.register_forward_hook(keep),
        ):
            yield kept
    finally:
        module.config = own


def _additive(mixer: Mixer) -> Callable[[Tensor | None, Tensor], Tensor]:
    """The eager kernel adds its mask to the scores: 0, or the lowest number."""

    def change(mask: Tensor | None, hidden: Tensor) -> Tensor:
        whole = whole_mask(mask, hidden, mixer)
        if whole.dtype != torch.bool:
            return whole
        return torch.zeros_like(whole, dtype=hidden.dtype).masked_fill(~whole, torch.finfo(hidden.dtype).min)

    return change


def _heads_of(vlm: VLM, call: DecoderCall, layers: Mapping[int, Any]) -> tuple[dict[int, Tensor], int]:
    """What the heads of some layers hold in a run, and the length of the prompts."""
    seen: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[[Tensor], Tensor]:
        def look(live: Tensor) -> Tensor:
            seen[layer] = live.detach()
            return live

        return look

    with vlm.edit_inputs({vlm.sites.heads[layer]: keep(layer) for layer in layers}):
        vlm.run(call)
    return seen, call.input_ids.shape[1]


def _require_same(layer: int, own: Tensor, again: Tensor) -> None:
    error = float((own - again).abs().max() / own.abs().max().clamp_min(1e-9))
    if not error <= TOLERANCE.get(own.dtype, 5e-2):
        raise UnsupportedModel(
            f"Layer {layer}: under the eager attention kernel the heads differ by {error:.1%} from those of the model's own "
            f"run, so its weights are not the model's. Load the model with attention eager, or leave this layer out."
        )


def _require_square(layer: int, kept: Sequence[Tensor], length: int) -> None:
    shapes = [list(weights.shape) for weights in kept]
    if len(kept) != 1 or shapes[0][-2:] != [length, length]:
        raise UnsupportedModel(
            f"Layer {layer} returned attention weights of shapes {shapes} for a prompt of {length} positions; expected one "
            f"weight per head and pair of positions. Leave this layer out."
        )
