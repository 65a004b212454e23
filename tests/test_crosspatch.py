"""Laws of cross-patching: the identity, the donor's run, and nothing behind the last layer (methods §11)."""

import pytest
import torch

import zoo
from diptych.crosspatch import cross_patch, with_injections
from diptych.delayed import delay
from diptych.errors import UnsupportedModel
from diptych.freezing import freeze
from diptych.interventions import overwrite
from diptych.items import MODALITIES, Modality
from diptych.models.calls import DecoderCall
from diptych.models.encode import encode_item
from diptych.models.hooks import hooks
from diptych.models.streams import edit_streams, record_streams
from diptych.models.trace import trace
from diptych.models.vlm import VLM
from prompts import batch, item
from test_trace import ALONE
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET

pytestmark = QUIET
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-10}  # of the largest logit
every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)


def calls(vlm: VLM, modality: Modality = "image") -> tuple[DecoderCall, DecoderCall, slice]:
    some = batch(vlm, modality, 2)
    return vlm.capture(some.clean), vlm.capture(some.counterfactual), some.layout.data


def every_layer(vlm: VLM) -> range:
    return range(len(vlm.layers) + 1)


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference as a share of the largest logit; tokens that a model rules out are left aside."""
    possible = expected.abs() < 1e30
    return float((found - expected)[possible].abs().max() / expected[possible].abs().max())


@torch.no_grad()
def streams(vlm: VLM, call: DecoderCall) -> list[torch.Tensor]:
    with record_streams(vlm) as kept:
        vlm.run(call)
    return kept


@every_model
@both_panels
def test_a_patch_with_the_prompt_s_own_states_is_the_clean_run(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    call, _, data = calls(vlm, modality)
    plain = vlm.run(call)

    found = dict(cross_patch(vlm, call, call, data, every_layer(vlm)))

    assert plain.abs().max() > 0.1
    assert len(found) == 5 and all(off(logits, plain) <= 1e-6 for logits in found.values())


@every_model
@both_panels
def test_a_patch_at_layer_0_is_the_donor_s_run(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    call, donor, data = calls(vlm, modality)

    ((_, found),) = cross_patch(vlm, call, donor, data, [0])

    assert (vlm.run(call) - vlm.run(donor)).abs().max() > 1e-2
    assert off(found, vlm.run(donor)) <= 1e-6


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_5_vl", "idefics3", "paligemma"])
@torch.no_grad()
def test_features_added_between_layers_are_the_donor_s_too(name: str) -> None:
    vlm = zoo.tiny(name)
    call, donor, data = calls(vlm)

    found = dict(cross_patch(vlm, call, donor, data, every_layer(vlm)))
    to_the_end = dict(cross_patch(vlm, call, donor, slice(data.start, None), every_layer(vlm)))

    assert (vlm.run(call) - vlm.run(donor)).abs().max() > 1e-3
    assert off(found[0], vlm.run(donor)) <= 1e-6 and off(found[len(vlm.layers)], vlm.run(call)) <= 1e-6
    taken = to_the_end.values() if name != "paligemma" else [to_the_end[0]]  # there the prefix has read the picture
    assert all(off(logits, vlm.run(donor)) <= 1e-6 for logits in taken)


@every_model
def test_a_patch_behind_the_last_layer_changes_no_logit_at_the_last_position(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, donor, data = calls(vlm)
    plain = vlm.run(call)

    ((_, before), (_, behind)) = cross_patch(vlm, call, donor, data, [3, 4])

    assert (before - plain).abs().max() > 1e-3
    assert torch.equal(behind, plain)


@pytest.mark.parametrize("dtype", ROUNDING)
@every_model
@both_panels
@torch.no_grad()
def test_patches_behind_kept_keys_equal_full_second_passes(
    family: str, kernel: str, modality: Modality, dtype: torch.dtype
) -> None:
    vlm = tiny(family, kernel, dtype)
    call, donor, data = calls(vlm, modality)
    donated = streams(vlm, donor)
    # Hugging Face's eager attention takes its softmax in float32 whatever the model's dtype
    rounding = ROUNDING[dtype if kernel == "sdpa" else torch.float32]

    found = dict(cross_patch(vlm, call, donor, data, every_layer(vlm)))

    for layer, logits in found.items():
        with edit_streams(vlm, {layer: lambda live, value=donated[layer]: overwrite(live, data, value)}):
            assert off(logits, vlm.run(call)) <= rounding, layer
    assert len({logits.sum().item() for logits in found.values()}) == 5


@pytest.mark.parametrize("name", [*ALONE, "muse_spark", "qwen3_5", "dots3_note"])
@torch.no_grad()
def test_a_patched_run_holds_the_donor_s_states_in_every_layer_from_the_patch_on(name: str) -> None:
    vlm = zoo.tiny(name)
    call, donor, data = calls(vlm)
    donated = streams(vlm, donor)

    found = dict(cross_patch(vlm, call, donor, data, every_layer(vlm)))

    for layer, logits in found.items():
        held = {at: lambda live, value=donated[at]: overwrite(live, data, value) for at in range(layer, 5)}
        with edit_streams(vlm, held):
            assert off(logits, vlm.run(call)) <= 1e-6, layer
    assert off(found[0], vlm.run(call)) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "segment"), [("qwen2_vl", "query"), ("qwen3_vl", "query"), ("paligemma", "data"), ("lfm2_vl", "data")]
)
def test_where_prompts_differ_before_the_patch_or_a_model_cannot_be_run_so_all_positions_are(
    name: str, segment: str
) -> None:
    vlm = zoo.tiny(name)
    some = batch(vlm, "image", 2)
    call, donor, places = vlm.capture(some.clean), vlm.capture(some.counterfactual), some.layout.segment(segment)
    own, donated = trace(vlm, call), streams(vlm, donor)

    found = dict(cross_patch(vlm, call, donor, places, every_layer(vlm)))

    for layer, logits in found.items():
        edit = {layer: lambda live, value=donated[layer]: overwrite(live, places, value)}
        with own.resumed(vlm, layer), edit_streams(vlm, edit):
            assert torch.equal(logits, vlm.run(with_injections(call, donor))), layer
        assert layer in (0, 4) or off(logits, vlm.run(call)) > 1e-4


@every_model
@torch.no_grad()
def test_patches_below_a_planted_delay_are_undone_by_it(family: str, kernel: str) -> None:
    vlm = delay(tiny(family, kernel), 2, [encode_item(tiny(family), item(n), "image").inputs for n in (50, 51)])
    call, donor, data = calls(vlm)
    donated = streams(vlm, donor)

    found = dict(cross_patch(vlm, call, donor, data, every_layer(vlm)))

    for layer, logits in found.items():
        with edit_streams(vlm, {layer: lambda live, value=donated[layer]: overwrite(live, data, value)}):
            assert torch.equal(logits, vlm.run(call)), layer
    assert off(found[1], vlm.run(call)) < 1e-2 < off(found[2], vlm.run(call))


def test_a_patch_runs_only_the_positions_that_follow_it() -> None:
    vlm = tiny("gemma3")
    call, donor, data = calls(vlm)
    rows: list[int] = []
    above = vlm.sites.neurons[3].module
    assert above is not None
    patched = cross_patch(vlm, call, donor, data, [2, 1, 4])
    next(patched)

    with hooks(above.register_forward_hook(lambda module, args, output: rows.append(output.shape[1]))):
        list(patched)

    assert rows == [call.input_ids.shape[1] - data.stop]  # the last one is behind this layer


def test_what_the_donor_s_picture_adds_beside_the_embeddings_is_taken_over_and_the_embeddings_are_not() -> None:
    vlm = zoo.tiny("qwen3_vl")
    call, donor, _ = calls(vlm)

    mixed = with_injections(call, donor)

    added = [name for name in call.leaves() if "deepstack" in name and isinstance(call.leaves()[name], torch.Tensor)]
    assert added and all(torch.equal(mixed.leaves()[name], donor.leaves()[name]) for name in added)
    assert torch.equal(mixed.embeddings, call.embeddings) and not torch.equal(mixed.embeddings, donor.embeddings)


@pytest.mark.parametrize(
    ("name", "way"), [("mllama", "by cross attention"), ("gemma4", "by what layers below hand on")]
)
def test_pictures_that_are_read_beside_the_stream_cannot_be_patched_or_frozen_in_it(name: str, way: str) -> None:
    vlm = zoo.tiny(name)
    call, donor, data = calls(vlm)

    with pytest.raises(UnsupportedModel, match=f"may learn of the picture {way}, beside the residual stream"):
        next(cross_patch(vlm, call, donor, data, [0]))
    with pytest.raises(UnsupportedModel, match=f"may learn of the picture {way}"):
        next(freeze(vlm, call, data, [0], until=1))
