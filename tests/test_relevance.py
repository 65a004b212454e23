"""RelP's rules (methods §4): values unchanged, coefficients as worked out by hand, relevance conserved, others refused."""

import pytest
import torch
from torch import Tensor

from diptych.attribution._integrate import Integral
from diptych.attribution._relevance import relevance
from diptych.attribution._rules import right_points
from diptych.attribution.ap import ap
from diptych.attribution.relp import relp
from diptych.errors import UnsupportedModel
from diptych.items import MODALITIES, Modality
from diptych.metrics import logit_diff
from diptych.models.calls import Path
from diptych.models.load import load
from diptych.models.vlm import VLM
from prompts import batch
from test_attribution import double
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)
WITHOUT_BIAS = [(f, k) for f in ("llava", "gemma3") for k in KERNELS]


@every_model
def test_relevance_changes_no_value_and_is_undone(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call = vlm.capture(batch(vlm, "image").clean)
    plain, before = vlm.run(call), hooks_of(vlm)

    with relevance(vlm):
        assert torch.equal(vlm.run(call), plain)
        assert len(hooks_of(vlm)) > len(before)
    assert hooks_of(vlm) == before


def hooks_of(vlm: VLM) -> list[int]:
    """Some families come with hooks of transformers' own."""
    return [hook for module in vlm.model.modules() for hook in module._forward_hooks]


@pytest.mark.parametrize(("family", "kernel"), WITHOUT_BIAS)
@both_panels
def test_relevance_is_conserved_where_attention_is_fixed(family: str, kernel: str, modality: Modality) -> None:
    """Alone with itself, the last position attends to itself with weight 1: then Σ input · coefficient = the metric."""
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)
    clean = vlm.capture(some.clean)
    call, entries = Path.between(clean, vlm.capture(some.counterfactual)).at(1.0)
    last = some.layout.generation
    sums = {}
    for rules in (True, False):
        with vlm.knockout(last, slice(0, last.start), range(len(vlm.layers))):
            if rules:
                with relevance(vlm):
                    sums[rules], value = products_of(vlm, call, entries, some)
            else:
                sums[rules], value = products_of(vlm, call, entries, some)

    assert value.abs().min() > 1e-2
    torch.testing.assert_close(sums[True], value, atol=1e-5, rtol=1e-4)  # float32 inside the norms
    assert (sums[False] - value).abs().max() > 1e-1


def products_of(vlm: VLM, call, entries: list[Tensor], some) -> tuple[Tensor, Tensor]:
    """Σ input · gradient per prompt, and the metric."""
    value = logit_diff(vlm.run(call), some.answers, some.counter_answers)
    gradients = torch.autograd.grad(value.sum(), entries)
    sums = sum((g * e.detach()).flatten(1).sum(1) for g, e in zip(gradients, entries, strict=True))
    return sums, value.detach()


@pytest.mark.parametrize("kernel", KERNELS)
@both_panels
def test_the_coefficients_of_the_last_layer_are_those_worked_out_by_hand(kernel: str, modality: Modality) -> None:
    vlm = double("llava", kernel)
    some = batch(vlm, modality, 1)
    integral = Integral(vlm, some, logit_diff, propagation=relevance)
    integral.add(right_points(1), [0])
    layer, model = vlm.layers[-1], vlm.model
    seen: dict[str, Tensor] = {}
    watched = {"attention": layer.post_attention_layernorm, "final": vlm.sites.decoder.norm, "act": layer.mlp.act_fn}
    handles = [
        module.register_forward_pre_hook(lambda m, args, name=name: seen.update({name: args[0][0, -1].detach()}))
        for name, module in watched.items()
    ]
    vlm.run(vlm.capture(some.clean))
    for handle in handles:
        handle.remove()

    def through(norm: torch.nn.Module, name: str, coefficient: Tensor) -> Tensor:
        return coefficient * norm.weight * (seen[name].pow(2).mean() + norm.variance_epsilon).rsqrt()

    rows = model.lm_head.weight
    above = through(watched["final"], "final", rows[some.answers[0]] - rows[some.counter_answers[0]])
    neurons = layer.mlp.down_proj.weight.T @ above
    gate = seen["act"]
    up = layer.mlp.up_proj(watched["attention"](seen["attention"]))
    ratio = torch.nn.functional.silu(gate) / gate
    inside = layer.mlp.gate_proj.weight.T @ (neurons * up * ratio / 2) + layer.mlp.up_proj.weight.T @ (
        neurons * gate * ratio / 2
    )
    heads = layer.self_attn.o_proj.weight.T @ (above + through(watched["attention"], "attention", inside))

    found = [integral.gradients[kind[-1]][0, -1].flatten() for kind in (vlm.sites.neurons, vlm.sites.heads)]
    assert heads.abs().max() > 1e-2
    torch.testing.assert_close(found[0], neurons.detach(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[1], heads.detach(), atol=1e-6, rtol=1e-5)


@every_model
def test_relp_is_not_attribution_patching_and_prefixes_score_zero(family: str, kernel: str) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, "image", 2)

    found, plain = relp(vlm, some).scores, ap(vlm, some).scores

    for ours, other in zip(found, plain, strict=True):
        assert (ours - other).abs().max() > 1e-2 * other.max()
        assert ours[:, some.layout.prefix].abs().max() == 0


@pytest.mark.parametrize("architecture", ["fuyu", "glm4v", "blip-2"])
def test_fused_projections_and_mlps_without_a_gate_are_read(architecture: str) -> None:
    """fuyu and OPT have LayerNorms and no gate, glm4v one projection for both factors."""
    vlm = load(f"random:{architecture}", verify=False)

    with relevance(vlm):
        assert bool(vlm.layers[0]._modules)


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [("aria", "it is not one attention and one dense MLP"), ("gemma4", "it holds 'act_fn'"), ("step3p7", "'g_proj'")],
)
def test_layers_without_a_rule_are_refused_with_the_reason(architecture: str, reason: str) -> None:
    vlm = load(f"random:{architecture}", verify=False)

    with pytest.raises(UnsupportedModel, match=f"RelP has no rule for .*{reason}"), relevance(vlm):
        pass


def test_a_norm_that_is_no_norm_is_refused() -> None:
    vlm = tiny("llava")
    some = batch(vlm, "text", 1)
    norm = vlm.layers[0].input_layernorm
    handle = norm.register_forward_hook(lambda module, args, output: output.tanh())
    try:
        with pytest.raises(UnsupportedModel, match="MistralRMSNorm is not x times a scale and a weight"):
            relp(vlm, some)
    finally:
        handle.remove()
