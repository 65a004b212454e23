"""Stacking: prompts are captured together only where that changes none, and stacked along dimensions that are learnt."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from diptych.errors import MismatchError
from diptych.items import MODALITIES, Modality
from diptych.models.calls import DecoderCall
from diptych.models.encode import collate, encode_item
from diptych.models.once import parts
from diptych.models.stacking import changed, joined, learn_batch_dims, prompts, reads_apart, stack
from diptych.models.vlm import VLM
from prompts import counted, item
from tiny import FAMILIES
from tiny import tiny as of_family
from zoo import QUIET, fresh, tiny

pytestmark = QUIET

ODD = ("hunyuan_vl", "minicpm_ocr", "minicpmv4_6", "molmo2")  # transformers' own batch differs, or stacks otherwise
ORDINARY = ("qwen2_vl", "qwen3_vl", "gemma3", "gemma4", "gemma3n", "mllama", "llava_next", "blip-2")


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", ODD + ORDINARY)
@torch.no_grad()
def test_each_prompt_of_a_batch_is_what_it_is_alone(name: str, modality: Modality) -> None:
    vlm = tiny(name)
    encoded = [encode_item(vlm, item(number), modality) for number in (1, 2, 3)]
    inputs = collate(encoded)

    together, exactly = vlm.capture(inputs), not vlm.stacks(inputs)

    assert exactly == (name in ODD and modality == "image")
    for row, prompt in enumerate(encoded):
        alone, taken = vlm.capture(prompt.inputs).leaves(), together.take([row]).leaves()
        tensors = {name: leaf for name, leaf in alone.items() if isinstance(leaf, torch.Tensor)}
        assert alone.keys() == taken.keys() and len(tensors) > 1
        for leaf_name, leaf in tensors.items():
            near = 0 if exactly or not leaf.is_floating_point() else 1e-6 * float(leaf.abs().max())
            torch.testing.assert_close(taken[leaf_name], leaf, rtol=0, atol=near)


def tower_of(vlm: VLM) -> nn.Module:
    """The first part of the vision tower: it runs whenever the tower does."""
    return next(next(parts(vlm.model, vlm.layers)).children())


@pytest.mark.parametrize(("name", "towers"), [("qwen3_vl", 1), ("molmo2", 3)])
@torch.no_grad()
def test_pictures_pass_the_tower_together_where_the_model_keeps_them_apart(name: str, towers: int) -> None:
    vlm = tiny(name)
    inputs = collate([encode_item(vlm, item(number), "image") for number in (1, 2, 3)])
    vlm.capture(inputs)  # tries the model

    with counted([tower_of(vlm)]) as run:
        vlm.capture(inputs)

    assert len(run) == towers


@torch.no_grad()
def test_prompts_of_a_batch_that_show_one_picture_pass_the_tower_once() -> None:
    vlm = tiny("qwen3_vl")
    first, second = (encode_item(vlm, item(1), "image"), encode_item(vlm, item(2), "image"))
    pixels = {name: value for name, value in first.inputs.items() if value.is_floating_point()}
    inputs = collate([first, replace(second, inputs=dict(second.inputs) | pixels)])
    vlm.capture(inputs)

    with counted([tower_of(vlm)]) as alone:
        vlm.capture(first.inputs)
    with counted([tower_of(vlm)]) as run:
        call = vlm.capture(inputs)

    assert [patches.shape for patches in run] == [patches.shape for patches in alone]
    assert call.batch == 2


@torch.no_grad()
def test_whether_a_model_reads_prompts_apart_is_tried_once_for_prompts_of_one_form() -> None:
    vlm = fresh("qwen2_vl")
    inputs = collate([encode_item(vlm, item(number), "image") for number in (1, 2, 3)])

    with counted([tower_of(vlm)]) as first:
        vlm.capture(inputs)
    with counted([tower_of(vlm)]) as second:
        vlm.capture(inputs)

    assert len(first) > len(second) == 1


DTYPES = [(torch.float64, 1e-4), (torch.float32, 1e-3), (torch.float16, 0.02), (torch.bfloat16, 0.1)]
"""And a share of another prompt that is more than rounding."""


@pytest.mark.parametrize(("dtype", "share"), DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_model_that_reads_another_prompt_by_more_than_rounding_is_known(
    family: str, dtype: torch.dtype, share: float
) -> None:
    vlm = of_family(family, "sdpa", dtype)
    one = encode_item(vlm, item(1), "image").inputs
    both = joined([one, changed(one)])
    apart = vlm.capture_each([both])[0]

    def passes(leaf: torch.Tensor) -> bool:
        given = apart.with_leaves(lambda _, own: leaf if own is apart.embeddings else own)
        return reads_apart(lambda some: given, both, apart)

    assert vlm.stacks(one) and passes(apart.embeddings)
    assert not passes(apart.embeddings + share * apart.embeddings.flip(0))
    assert not passes(apart.embeddings[:1]) and not passes(apart.embeddings.flip(0))


@torch.no_grad()
def test_words_in_reverse_tell_whether_prompts_without_a_picture_are_read_apart() -> None:
    vlm = tiny("molmo2")
    words = encode_item(vlm, item(1), "text").inputs

    assert changed(words)["input_ids"].tolist() == [words["input_ids"][0].tolist()[::-1]]
    assert vlm.stacks(words) and not vlm.stacks(encode_item(vlm, item(1), "image").inputs)


def test_a_strip_of_patches_is_found_to_stack_along_its_width() -> None:
    vlm, asked = fresh("minicpmv4_6"), []
    inputs = encode_item(vlm, item(1), "image").inputs

    def capture(some):  # type: ignore[no-untyped-def]
        asked.append(tuple(some["pixel_values"].shape))
        return vlm._reach_decoder(some)

    with torch.no_grad():
        dims = learn_batch_dims(capture, inputs, vlm._reach_decoder(inputs))

    one, channels, height, width = inputs["pixel_values"].shape
    assert asked[0] == (2 * one, channels, height, width) and asked[-1] == (one, channels, height, 2 * width)
    assert dims[".1.inputs_embeds"] == 0


def test_what_the_model_says_of_ordinary_stacking_is_raised_if_no_way_works() -> None:
    seen = []

    def capture(inputs):  # type: ignore[no-untyped-def]
        seen.append(inputs)
        raise ValueError(f"way {len(seen)}")

    with pytest.raises(ValueError, match="way 1"):
        learn_batch_dims(capture, {"input_ids": torch.zeros(1, 3)}, DecoderCall(torch.zeros(1, 3), (), {}))
    assert len(seen) == 2


def test_running_out_of_memory_is_not_taken_for_a_way_that_does_not_work() -> None:
    calls = []

    def capture(inputs):  # type: ignore[no-untyped-def]
        calls.append(inputs)
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError, match="full"):
        learn_batch_dims(capture, {"input_ids": torch.zeros(1, 3)}, DecoderCall(torch.zeros(1, 3), (), {}))
    assert len(calls) == 1


def call(**kwargs: torch.Tensor | None) -> DecoderCall:
    return DecoderCall(torch.tensor([[1, 2]]), (), kwargs)


def test_an_argument_that_all_prompts_share_must_be_the_same_for_all() -> None:
    dims = {".1.positions": None}

    stacked = stack([call(positions=torch.tensor([0, 1])), call(positions=torch.tensor([0, 1]))], dims)

    assert stacked.batch == 2 and stacked.kwargs["positions"].tolist() == [0, 1]
    with pytest.raises(
        MismatchError, match=r"'.1.positions' differs between the prompts of a batch, and is not stacked"
    ):
        stack([call(positions=torch.tensor([0, 1])), call(positions=torch.tensor([1, 2]))], dims)


def test_prompts_of_which_one_is_padded_cannot_be_stacked() -> None:
    masked = call(attention_mask=torch.ones(1, 1, 2, 2))

    with pytest.raises(MismatchError, match=r"has shapes \[1, 1, 2, 2\] and none in one batch"):
        stack([masked, call(attention_mask=None)], {".1.attention_mask": 0})


@pytest.mark.parametrize("name", ["qwen2_vl", "gemma3", "llava+pixtral"])
@torch.no_grad()
def test_a_prompt_padded_on_the_left_says_what_it_says_without(name: str) -> None:
    vlm = tiny(name)
    inputs = encode_item(vlm, item(1), "image").inputs
    per_token = {key: value for key, value in inputs.items() if value.shape == inputs["input_ids"].shape}
    padded = {key: torch.nn.functional.pad(value, (3, 0)) for key, value in per_token.items()}

    found = vlm.run(vlm.capture({**inputs, **padded}))

    assert padded["attention_mask"][0].tolist()[:4] == [0, 0, 0, 1]
    torch.testing.assert_close(found, vlm.run(vlm.capture(inputs)), atol=1e-4, rtol=0)


def test_rows_that_do_not_divide_among_the_prompts_are_refused() -> None:
    inputs = {"input_ids": torch.zeros(2, 4), "pixel_values": torch.zeros(5, 8)}

    with pytest.raises(MismatchError, match="'pixel_values' holds 5 rows for 2 prompts"):
        prompts(inputs)
