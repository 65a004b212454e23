"""Knockouts: without the edges given, and refused where they would not cut."""

import pytest
import torch

from diptych.errors import UnsupportedModel
from diptych.items import MODALITIES, Modality
from diptych.models.coverage import IN_PART
from diptych.models.encode import collate, encode_item
from diptych.models.knockout import block
from diptych.models.sites import Mixer
from prompts import batch, item
from zoo import QUIET, READ, table, tiny

pytestmark = QUIET


@pytest.mark.parametrize(("name", "how"), [("qwen3_5", "recurrence"), ("lfm2_vl", "recurrence")])
def test_a_knockout_of_layers_without_edges_is_refused_and_of_the_others_is_not(name: str, how: str) -> None:
    vlm = tiny(name)
    edges = [mixer.layer for mixer in vlm.sites.mixers if mixer.mixing == "attention"]

    with vlm.knockout(slice(4, 6), slice(0, 2), edges):
        pass
    with (
        pytest.raises(UnsupportedModel, match=f"moves information by {how}"),
        vlm.knockout(slice(4, 6), slice(0, 2), range(len(vlm.layers))),
    ):
        pass


@pytest.mark.parametrize("name", [n for n in READ if table()[n] != IN_PART])
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_knocking_out_nothing_changes_nothing(name: str, modality: Modality) -> None:
    vlm = tiny(name)
    call = vlm.capture(batch(vlm, modality, 1).clean)

    with vlm.knockout(slice(0, 0), slice(0, 0), range(len(vlm.layers))):
        blocked = vlm.run(call)

    torch.testing.assert_close(blocked, vlm.run(call), atol=1e-4, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
def test_a_layer_without_a_mask_is_given_the_one_it_stands_for(causal: bool) -> None:
    attention, layer = torch.nn.Module(), torch.nn.Linear(4, 4)
    attention.is_causal = causal
    everything = torch.ones(3, 3, dtype=torch.bool)

    hook = block(Mixer(0, "attention", attention), slice(2, 3), slice(0, 1))
    _, kwargs = hook(layer, (torch.zeros(1, 3, 4),), {"attention_mask": None})

    expected = everything.tril() if causal else everything.clone()
    expected[2, 0] = False
    assert torch.equal(kwargs["attention_mask"][0, 0], expected)


def test_a_mask_in_its_place_among_the_arguments_is_replaced_there() -> None:
    class Layer(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
            return hidden_states

    hook = block(Mixer(0, "attention", torch.nn.Module()), slice(2, 3), slice(0, 1))
    args, kwargs = hook(Layer(), (torch.zeros(1, 3, 4), torch.zeros(1, 1, 3, 3)), {})

    assert not kwargs and args[1][0, 0, 2, 0] == torch.finfo(torch.float32).min and args[1].sum() == args[1].min()


def test_keys_that_are_chosen_without_the_mask_cannot_be_knocked_out() -> None:
    vlm = tiny("minimax_m3_vl")

    with vlm.knockout(slice(4, 6), slice(0, 2), [0, 2]):
        pass
    with (
        pytest.raises(UnsupportedModel, match="Layer 1 attends to keys that its MiniMaxM3VLIndexer chooses without"),
        vlm.knockout(slice(4, 6), slice(0, 2), [1]),
    ):
        pass


def test_a_convolution_beside_the_attention_cannot_be_knocked_out() -> None:
    vlm = tiny("inkling_mm_model")

    with (
        pytest.raises(UnsupportedModel, match=r"Layer 0 moves information by convolution \(InklingShortConvolution\)"),
        vlm.knockout(slice(4, 6), slice(0, 2), [0]),
    ):
        pass


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "the model's own mask"])
@torch.no_grad()
def test_pictures_that_are_read_by_cross_attention_are_cut_off_with_their_token(masked: bool) -> None:
    vlm = tiny("mllama")
    prompts = [encode_item(vlm, item(number), "image") for number in (1, 2)]
    inputs, data = dict(collate(prompts)), prompts[0].layout.data
    if masked:  # as the processor makes it: [batch, pos, picture, tile], from the image token on
        inputs["cross_attention_mask"] = (torch.arange(prompts[0].layout.length) >= data.start).long()[
            None, :, None, None
        ] * inputs["aspect_ratio_mask"][:, None]
    call, every = vlm.capture(inputs), range(len(vlm.layers))
    rest = (slice(0, data.start), slice(data.stop, prompts[0].layout.length))

    with vlm.knockout(rest[0], data, every), vlm.knockout(rest[1], data, every):
        hidden = vlm.run(call)
    with vlm.knockout(rest[1], slice(0, data.start), every):
        seen = vlm.run(call)

    assert torch.equal(hidden[0], hidden[1])
    assert (seen[0] - seen[1]).abs().max() > 1e-2


@torch.no_grad()
def test_half_a_picture_that_is_read_by_cross_attention_cannot_be_cut_off() -> None:
    vlm = tiny("mllama")
    inputs = dict(encode_item(vlm, item(1), "image").inputs)
    places = vlm.image_positions(inputs)[0].nonzero().flatten()
    inputs["input_ids"] = inputs["input_ids"].clone()
    inputs["input_ids"][0, int(places[0]) + 1] = inputs["input_ids"][0, int(places[0])]  # a second image token

    with (
        vlm.knockout(slice(6, 8), slice(int(places[0]), int(places[0]) + 1), [1]),
        pytest.raises(UnsupportedModel, match="cuts off 1 of 2 positions of pictures that are read by cross attention"),
    ):
        vlm.run(vlm.capture(inputs))
