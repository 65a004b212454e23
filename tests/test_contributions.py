"""Direct contributions: they add up to the logit difference, and are those worked out by hand (float64)."""

import pytest
import torch

from diptych.contributions import Contributions, direct_contributions
from diptych.errors import UnsupportedModel
from diptych.items import MODALITIES, Modality
from diptych.metrics import logit_diff
from diptych.models.handed import record_handed
from diptych.models.load import load
from diptych.models.vlm import VLM
from prompts import batch
from test_attribution import double
from tiny import FAMILIES, KERNELS

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
ROUNDING = 1e-5  # norms of transformers compute in float32, whatever the model's dtype


def parts_of(vlm: VLM, modality: Modality = "image") -> Contributions:
    some = batch(vlm, modality, 2)
    return direct_contributions(vlm, vlm.capture(some.clean), some.answers, some.counter_answers)


@every_model
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_parts_add_up_to_the_logit_difference(family: str, kernel: str, modality: Modality) -> None:
    """Also through the norms that Gemma puts behind attention and MLP."""
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)
    found = direct_contributions(vlm, vlm.capture(some.clean), some.answers, some.counter_answers)

    own = logit_diff(vlm.run_inputs(some.clean), some.answers, some.counter_answers)
    torch.testing.assert_close(found.total, own, atol=ROUNDING, rtol=0)
    assert found.heads.shape == (2, 4, 4) and found.heads.abs().mean() > 0.01 and found.neurons.abs().mean() > 0.01
    parts = found.heads.sum((1, 2)) + found.neurons.sum(1) + found.embedding
    torch.testing.assert_close(parts, own, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("architecture", ["qwen3_vl", "mllama", "qwen3_5", "exaone4_5", "kimi_k25", "paligemma"])
def test_they_add_up_with_cross_attention_recurrences_experts_and_norms_behind(architecture: str) -> None:
    vlm = load(f"random:{architecture}")
    some = batch(vlm, "image", 2)

    found = parts_of(vlm)

    own = logit_diff(vlm.run_inputs(some.clean), some.answers, some.counter_answers)
    torch.testing.assert_close(found.total, own, atol=1e-4, rtol=0)
    assert found.heads.abs().max() > 0.1
    torch.testing.assert_close(found.rest, torch.zeros(2), atol=2e-5, rtol=0)


def test_the_rest_is_what_biases_write() -> None:
    vlm = load("random:fuyu:3")
    with_biases = parts_of(vlm).rest
    for name, parameter in vlm.model.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()

    assert with_biases.abs().min() > 0.1
    torch.testing.assert_close(parts_of(vlm).rest, torch.zeros(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_head_s_part_is_the_one_worked_out_by_hand(kernel: str) -> None:
    """Its value through its columns of the output weights, the final norm at its own scale, and the unembedding."""
    vlm = double("llava", kernel)
    some = batch(vlm, "image", 2)
    call = vlm.capture(some.clean)
    with torch.no_grad(), vlm.record() as recording, record_handed(vlm) as residuals:
        vlm.run(call)

    found = direct_contributions(vlm, call, some.answers, some.counter_answers)

    final = residuals[-1][:, -1]
    scale = (final.pow(2).mean(-1, keepdim=True) + vlm.sites.decoder.norm.variance_epsilon).rsqrt()
    unembedding = vlm.model.get_output_embeddings().weight
    direction = unembedding[some.answers] - unembedding[some.counter_answers]
    columns = vlm.layers[2].self_attn.o_proj.weight[:, 16:32]  # head 1 of layer 2
    written = recording.activations().heads[2][:, -1, 1] @ columns.T
    by_hand = (written * scale * vlm.sites.decoder.norm.weight * direction).sum(-1)
    assert by_hand.abs().min() > 1e-3
    torch.testing.assert_close(found.heads[:, 2, 1], by_hand, atol=ROUNDING, rtol=0)


def test_swapping_the_answers_turns_every_part_round_and_the_model_is_as_before() -> None:
    vlm = double("gemma3")
    some = batch(vlm, "text", 2)
    call = vlm.capture(some.clean)
    before = vlm.run(call)

    forth = direct_contributions(vlm, call, some.answers, some.counter_answers)
    back = direct_contributions(vlm, call, some.counter_answers, some.answers)

    torch.testing.assert_close(back.heads, -forth.heads)
    torch.testing.assert_close(back.neurons, -forth.neurons)
    assert torch.equal(vlm.run(call), before)
    assert not any(parameter.requires_grad for parameter in vlm.model.parameters())


def test_models_that_mix_positions_beside_their_nodes_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="mix positions without heads, so what other positions write"):
        parts_of(load("random:lfm2_vl"))


def test_norms_that_are_no_scale_and_weight_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="Cohere2LayerNorm is not x times a scale and a weight"):
        parts_of(load("random:cohere2_vision"))
