"""What is special in some architectures is read rightly: one test for each thing."""

from dataclasses import replace

import pytest
import torch

from diptych.attribution.ap_ig import ap_ig
from diptych.errors import ModelCheckFailed, UnsupportedModel
from diptych.interventions import run_circuits
from diptych.items import MODALITIES, Modality
from diptych.models.calls import Path
from diptych.models.check import prove, require_proof
from diptych.models.encode import collate, encode_item
from diptych.models.handed import edit_handed, record_handed, started
from diptych.models.places import changed_positions
from diptych.models.vlm import VLM
from prompts import batch, item
from zoo import QUIET, READ, fresh, tiny

WITHOUT_RESIDUALS = ("glm5_next", "gemma3n")  # several residual streams
TOKENS_BEHIND_THE_EMBEDDINGS = [("qwen4_exp", "text")]  # layers look up n-grams of token ids

pytestmark = QUIET


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_a_random_model_is_spliced_and_resumed_to_the_bit(name: str, modality: Modality) -> None:
    vlm, some = tiny(name), batch(tiny(name), modality, 1)
    plain, call = vlm.run_inputs(some.clean), vlm.capture(some.clean)

    assert plain.abs().max() > 0.1
    assert torch.equal(vlm.run(call), plain)
    if name in WITHOUT_RESIDUALS:
        return
    with record_handed(vlm) as residuals:
        vlm.run(call)
    assert len(residuals) == len(vlm.layers)
    for start in range(1, len(vlm.layers)):
        with started(vlm, start - 1, residuals[start - 1]):
            assert torch.equal(vlm.run(call), plain), start


@pytest.mark.parametrize(
    ("name", "modality"), [(n, m) for n in READ for m in MODALITIES if (n, m) not in TOKENS_BEHIND_THE_EMBEDDINGS]
)
def test_the_path_ends_at_the_two_runs_so_all_that_differs_is_interpolated(name: str, modality: Modality) -> None:
    vlm, some = tiny(name), batch(tiny(name), modality, 1)
    clean, other = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    path = Path.between(clean, other)

    with torch.no_grad():
        assert torch.equal(vlm.run(path.at(1.0)[0]), vlm.run(clean))
        assert torch.equal(vlm.run(path.at(0.0)[0]), vlm.run(other))
        assert not torch.allclose(vlm.run(clean), vlm.run(other), atol=1e-3)
    call, entries = path.at(0.5)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(vlm.run(call).sum(), entries))


@pytest.mark.parametrize(("name", "modality"), TOKENS_BEHIND_THE_EMBEDDINGS)
def test_token_ids_that_layers_read_cannot_be_interpolated(name: str, modality: Modality) -> None:
    vlm, some = tiny(name), batch(tiny(name), modality, 1)

    with pytest.raises(UnsupportedModel, match=r"ple_input_ids'\), which cannot be interpolated"):
        Path.between(vlm.capture(some.clean), vlm.capture(some.counterfactual))


@pytest.mark.parametrize(
    ("name", "modality", "entry"),
    [
        ("qwen3_vl", "image", "deepstack_visual_embeds.1"),
        ("qwen3_vl_moe", "image", "deepstack_visual_embeds.1"),
        ("mllama", "image", "cross_attention_states"),
        ("kosmos-2", "image", "image_embeds"),
        ("gemma4", "text", "per_layer_inputs"),
        ("gemma3n", "text", "per_layer_inputs"),
    ],
)
def test_what_enters_beside_the_embeddings_is_an_entry_with_a_gradient(
    name: str, modality: Modality, entry: str
) -> None:
    vlm, some = tiny(name), batch(tiny(name), modality, 1)
    path = Path.between(vlm.capture(some.clean), vlm.capture(some.counterfactual))
    (place,) = [index for index, found in enumerate(path.entries) if found.endswith(entry)]

    call, points = path.at(0.5)
    gradients = torch.autograd.grad(vlm.run(call).sum(), points)

    assert path.steps()[place].abs().max() > 1e-3
    assert gradients[place].abs().max() > 1e-6


@pytest.mark.parametrize("name", ["gemma4", "qwen3_vl_moe", "kimi_k25", "qwen3_5", "lfm2_vl", "step3p7", "blip-2"])
@pytest.mark.parametrize("modality", MODALITIES)
def test_nodes_that_are_never_there_score_exactly_zero_and_others_do_not(name: str, modality: Modality) -> None:
    vlm, some = tiny(name), batch(tiny(name), modality, 2)

    scores = ap_ig(vlm, some, steps=1).scores

    for nodes, sites in ((scores.heads, vlm.sites.heads), (scores.neurons, vlm.sites.neurons)):
        assert list(nodes.shape) == [len(vlm.layers), some.layout.length, sites[0].count]
        for site in sites:
            assert bool(nodes[site.layer, :, : site.there].any()) == (site.there > 0)
            assert not nodes[site.layer, :, site.there :].any()


@pytest.mark.parametrize("name", ["gemma4", "qwen3_vl_moe", "kimi_k25", "mllama", "blip-2", "step3p7"])
@torch.no_grad()
def test_the_full_circuit_is_the_run_and_the_empty_one_the_counterfactual_run(name: str) -> None:
    vlm, some = tiny(name), batch(tiny(name), "image", 2)
    clean, other = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    with vlm.record() as recording:
        counterfactual = vlm.run(other)
    scores = ap_ig(vlm, some, steps=1).scores
    everything = scores.map(lambda nodes: torch.ones_like(nodes, dtype=torch.bool))

    full, empty = run_circuits(vlm, clean, [everything, ~everything], recording.activations())

    torch.testing.assert_close(full, vlm.run(clean), atol=1e-4, rtol=0)
    torch.testing.assert_close(empty, counterfactual, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_layer_that_fills_a_state_for_layers_above_is_run_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = fresh("gemma4")
    call = vlm.capture(batch(vlm, "image", 1).clean)
    with record_handed(vlm) as residuals:
        vlm.run(call)
    monkeypatch.setattr("diptych.models.resume._holds_state", lambda argument, residual: False)

    with vlm.resume(5, residuals[4]), pytest.raises(KeyError):
        vlm.run(call)


@pytest.mark.parametrize("name", ["qwen2_vl", "gemma4", "chameleon"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "never run"])
@torch.no_grad()
def test_a_resumed_run_goes_on_from_the_residual_it_is_given(name: str, recorded: bool) -> None:
    vlm = fresh(name)
    call, last = vlm.capture(batch(vlm, "image", 1).clean), len(vlm.layers) - 1
    other = torch.randn(1, call.input_ids.shape[1], 64, generator=torch.Generator().manual_seed(0))
    with edit_handed(vlm.layers, {last - 1: lambda live: other}):
        overwritten = vlm.run(call)
    if recorded:
        with vlm.record_outputs():
            vlm.run(call)

    with vlm.resume(last, other):
        assert torch.equal(vlm.run(call), overwritten)


@torch.no_grad()
def test_other_layers_are_skipped_and_return_what_they_always_do() -> None:
    for name, returns in (("qwen2_vl", torch.Tensor), ("chameleon", tuple)):
        vlm = fresh(name)
        call = vlm.capture(batch(vlm, "image", 1).clean)
        with record_handed(vlm) as residuals:
            vlm.run(call)
        calls = 0

        def count(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            nonlocal calls
            calls += 1

        handle = vlm.layers[0].self_attn.q_proj.register_forward_pre_hook(count)
        with vlm.resume(2, residuals[1]), vlm.record_outputs() as outputs:
            vlm.run(call)
        handle.remove()

        assert calls == 0 and isinstance(outputs[0], returns) and type(outputs[0]) is type(outputs[3])


@torch.no_grad()
def test_layers_that_a_text_does_not_call_have_no_nodes_in_it_and_leave_the_stream() -> None:
    vlm = tiny("mllama")
    call = vlm.capture(batch(vlm, "text", 1).clean)
    with vlm.record() as recording, record_handed(vlm) as residuals:
        vlm.run(call)
    found = recording.activations()

    assert recording.layers == {0, 2}
    assert not found.heads[1].any() and not found.neurons[3].any() and found.heads[2].any()
    assert torch.equal(residuals[1], residuals[0]) and not torch.equal(residuals[2], residuals[1])


def test_a_site_that_is_silent_in_a_layer_that_ran_is_an_error() -> None:
    vlm = fresh("mllama")
    unused = replace(vlm.sites.heads[2], module=torch.nn.Linear(64, 64))
    vlm.sites = replace(vlm.sites, heads=(*vlm.sites.heads[:2], unused, vlm.sites.heads[3]))
    with torch.no_grad(), vlm.record() as recording:
        vlm.run(vlm.capture(batch(vlm, "text", 1).clean))

    with pytest.raises(ModelCheckFailed, match=r"never reached heads of layer 2 \(and 0 more"):
        recording.activations()


def test_heads_are_taken_before_a_norm_over_all_of_them() -> None:
    layer, sites = tiny("kosmos-2").layers[1], tiny("kosmos-2").sites

    assert sites.heads[1].module is layer.self_attn.inner_attn_ln
    assert sites.neurons[1].module is layer.ffn.ffn_layernorm


class LeavesAMixerOut(VLM):
    """Does not know of the recurrences."""

    def __post_init__(self) -> None:
        super().__post_init__()
        heads = tuple(
            replace(site, module=None) if mixer.mixing == "recurrence" else site
            for site, mixer in zip(self.sites.heads, self.sites.mixers, strict=True)
        )
        mixers = tuple(replace(mixer, mixing="none") for mixer in self.sites.mixers)
        self.sites = replace(self.sites, heads=heads, mixers=mixers)


def test_a_mixer_that_is_overlooked_fails_the_proof() -> None:
    shared = tiny("qwen3_5")
    vlm = LeavesAMixerOut(shared.model, shared.processor, shared.name, digest=shared.digest)

    with pytest.raises(ModelCheckFailed, match="the empty circuit is the counterfactual run"):
        require_proof(vlm)


@torch.no_grad()
def test_row_breaks_among_the_image_positions_are_features_too() -> None:
    vlm = tiny("llava_next")
    one, two = (encode_item(vlm, item(number), "image") for number in (1, 2))
    changed = changed_positions(vlm, vlm.capture(one.inputs), vlm.capture(two.inputs))[0]
    places = vlm.image_positions(one.inputs)[0]

    assert bool((changed <= places).all())
    assert 0 < int((places & ~changed).sum()) < int(changed.sum())
    assert prove(vlm).passed


@pytest.mark.parametrize("name", ["kosmos-2", "kosmos-2.5", "instructblipvideo"])
def test_without_an_image_token_the_positions_are_those_that_change_with_the_picture(name: str) -> None:
    vlm = tiny(name)
    prompt = encode_item(vlm, item(1), "image")
    mark = vlm.processor.tokenizer.convert_tokens_to_ids("<image>")

    assert getattr(vlm.model.config, "image_token_id", None) is None
    assert torch.equal(vlm.image_positions(prompt.inputs), prompt.inputs["input_ids"] == mark)


@pytest.mark.parametrize("name", ["blip-2", "kosmos-2"])
@torch.no_grad()
def test_a_model_that_wants_a_picture_in_every_call_is_run_from_the_language_model_in_it(name: str) -> None:
    vlm = tiny(name)
    inputs = collate([encode_item(vlm, item(number), "image") for number in (1, 2)])

    with pytest.raises((TypeError, ValueError)):
        vlm.model(input_ids=inputs["input_ids"])
    torch.testing.assert_close(vlm.run(vlm.capture(inputs)), vlm.model(**inputs).logits[:, -1], atol=2e-5, rtol=0)


@torch.no_grad()
def test_a_call_is_not_changed_by_a_model_that_writes_into_its_arguments() -> None:
    vlm = tiny("kosmos-2")
    call = vlm.capture(batch(vlm, "image", 1).clean)
    before = call.embeddings.clone()

    vlm.run(call)

    assert torch.equal(call.embeddings, before)
