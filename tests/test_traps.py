"""Silent traps of Hugging Face models (adapter §7–8): each is an error, or does not change what diptych finds."""

import pytest
import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from diptych.attribution.ap_ig import ap_ig
from diptych.models.calls import DecoderCall
from diptych.models.encode import encode_item
from diptych.models.sketches import every_sketch
from prompts import batch, item
from zoo import QUIET, fresh, tiny

pytestmark = QUIET


@pytest.mark.parametrize("name", ["gemma3", "gemma4"])
@torch.no_grad()
def test_a_model_that_is_not_told_which_positions_are_pictures_would_answer_otherwise(name: str) -> None:
    vlm = tiny(name)
    told = encode_item(vlm, item(1), "image").inputs
    untold = {key: value for key, value in told.items() if key != every_sketch()[name].token_types}

    assert (vlm.run(vlm.capture(told)) - vlm.run(vlm.capture(untold))).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl", "glm4v", "paddleocr_vl"])
def test_positions_in_several_dimensions_are_the_model_s_own(name: str) -> None:
    vlm = tiny(name)
    call = vlm.capture(encode_item(vlm, item(1), "image").inputs)
    (positions,) = (leaf for path, leaf in call.leaves().items() if path.endswith("position_ids"))

    assert positions.ndim == 3 and positions.shape[1:] == call.input_ids.shape
    assert not torch.equal(positions[-1], positions[-2])  # rows and columns of the picture


@pytest.mark.parametrize("name", ["gemma4", "gemma3n"])
@torch.no_grad()
def test_embeddings_per_layer_are_in_the_call_and_matter(name: str) -> None:
    vlm = tiny(name)
    call = vlm.capture(encode_item(vlm, item(1), "image").inputs)

    def without(path: str, leaf: object) -> object:
        return torch.zeros_like(leaf) if path.endswith("per_layer_inputs") else leaf

    bare: DecoderCall = call.with_leaves(without)

    assert any(
        path.endswith("per_layer_inputs") and leaf.any() for path, leaf in call.leaves().items() if leaf is not None
    )
    assert (vlm.run(call) - vlm.run(bare)).abs().max() > 1e-3


def test_checkpointed_layers_are_not_recomputed_so_no_hook_is_lost() -> None:
    vlm, some = fresh("qwen2_vl"), batch(tiny("qwen2_vl"), "image", 1)
    plain = ap_ig(vlm, some, steps=2).scores
    vlm.model.gradient_checkpointing_enable()
    try:
        assert isinstance(vlm.layers[0], GradientCheckpointingLayer) and vlm.layers[0].gradient_checkpointing
        checkpointed = ap_ig(vlm, some, steps=2).scores
    finally:
        vlm.model.gradient_checkpointing_disable()

    assert plain.heads.any()
    assert torch.equal(checkpointed.heads, plain.heads) and torch.equal(checkpointed.neurons, plain.neurons)
