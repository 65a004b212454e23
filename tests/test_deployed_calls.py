"""Calls of a back-patched model: which are patched, which are left alone, which are refused, and what is left behind."""

import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from diptych import BackPatch
from diptych.errors import InputError, UnsupportedModel
from diptych.models.encode import collate
from diptych.models.hooks import hooks
from diptych.models.vlm import VLM
from test_deployed import placed, prompts
from test_generate import hooks_of
from tiny import tiny
from zoo import QUIET, fresh
from zoo import tiny as random_model


@pytest.fixture
def plain() -> Iterator[VLM]:
    """A model that has no hook before and after."""
    vlm = tiny("llava")
    assert not hooks_of(vlm.sites.decoder)
    yield vlm
    assert not hooks_of(vlm.sites.decoder) and not any(
        module._forward_pre_hooks for module in (vlm.model, vlm.model.model)
    )


def test_apply_lasts_until_it_is_removed_once_or_twice(plain: VLM) -> None:
    call = plain.capture(collate(prompts(plain)))
    before = plain.run(call)

    applied = BackPatch(2, 0).apply(plain.model)
    patched = plain.run(call)
    applied.remove()
    applied.remove()

    assert torch.equal(plain.run(call), before) and not torch.equal(patched, before)


@pytest.mark.parametrize(
    ("where", "calls"), [("in the first pass", 1), ("in the second pass", 2), ("in a later step", 3), ("outside", 3)]
)
def test_an_error_leaves_no_hook(plain: VLM, where: str, calls: int) -> None:
    seen: list[int] = []

    def fail(*_: Any) -> None:
        seen.append(0)
        if len(seen) == calls and where != "outside":
            raise RuntimeError("on purpose")

    def work() -> None:
        with BackPatch(2, 0).apply(plain.model), hooks(plain.layers[1].register_forward_hook(fail)):
            plain.model.generate(**placed(plain, prompts(plain)), max_new_tokens=2)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        work()
    assert len(seen) == calls


def test_a_second_patch_on_one_model_is_refused_and_the_first_stays(plain: VLM) -> None:
    call = plain.capture(collate(prompts(plain)))

    with BackPatch(2, 0).apply(plain.model):
        patched = plain.run(call)
        with pytest.raises(InputError, match="is back-patched already"):
            BackPatch(3, 1).apply(plain.model)
        assert torch.equal(plain.run(call), patched)


def test_a_picture_behind_a_cached_beginning_is_refused(plain: VLM) -> None:
    inputs = placed(plain, prompts(plain, 1))
    whole, cache = inputs.pop("input_ids"), DynamicCache()
    del inputs["attention_mask"]

    with BackPatch(2, 0).apply(plain.model):
        plain.model(whole[:, :1], past_key_values=cache)
        with pytest.raises(InputError, match="behind 1 others that are cached"):
            plain.model(whole[:, 1:], **inputs, past_key_values=cache)


def test_a_prompt_in_chunks_behind_its_pictures_is_patched_as_in_one_piece(plain: VLM) -> None:
    some = prompts(plain, 1)
    inputs, cache = placed(plain, some), DynamicCache()
    whole, stop = inputs.pop("input_ids"), some[0].layout.data.stop
    del inputs["attention_mask"]

    with BackPatch(2, 0).apply(plain.model), torch.no_grad():
        expected = plain.model(whole, **inputs).logits[:, stop:]
        plain.model(whole[:, :stop], **inputs, past_key_values=cache)
        found = plain.model(whole[:, stop:], past_key_values=cache).logits

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_embeddings_without_their_tokens_are_refused(plain: VLM) -> None:
    embeddings = torch.zeros(1, 4, 48)

    with BackPatch(2, 0).apply(plain.model), pytest.raises(InputError, match="finds pictures by their tokens"):
        plain.model(inputs_embeds=embeddings)


def test_the_tokens_of_one_call_are_not_taken_for_those_of_the_next(plain: VLM) -> None:
    inputs = placed(plain, prompts(plain, 1))
    embeddings = torch.zeros(*inputs["input_ids"].shape, 48)

    with BackPatch(2, 0).apply(plain.model):
        plain.model(**inputs)
        with pytest.raises(InputError, match="finds pictures by their tokens"):
            plain.model.model.language_model(inputs_embeds=embeddings)


@QUIET
def test_models_that_cannot_be_patched_rightly_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="names no image token"):
        BackPatch(2, 0).apply(random_model("kosmos-2").model)
    blip = random_model("blip-2")
    with BackPatch(1, 0).apply(blip.model), pytest.raises(InputError, match="as BLIP-2's, cannot be patched"):
        blip.model.generate(**placed(blip, prompts(blip, 1)), max_new_tokens=1)
    several = random_model("gemma3n")
    with BackPatch(2, 0).apply(several.model), pytest.raises(UnsupportedModel, match="can be neither recorded nor"):
        several.model(**placed(several, prompts(several, 1)))


def test_a_compiled_model_and_one_in_training_are_refused() -> None:
    model = fresh("llava").model
    compiled = torch.compile(model.model.language_model.layers[1], backend="eager")
    own = model.model.language_model.layers[1]

    model.model.language_model.layers[1] = compiled
    try:
        with pytest.raises(UnsupportedModel, match="is compiled"):
            BackPatch(2, 0).apply(model)
    finally:
        model.model.language_model.layers[1] = own
    model.train()
    try:
        with pytest.raises(InputError, match="is in training mode"):
            BackPatch(2, 0).apply(model)
    finally:
        model.eval()


def test_threads_that_share_a_patched_model_write_what_they_write_alone(plain: VLM) -> None:
    inputs = [placed(plain, [prompt]) for prompt in prompts(plain, 2)]
    found: dict[tuple[int, int], torch.Tensor] = {}

    @torch.no_grad()
    def run(number: int, *times: int) -> None:
        for time in times:
            found[number, time] = plain.model(**inputs[number]).logits

    with BackPatch(2, 0).apply(plain.model):
        for number in range(2):
            run(number, 0)
        threads = [threading.Thread(target=run, args=(number, *range(1, 6))) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(found) == 12 and not torch.equal(found[0, 0], found[1, 0])
    assert all(torch.equal(logits, found[number, 0]) for (number, _), logits in found.items())


def test_image_tokens_that_are_only_written_are_no_picture(plain: VLM) -> None:
    inputs, cache = placed(plain, prompts(plain, 1)), DynamicCache()
    again = inputs["input_ids"][:, :6]  # as candidates that are looked up in the prompt
    held = plain.image_positions({"input_ids": again})

    with BackPatch(2, 0).apply(plain.model), torch.no_grad():
        plain.model(**inputs, past_key_values=cache)
        found = plain.model(again, past_key_values=deepcopy(cache)).logits
    with torch.no_grad():
        expected = plain.model(again, past_key_values=cache).logits

    assert held.any() and torch.equal(found, expected)


def test_a_patched_model_is_not_copied(plain: VLM) -> None:
    with BackPatch(2, 0).apply(plain.model), pytest.raises(InputError, match="model cannot be copied: the copy would"):
        deepcopy(plain.model)

    assert deepcopy(plain.model).config == plain.model.config
