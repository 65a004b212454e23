"""Laws of cross-patching: the identity, the donor's run, and nothing behind the last layer (methods §11)."""

import pytest
import torch

import zoo
from diptych.crosspatch import cross_patch, with_injections
from diptych.errors import UnsupportedModel
from diptych.freezing import freeze
from diptych.interventions import overwrite
from diptych.items import MODALITIES, Modality
from diptych.models.calls import DecoderCall
from diptych.models.streams import edit_streams, record_streams
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET

pytestmark = QUIET
every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)


def calls(vlm: VLM, modality: Modality = "image") -> tuple[DecoderCall, DecoderCall, slice]:
    some = batch(vlm, modality, 2)
    return vlm.capture(some.clean), vlm.capture(some.counterfactual), some.layout.data


def every_layer(vlm: VLM) -> range:
    return range(len(vlm.layers) + 1)


@every_model
@both_panels
def test_a_patch_with_the_prompt_s_own_states_is_the_clean_run_to_the_bit(
    family: str, kernel: str, modality: Modality
) -> None:
    vlm = tiny(family, kernel)
    call, _, data = calls(vlm, modality)
    plain = vlm.run(call)

    found = dict(cross_patch(vlm, call, call, data, every_layer(vlm)))

    assert plain.abs().max() > 0.1
    assert len(found) == 5 and all(torch.equal(logits, plain) for logits in found.values())


@every_model
@both_panels
def test_a_patch_at_layer_0_is_the_donor_s_run_to_the_bit(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    call, donor, data = calls(vlm, modality)

    ((_, found),) = cross_patch(vlm, call, donor, data, [0])

    assert (vlm.run(call) - vlm.run(donor)).abs().max() > 1e-2
    assert torch.equal(found, vlm.run(donor))


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_5_vl", "idefics3", "paligemma"])
@torch.no_grad()
def test_features_added_between_layers_are_the_donor_s_too(name: str) -> None:
    vlm = zoo.tiny(name)
    call, donor, data = calls(vlm)

    found = dict(cross_patch(vlm, call, donor, data, every_layer(vlm)))

    assert (vlm.run(call) - vlm.run(donor)).abs().max() > 1e-3
    torch.testing.assert_close(found[0], vlm.run(donor), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[len(vlm.layers)], vlm.run(call), atol=1e-5, rtol=0)


@every_model
def test_a_patch_behind_the_last_layer_changes_no_logit_at_the_last_position(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, donor, data = calls(vlm)
    plain = vlm.run(call)

    ((_, before), (_, behind)) = cross_patch(vlm, call, donor, data, [3, 4])

    assert (before - plain).abs().max() > 1e-3
    assert torch.equal(behind, plain)


@every_model
@torch.no_grad()
def test_resumed_patches_equal_a_full_second_pass_to_the_bit(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, donor, data = calls(vlm)
    with record_streams(vlm) as donated:
        vlm.run(donor)

    found = dict(cross_patch(vlm, call, donor, data, every_layer(vlm)))

    for layer, logits in found.items():
        with edit_streams(vlm, {layer: lambda live, value=donated[layer]: overwrite(live, data, value)}):
            assert torch.equal(logits, vlm.run(call)), layer
    assert len({logits.sum().item() for logits in found.values()}) == 5


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
