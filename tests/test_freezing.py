"""Laws of freezing: exactly the stated inputs are held (methods §11)."""

import pytest
import torch

from diptych.freezing import freeze, holding
from diptych.models.calls import DecoderCall
from diptych.models.hooks import hooks
from diptych.models.streams import edit_streams, record_streams
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])


@torch.no_grad()
def clean(vlm: VLM) -> tuple[DecoderCall, slice, list[torch.Tensor]]:
    some = batch(vlm, "image", 2)
    call = vlm.capture(some.clean)
    with record_streams(vlm) as streams:
        vlm.run(call)
    return call, some.layout.data, streams


@every_model
@torch.no_grad()
def test_exactly_the_stated_inputs_are_held(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, data, own = clean(vlm)
    met: dict[int, torch.Tensor] = {}  # what each layer's first norm is given: after all edits, whatever their order
    norms = [layer.input_layernorm for layer in vlm.layers]
    looks = [
        norm.register_forward_pre_hook(lambda _, args, at=at: met.update({at: args[0]}))
        for at, norm in enumerate(norms)
    ]

    with hooks(*looks):
        next(freeze(vlm, call, data, [1], until=2))

    assert all(torch.equal(met[layer][:, data], own[1][:, data]) for layer in (1, 2))
    assert not torch.equal(own[2][:, data], own[1][:, data]) and not torch.equal(met[3][:, data], own[1][:, data])
    assert torch.equal(met[1], own[1]) and torch.equal(met[2][:, : data.start], own[2][:, : data.start])


@every_model
@torch.no_grad()
def test_resumed_freezing_equals_a_full_pass_to_the_bit(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, data, own = clean(vlm)

    found = dict(freeze(vlm, call, data, range(4), until=2))

    for start, logits in found.items():
        with edit_streams(vlm, {layer: holding(data, own[start]) for layer in range(start + 1, 3)}):
            assert torch.equal(logits, vlm.run(call)), start
    assert (found[0] - found[1]).abs().max() > 1e-4 and (found[1] - vlm.run(call)).abs().max() > 1e-4


@every_model
def test_nothing_is_held_from_the_last_layer_on(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, data, _ = clean(vlm)

    found = dict(freeze(vlm, call, data, [2, 3], until=2))

    assert all(torch.equal(logits, vlm.run(call)) for logits in found.values())
