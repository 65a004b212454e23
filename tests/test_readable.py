"""What makes a model unreadable, whatever its architecture, is refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from diptych.errors import InputError, UnsupportedModel
from diptych.models import load
from diptych.models.vlm import VLM
from prompts import batch
from zoo import QUIET, fresh, tiny

pytestmark = QUIET


def test_a_compiled_model_is_refused() -> None:
    shared = tiny("llava")
    compiled = torch.nn.Module()
    compiled.inner = torch.compile(shared.layers[0])

    with pytest.raises(UnsupportedModel, match="'inner' is compiled"):
        VLM(compiled, shared.processor, "compiled")


@contextmanager
def kernel(vlm: VLM, name: str) -> Iterator[None]:
    text = vlm.model.config.get_text_config()
    own = text._attn_implementation
    text._attn_implementation_internal = name
    try:
        yield
    finally:
        text._attn_implementation_internal = own


def test_an_attention_kernel_without_a_mask_is_refused() -> None:
    with (
        kernel(tiny("qwen2_vl"), "flash_attention_2"),
        pytest.raises(UnsupportedModel, match="uses the attention kernel 'flash_attention_2', whose masks cannot"),
    ):
        fresh("qwen2_vl")


def test_sharded_weights_are_refused() -> None:
    class Sharded(torch.nn.Linear):
        pass

    model = Sharded(2, 2)
    model.weight.device_mesh = "two devices"

    with pytest.raises(UnsupportedModel, match="'weight' is sharded over devices"):
        VLM(model, None, "sharded")


def test_a_decoder_that_takes_no_embeddings_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="DiffusionGemmaDecoderModel takes decoder_input_ids, past_key_values"):
        load("random:diffusion_gemma")


@pytest.mark.parametrize("part", ["the model", "one layer"])
def test_a_model_in_training_mode_is_not_run(part: str) -> None:
    vlm = fresh("qwen2_vl")
    call = vlm.capture(batch(vlm, "text", 1).clean)
    try:
        (vlm.model if part == "the model" else vlm.layers[1]).train()
        with pytest.raises(InputError, match=r"is in training mode, in which no run is like another. Call `model.eval"):
            vlm.run(call)
    finally:
        vlm.model.eval()
