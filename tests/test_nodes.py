"""Nodes of layers that are not plain attention and MLP: recurrences, routed experts, convolutions."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS as FUNCTIONS

from diptych.activations import Activations
from diptych.attribution.ap_ig import ap_ig
from diptych.batch import Batch
from diptych.errors import MismatchError, UnsupportedModel
from diptych.grid import Grid
from diptych.interventions import run_circuits
from diptych.items import MODALITIES, Modality
from diptych.models import load
from diptych.models.check import prove
from diptych.models.coverage import judge
from diptych.models.experts import OWN_FORWARD, ExpertNodes
from diptych.models.vlm import VLM
from prompts import batch

RECURRENT = {"qwen3_5": 2, "qwen3_5_moe": 2, "glm5_next": 2, "nemotron_h_omni": 1}
ROUTED = {
    "qwen3_vl_moe": 128,
    "aria": 576,
    "kimi_k25": 160,
    "qwen3_5_moe": 160,
    "nemotron_h_omni": 160,
    "dots3_note": 160,
}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


@cache
def tiny(name: str, dtype: str = "float32") -> VLM:
    return load(f"random:{name}", dtype=dtype, verify=False)


@torch.no_grad()
def counterfactual(vlm: VLM, some: Batch) -> tuple[Tensor, Activations]:
    with vlm.record() as recording:
        logits = vlm.run(vlm.capture(some.counterfactual))
    return logits, recording.activations()


def nothing(vlm: VLM, some: Batch) -> Grid:
    shapes = ((len(vlm.layers), some.layout.length, sites[0].count) for sites in (vlm.sites.heads, vlm.sites.neurons))
    heads, neurons = (torch.zeros(shape, dtype=torch.bool) for shape in shapes)
    return Grid(heads, neurons, some.layout, vlm.digest, vlm.sites.there)


def panels(names: dict[str, int]) -> list[tuple[str, Modality]]:
    return [(name, modality) for name in names for modality in MODALITIES]


@pytest.mark.parametrize(("name", "modality"), panels(RECURRENT | ROUTED))
@torch.no_grad()
def test_ablation_holds_every_mixer_and_every_expert(name: str, modality: Modality) -> None:
    vlm, some = tiny(name), batch(tiny(name), modality, 2)
    clean, other = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    logits, values = counterfactual(vlm, some)
    empty = nothing(vlm, some)

    full, none = run_circuits(vlm, clean, [~empty, empty], values)
    (from_other,) = run_circuits(vlm, other, [empty], values)

    scale = float(logits.abs().max())
    assert (vlm.run(clean) - logits).abs().max() > 1e-2 * scale
    torch.testing.assert_close(full, vlm.run(clean), atol=1e-5 * scale, rtol=0)
    torch.testing.assert_close(none, logits, atol=1e-5 * scale, rtol=0)
    torch.testing.assert_close(from_other, logits, atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize("name", RECURRENT)
@torch.no_grad()
def test_a_recurrence_has_the_heads_it_states_and_they_matter(name: str) -> None:
    vlm = tiny(name)
    call = vlm.capture(batch(vlm, "image", 1).clean)
    plain = vlm.run(call)
    recurrent = [vlm.sites.heads[mixer.layer] for mixer in vlm.sites.mixers if mixer.mixing == "recurrence"]

    assert len(recurrent) == RECURRENT[name] and not vlm.sites.unread
    for site in recurrent:
        assert (site.there, site.width) == (4, 16)
        with vlm.edit_inputs({site: torch.zeros_like}):
            assert (vlm.run(call) - plain).abs().max() > 1e-4


@torch.no_grad()
def test_the_heads_of_mamba_are_taken_before_a_norm_that_mixes_them() -> None:
    vlm = tiny("nemotron_h_omni")
    mixer = vlm.layers[0].mixer
    seen: list[Tensor] = []

    def first_head(live: Tensor) -> Tensor:
        return live * torch.tensor([2.0, 1, 1, 1])[:, None]

    handle = mixer.out_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    call = vlm.capture(batch(vlm, "image", 1).clean)
    vlm.run(call)
    with vlm.edit_inputs({vlm.sites.heads[0]: first_head}):
        vlm.run(call)
    handle.remove()

    changed = (seen[0] != seen[1]).unflatten(-1, (4, 16)).any(-1).flatten(0, 1).any(0)
    assert vlm.sites.heads[0].module is mixer.norm
    assert changed.tolist() == [True, True, False, False]  # groups of two heads share a norm


@pytest.mark.parametrize("name", ["lfm2_vl", "lfm3_vl"])
def test_a_convolution_has_no_heads_and_ablation_refuses_it(name: str) -> None:
    vlm = tiny(name)
    some = batch(vlm, "image", 1)
    _, values = counterfactual(vlm, some)

    assert [mixer.layer for mixer in vlm.sites.unread] == [0, 2]
    assert [site.there for site in vlm.sites.heads] == [0, 4, 0, 4]
    with pytest.raises(UnsupportedModel, match=r"mix positions without heads \(Lfm.ShortConv\), which ablation cannot"):
        run_circuits(vlm, vlm.capture(some.clean), [nothing(vlm, some)], values)


@pytest.mark.parametrize("name", ROUTED)
def test_neurons_are_those_of_all_experts_and_of_the_shared_one(name: str) -> None:
    vlm = tiny(name)

    assert vlm.sites.routed
    assert {vlm.sites.there[1][layer] for layer in vlm.sites.routed} == {ROUTED[name]}


@pytest.mark.parametrize("name", ROUTED)
@torch.no_grad()
def test_unchanged_neurons_of_experts_leave_the_run_as_it_is_to_the_bit(name: str) -> None:
    vlm = tiny(name)
    call = vlm.capture(batch(vlm, "image", 2).clean)
    plain = vlm.run(call)

    with vlm.record() as recording:
        recorded = vlm.run(call)

    values = recording.activations().neurons
    assert torch.equal(recorded, plain)
    assert all(values[layer].any() for layer in vlm.sites.routed)


@pytest.mark.parametrize("name", ROUTED)
@torch.no_grad()
def test_without_its_neurons_a_layer_with_experts_writes_nothing(name: str) -> None:
    """So they are all there is: no part of the MLP passes by."""
    vlm = tiny(name)
    call = vlm.capture(batch(vlm, "image", 1).clean)
    for layer in vlm.sites.routed:
        block = next(child for name, child in vlm.layers[layer].named_children() if name in ("mlp", "mixer"))
        written: list[Tensor] = []
        handle = block.register_forward_hook(lambda module, args, out, into=written: into.append(out))
        vlm.run(call)
        with vlm.edit_inputs({vlm.sites.neurons[layer]: torch.zeros_like}):
            vlm.run(call)
        handle.remove()

        assert written[0].abs().max() > 1e-2
        assert written[1].abs().max() < 1e-5 * max(1.0, float(written[0].abs().max()))


@pytest.mark.parametrize("name", ROUTED)
@torch.no_grad()
def test_neurons_of_experts_make_up_what_the_experts_write(name: str) -> None:
    vlm = tiny(name)
    layer = vlm.sites.routed[-1]
    site = vlm.sites.neurons[layer]
    (experts,) = site.module._experts
    calls: list[tuple[Tensor, ...]] = []
    handle = experts.register_forward_pre_hook(lambda module, args: calls.append(args))
    with vlm.record() as recording:
        vlm.run(vlm.capture(batch(vlm, "image", 1).clean))
    handle.remove()
    hidden, chosen, weights = calls[0]
    nodes = site.flat(recording.seen[site])[0].unflatten(-1, (len(experts.down_proj), -1))

    own = getattr(type(experts).forward, OWN_FORWARD)(experts, hidden, chosen, weights)
    down = experts.down_proj if experts.is_transposed else experts.down_proj.transpose(1, 2)
    torch.testing.assert_close(torch.einsum("ten,end->td", nodes, down), own, atol=1e-5, rtol=1e-4)
    picked = torch.zeros(nodes.shape[:2], dtype=torch.bool).scatter(1, chosen, True)
    assert nodes[picked].any(-1).all() and not nodes[~picked].any() and not picked.all()


def eager_experts() -> VLM:
    vlm = load("random:qwen3_vl_moe:1", dtype="float64", verify=False)
    vlm.model.set_experts_implementation("eager")
    return vlm


def test_the_gradient_at_an_expert_s_neuron_is_what_a_small_change_of_it_does() -> None:
    vlm = eager_experts()
    some = batch(vlm, "image", 1)
    call, last = vlm.capture(some.clean), len(vlm.layers) - 1
    site, word = vlm.sites.neurons[last], int(some.answers[0])
    found: list[Tensor] = []

    def leaf(live: Tensor) -> Tensor:
        found.append(live.detach().requires_grad_())
        return found[0]

    with torch.enable_grad(), vlm.edit_inputs({site: leaf}):
        (gradient,) = torch.autograd.grad(vlm.run(call)[0, word], found)
    place = some.layout.length - 1
    values = found[0][0, place]
    chosen, other = int(values.abs().argmax()), int((values == 0).nonzero()[0])
    for neuron in (chosen, other):

        def moved(live: Tensor, by: float, neuron: int = neuron) -> Tensor:
            changed = live.clone()
            changed[0, place, neuron] += by
            return changed

        logits = []
        for step in (1e-3, -1e-3):
            with torch.no_grad(), vlm.edit_inputs({site: lambda live, step=step: moved(live, step)}):
                logits.append(float(vlm.run(call)[0, word]))
        slope = (logits[0] - logits[1]) / 2e-3

        assert abs(slope) > 1e-4
        assert slope == pytest.approx(float(gradient[0, place, neuron]), rel=2e-2, abs=1e-5)


def test_experts_score_in_every_layer_that_has_them() -> None:
    vlm = tiny("kimi_k25")
    scores = ap_ig(vlm, batch(vlm, "image", 2), steps=1).scores

    for layer in vlm.sites.routed:
        shared = vlm.sites.neurons[layer].beside[0]
        assert scores.neurons[layer, :, : shared.start].any() and scores.neurons[layer, :, shared.start :].any()
    assert scores.there == vlm.sites.there == ((4, 4, 4, 4), (96, 160, 160, 160))


class Interrupted(Exception):
    pass


def test_experts_are_unplugged_when_the_context_closes_also_on_error() -> None:
    vlm = tiny("qwen3_vl_moe")
    (experts,) = vlm.sites.neurons[0].module._experts
    config, known = experts.config, sorted(FUNCTIONS)
    before = dict(vars(config))

    with vlm.record(), vlm.record():
        assert experts.config is not config and len(FUNCTIONS) == len(known) + len(vlm.layers)
    with pytest.raises(Interrupted), vlm.record():
        raise Interrupted

    assert experts.config is config and vars(config) == before and sorted(FUNCTIONS) == known


@torch.no_grad()
def test_what_is_recorded_while_experts_are_edited_is_the_edited_value() -> None:
    vlm = tiny("qwen3_vl_moe")
    with vlm.edit_inputs({vlm.sites.neurons[1]: lambda live: live + 1}), vlm.record() as recording:
        vlm.run(vlm.capture(batch(vlm, "image", 1).clean))

    values = recording.activations().neurons
    assert float(values[1].mode().values.min()) == 1 and float(values[0].mode().values.max()) == 0


@torch.no_grad()
def test_experts_that_are_edited_and_recorded_are_edited_once() -> None:
    vlm = tiny("qwen3_vl_moe")
    call, edits = vlm.capture(batch(vlm, "image", 1).clean), {vlm.sites.neurons[1]: lambda live: live + 1}
    with vlm.edit_inputs(edits):
        edited = vlm.run(call)
    with vlm.edit_inputs(edits), vlm.record():
        both = vlm.run(call)

    assert (edited - vlm.run(call)).abs().max() > 1e-2
    assert torch.equal(both, edited)


@pytest.mark.parametrize("name", ["ernie4_5_vl_moe", "muse_spark", "step3p7", "llama4"])
def test_experts_that_cannot_be_read_whole_have_no_neurons(name: str) -> None:
    vlm = tiny(name)

    assert not vlm.sites.routed
    assert 0 in vlm.sites.there[1] and 96 in vlm.sites.there[1]
    assert not any(isinstance(module, ExpertNodes) for site in vlm.sites for module in [site.module])


def test_the_proof_says_that_routing_breaks_completeness() -> None:
    assert "AP-IG is not complete" in prove(tiny("qwen3_vl_moe")).found["experts"]
    assert "experts" not in prove(tiny("qwen3_5")).found


def test_layers_that_look_up_token_ids_are_refused_between_texts_and_by_ablation() -> None:
    vlm = tiny("qwen4_exp")
    some = batch(vlm, "image", 1)
    _, values = counterfactual(vlm, some)

    with pytest.raises(UnsupportedModel, match="look up token ids themselves, which no ablation"):
        run_circuits(vlm, vlm.capture(some.clean), [nothing(vlm, some)], values)

    assert ap_ig(vlm, batch(vlm, "image", 1), steps=1).scores.heads.any()
    with pytest.raises(UnsupportedModel, match=r"look up token ids themselves \(decoder argument .*ple_input_ids'\)"):
        ap_ig(vlm, batch(vlm, "text", 1), steps=1)
    assert "token ids are looked up by layers" in judge(vlm.sites, prove(vlm))[1]


def test_a_circuit_that_does_not_say_what_is_there_is_refused() -> None:
    vlm = tiny("kimi_k25")
    some = batch(vlm, "image", 1)
    _, values = counterfactual(vlm, some)
    told = nothing(vlm, some)
    bare = Grid(told.heads, told.neurons, told.layout, told.model)

    with pytest.raises(MismatchError, match=r"The circuit has .*Make its grid with the model's `sites.there`"):
        run_circuits(vlm, vlm.capture(some.clean), [bare], values)


def test_a_part_of_a_site_sees_zeros_for_the_others() -> None:
    site = tiny("kimi_k25").sites.neurons[1]
    flat = torch.rand(1, 2, 32)

    spread = site.beside[0].nodes(flat)

    assert isinstance(site.beside[0].module, nn.Linear) and (site.beside[0].start, site.beside[0].stop) == (128, 160)
    assert not spread[..., :128].any() and torch.equal(site.beside[0].flat(spread), flat)
