"""Coverage: every architecture of transformers, tiny and random, is read rightly or refused with a reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path as File

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from diptych.attribution.ap_ig import ap_ig
from diptych.errors import DiptychError, InputError, ModelCheckFailed, UnsupportedModel
from diptych.interventions import run_circuits
from diptych.items import MODALITIES, Modality
from diptych.models import load
from diptych.models.calls import Path
from diptych.models.check import prove, require_proof
from diptych.models.coverage import HEADS_ONLY, IN_PART, PASSES, REFUSED, Coverage, cover, judge
from diptych.models.encode import collate, encode_item
from diptych.models.knockout import block
from diptych.models.random import build
from diptych.models.sites import Mixer
from diptych.models.sketches import every_sketch
from diptych.models.vlm import VLM
from diptych.run.source import ModelSource
from prompts import batch, item

TABLE = File(__file__).parent.parent / "docs" / "models.md"
SAMPLE = ("qwen3_vl", "gemma4", "mllama", "qwen3_vl_moe", "glm5_next", "florence2")
WITHOUT_RESIDUALS = ("glm5_next",)  # several residual streams
TOKENS_BEHIND_THE_EMBEDDINGS = [("qwen4_exp", "text")]  # layers look up n-grams of token ids

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def table() -> dict[str, str]:
    """Architecture → verdict in docs/models.md."""
    rows = [line.split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row[0].removeprefix("| "): row[4] for row in rows[1:]}


READ = [name for name, verdict in table().items() if verdict != REFUSED]


@cache
def tiny(name: str) -> VLM:
    return load(f"random:{name}", verify=False)


def fresh(name: str) -> VLM:
    """A handle of its own on a shared model."""
    shared = tiny(name)
    return VLM(shared.model, shared.processor, shared.name, digest=shared.digest)


def test_every_architecture_of_transformers_is_in_the_table() -> None:
    assert list(table()) == list(every_sketch()) == sorted(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


@pytest.mark.parametrize("name", every_sketch())
def test_an_architecture_is_proven_or_refused_as_the_table_says(name: str) -> None:
    try:
        found = judge(tiny(name).sites, prove(tiny(name)))
    except DiptychError as refusal:
        found = (REFUSED, str(refusal))
    verdict, reason = found

    assert verdict == table()[name]
    assert bool(reason) == (verdict != PASSES)


@pytest.mark.parametrize("name", SAMPLE)
def test_the_table_is_what_the_proof_says(name: str) -> None:
    row = cover(name)

    assert f"| {name} | {row.model} | {row.layers} | {row.sites} | {row.verdict} | {row.reason} |" in TABLE.read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_a_random_model_is_spliced_and_resumed_to_the_bit(name: str, modality: Modality) -> None:
    vlm, some = tiny(name), batch(tiny(name), modality, 2)
    plain, call = vlm.run_inputs(some.clean), vlm.capture(some.clean)

    assert plain.abs().max() > 0.1
    assert torch.equal(vlm.run(call), plain)
    if name in WITHOUT_RESIDUALS:
        return
    with vlm.record_residuals() as residuals:
        vlm.run(call)
    assert len(residuals) == len(vlm.layers)
    for start in range(1, len(vlm.layers)):
        with vlm.resume(start, residuals[start - 1]):
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
    with vlm.record_residuals() as residuals:
        vlm.run(call)
    monkeypatch.setattr("diptych.models.resume._may_be_filled", lambda argument: False)

    with vlm.resume(5, residuals[4]), pytest.raises(KeyError):
        vlm.run(call)


@pytest.mark.parametrize("name", ["qwen2_vl", "gemma4", "chameleon"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "never run"])
@torch.no_grad()
def test_a_resumed_run_goes_on_from_the_residual_it_is_given(name: str, recorded: bool) -> None:
    vlm = fresh(name)
    call, last = vlm.capture(batch(vlm, "image", 1).clean), len(vlm.layers) - 1
    other = torch.randn(1, call.input_ids.shape[1], 64, generator=torch.Generator().manual_seed(0))
    with vlm.edit_outputs({last - 1: lambda live: other}):
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
        with vlm.record_residuals() as residuals:
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
    with vlm.record() as recording, vlm.record_residuals() as residuals:
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


@pytest.mark.parametrize(("name", "how"), [("qwen3_5", "recurrence"), ("lfm2_vl", "recurrence"), ("mllama", "cross")])
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


def test_heads_are_taken_before_a_norm_over_all_of_them() -> None:
    layer, sites = tiny("kosmos-2").layers[1], tiny("kosmos-2").sites

    assert sites.heads[1].module is layer.self_attn.inner_attn_ln
    assert sites.neurons[1].module is layer.ffn.ffn_layernorm


def test_a_layer_with_routed_experts_beside_a_dense_mlp_has_the_neurons_of_both() -> None:
    sketch = every_sketch()["gemma4"]
    experts = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32}
    changed = replace(sketch, config={**sketch.config, **{f"text_config.{key}": n for key, n in experts.items()}})
    model, processor = build("gemma4", changed, attention="sdpa", dtype=torch.float32, seed=0)
    vlm = VLM(model, processor, "gemma4 with experts", digest="gemma4-moe")

    assert judge(vlm.sites, prove(vlm)) == (PASSES, "")
    assert vlm.sites.there[1] == (4 * 32 + 96,) * 4 + (4 * 32 + 192,) * 2
    assert vlm.sites.neurons[0].beside[0].module is vlm.layers[0].mlp.down_proj


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


def test_numbers_of_patches_count_on_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = tiny("molmo2")
    assert prove(vlm).passed

    monkeypatch.setattr("diptych.models.encode.NUMBERS", {})

    failed = [line.name for line in prove(vlm).lines if not line.passed]
    assert failed == ["a batch gives what single prompts give"]


@torch.no_grad()
def test_row_breaks_among_the_image_positions_are_features_too() -> None:
    vlm = tiny("llava_next")
    one, two = (encode_item(vlm, item(number), "image") for number in (1, 2))
    changed = vlm.changed_positions(vlm.capture(one.inputs), vlm.capture(two.inputs))[0]
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


def test_an_unknown_architecture_is_refused_with_close_ones() -> None:
    with pytest.raises(InputError, match=r"No architecture named 'quen3_vl'. Close to it: qwen3_vl, "):
        load("random:quen3_vl")


def test_a_seed_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match=r"The seed of 'random:llava:one' is 'one'; expected a number"):
        ModelSource("random:llava:one").place  # noqa: B018


def test_seed_and_dtype_make_another_model_and_the_same_name_the_same() -> None:
    def weights(name: str, **options: str) -> torch.Tensor:
        return load(name, verify=False, **options).model.get_output_embeddings().weight

    plain = weights("random:llava")

    assert torch.equal(weights("random:llava:0"), plain)
    assert not torch.equal(weights("random:llava:1"), plain)
    assert torch.equal(weights("random:llava", dtype="bfloat16"), plain.bfloat16())


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe", "gemma4", "mllama", "blip-2"])
def test_the_proof_holds_in_half_precision_too(name: str) -> None:
    vlm = load(f"random:{name}", dtype="bfloat16")

    assert vlm.dtype == torch.bfloat16


def test_a_leak_of_a_few_per_cent_is_refused_in_half_precision_too() -> None:
    with pytest.raises(ModelCheckFailed, match="knocking out the data hides the picture"):
        load("random:minimax_m3_vl", dtype="bfloat16")


def test_a_random_model_has_an_identity_without_being_built() -> None:
    source = ModelSource("random:qwen3_vl")

    assert source.place == source.label == "random:qwen3_vl"
    assert len(source.fingerprint) == 12 and source.fingerprint == ModelSource("random:qwen3_vl").fingerprint
    assert source.fingerprint != ModelSource("random:qwen3_vl:1").fingerprint


def test_what_cannot_be_built_here_is_refused_with_what_is_missing() -> None:
    with pytest.raises(UnsupportedModel, match="'florence2' is an encoder-decoder"):
        load("random:florence2")
    with pytest.raises(InputError, match=r"'random:evolla' cannot be built here: Unrecognized configuration class"):
        load("random:evolla")


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


def test_the_verdicts_are_four() -> None:
    assert set(table().values()) == {PASSES, HEADS_ONLY, IN_PART, REFUSED}
    assert isinstance(cover("llava"), Coverage)
