"""Attention weights (methods §1, §12): Hugging Face's own, whatever the kernel, for every sort of attention, or refused."""

import copy

import pytest
import torch
import transformers
from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.items import MODALITIES, Modality
from diptych.models.attention import _require_same, _require_square, attention_weights, require_weights
from diptych.models.load import load
from diptych.models.random import randomise
from diptych.models.sites import Mixer
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny

LATENT = "kimi_k25"  # keys and values from a compressed state
OTHERS = ("qwen3_vl", "paligemma", "cohere2_vision", "exaone4_5", LATENT)
every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])


def all_heads(vlm: VLM) -> dict[int, range]:
    return {mixer.layer: range(vlm.sites.heads[mixer.layer].there) for mixer in vlm.sites.mixers}


def theirs(eager: VLM, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """What Hugging Face returns of a model that was loaded under the eager kernel."""
    with torch.no_grad():
        return eager.model(**inputs, output_attentions=True).attentions


@every_model
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_weights_are_those_that_hugging_face_returns(family: str, kernel: str, modality: Modality) -> None:
    vlm, inputs = tiny(family, kernel), batch(tiny(family), modality, 2).clean

    found = attention_weights(vlm, vlm.capture(inputs), all_heads(vlm))

    for layer, weights in enumerate(theirs(tiny(family, "eager"), inputs)):
        assert weights.std() > 0.01
        torch.testing.assert_close(found[layer], weights, atol=2e-5, rtol=0)


@pytest.mark.parametrize("architecture", OTHERS)
def test_they_are_for_normed_queries_latent_keys_windows_and_pictures_that_see_ahead(architecture: str) -> None:
    vlm, eager = (load(f"random:{architecture}", attention=kernel) for kernel in KERNELS)
    inputs = batch(vlm, "image", 2).clean

    found = attention_weights(vlm, vlm.capture(inputs), all_heads(vlm))

    assert vlm.attention == "sdpa"
    for layer, weights in enumerate(theirs(eager, inputs)):
        torch.testing.assert_close(found[layer], weights, atol=2e-5, rtol=0)


def test_they_are_for_capped_scores() -> None:
    """PaliGemma 2's text model caps its scores; sdpa cannot, so such a model runs under the eager kernel."""
    plain = load("random:paligemma", attention="eager")
    config = copy.deepcopy(plain.model.config)
    text = plain.model.config.text_config.to_dict() | {"model_type": "gemma2", "attn_logit_softcapping": 0.5}
    config.text_config = transformers.AutoConfig.for_model(**text | {"layer_types": None, "sliding_window": 8})
    model = transformers.AutoModelForImageTextToText.from_config(config, attn_implementation="eager")
    randomise(model, 0)
    vlm = VLM(model, plain.processor, name="capped")
    inputs = batch(vlm, "image", 2).clean

    found = attention_weights(vlm, vlm.capture(inputs), all_heads(vlm))

    assert vlm.layers[0].self_attn.attn_logit_softcapping == 0.5
    for layer, weights in enumerate(theirs(vlm, inputs)):
        torch.testing.assert_close(found[layer], weights, atol=2e-5, rtol=0)


@every_model
def test_weights_of_a_position_sum_to_one_and_nothing_looks_where_it_may_not(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image", 2)
    call, last = vlm.capture(some.clean), some.layout.generation

    with vlm.knockout(last, some.layout.data, [1]):
        found = attention_weights(vlm, call, {1: range(4), 3: range(4)})

    for weights in found.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]), atol=1e-5, rtol=0)
    assert found[1][:, :, last, some.layout.data].max() == 0 < found[3][:, :, last, some.layout.data].max()
    assert found[3][:, :, some.layout.prefix, some.layout.query].max() == 0


def test_the_heads_asked_for_are_given_and_the_model_is_as_before() -> None:
    vlm = tiny("qwen2_vl")
    call = vlm.capture(batch(vlm, "text", 2).clean)
    before, configs = vlm.run(call), [layer.self_attn.config for layer in vlm.layers]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in vlm.model.modules()]

    found = attention_weights(vlm, call, {2: [3, 1]})

    assert torch.equal(found[2], attention_weights(vlm, call, {2: range(4)})[2][:, [3, 1]]) and list(found) == [2]
    assert all(layer.self_attn.config is own for layer, own in zip(vlm.layers, configs, strict=True))
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in vlm.model.modules()]
    assert vlm.attention == "sdpa" and torch.equal(vlm.run(call), before)


@pytest.mark.parametrize(("architecture", "mixing"), [("qwen3_5", "recurrence"), ("mllama", "cross attention")])
def test_layers_without_weights_between_positions_are_refused(architecture: str, mixing: str) -> None:
    vlm = load(f"random:{architecture}")
    layer = next(mixer.layer for mixer in vlm.sites.mixers if mixer.mixing == mixing)

    with pytest.raises(UnsupportedModel, match=f"Layer {layer} moves information by {mixing}, which has no attention"):
        attention_weights(vlm, vlm.capture(batch(vlm, "image", 2).clean), {layer: [0]})


def test_attention_that_names_no_kernel_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="Layer 3: Linear does not say which attention kernel it uses"):
        require_weights(Mixer(3, "attention", nn.Linear(2, 2)))


def test_weights_that_do_not_make_the_model_s_own_heads_are_refused() -> None:
    own = torch.randn(2, 5, 4, 8)

    _require_same(0, own, own + 1e-5)
    with pytest.raises(UnsupportedModel, match="Layer 0: under the eager attention kernel the heads differ by"):
        _require_same(0, own, own * 1.01)
    with pytest.raises(UnsupportedModel, match="differ by nan"):
        _require_same(0, own, own * torch.nan)


@pytest.mark.parametrize("kept", [[], [torch.zeros(1, 2, 5, 9)], [torch.zeros(1, 2, 5, 5)] * 2])
def test_weights_that_are_not_one_per_pair_of_positions_are_refused(kept: list[Tensor]) -> None:
    with pytest.raises(UnsupportedModel, match="for a prompt of 5 positions; expected one weight per head and pair"):
        _require_square(1, kept, 5)


def test_half_precision_has_a_wider_tolerance() -> None:
    own = torch.randn(2, 5, 4, 8).bfloat16()

    _require_same(0, own, own * 1.01)


def test_weights_keep_the_model_s_precision() -> None:
    vlm = tiny("llava", "sdpa", torch.float64)
    found = attention_weights(vlm, vlm.capture(batch(vlm, "image", 2).clean), {0: [0]})

    assert found[0].dtype == torch.float64 and found[0].triu(1).max() == 0
