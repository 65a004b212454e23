"""Generation: greedy, equal in batches and alone, with edits that are open while the prompts are read."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from transformers import DynamicCache

import diptych
from diptych.errors import InputError
from diptych.interventions import patch_residuals
from diptych.items import MODALITIES, Modality
from diptych.models.encode import Prompt, collate, encode_item
from diptych.models.generate import by_shape, generate, generate_tokens
from diptych.models.handed import edit_handed
from diptych.models.vlm import VLM
from prompts import item
from tiny import tiny
from zoo import QUIET
from zoo import tiny as random_model

QUERY = "How many stars are there? Answer with a number."
SEVERAL = ("aria", "gemma3", "internvl", "llava+pixtral", "mllama", "qwen2_vl", "qwen3_vl", "smolvlm")
ALONE = ("minicpmv4_6", "molmo2")
"""Read two pictures at once as one, or refuse."""


def prompts(vlm: VLM, modality: Modality = "image", count: int = 3) -> list[Prompt]:
    return [encode_item(vlm, item(number, QUERY), modality) for number in range(count)]


def hooks_of(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m)]


@QUIET
@pytest.mark.parametrize("name", [*SEVERAL, *ALONE])
@pytest.mark.parametrize("modality", MODALITIES)
def test_prompts_generated_together_are_those_generated_one_by_one(name: str, modality: Modality) -> None:
    vlm = random_model(name)
    every = prompts(vlm, modality)

    together = generate_tokens(vlm, every, max_new_tokens=4)
    apart = [generate_tokens(vlm, [prompt], max_new_tokens=4)[0] for prompt in every]

    assert together == apart and any(together)


@QUIET
@pytest.mark.parametrize("name", [*SEVERAL, *ALONE])
def test_a_model_that_mixes_the_pictures_of_a_batch_is_known(name: str) -> None:
    vlm = random_model(name)

    assert vlm.stacks(prompts(vlm)[0].inputs) == (name not in ALONE)


@QUIET
@pytest.mark.parametrize("name", SEVERAL)
def test_the_first_token_is_the_likeliest_of_a_run(name: str) -> None:
    vlm = random_model(name)
    every = prompts(vlm)

    likeliest = vlm.run(vlm.capture(collate(every))).argmax(-1).tolist()

    assert [tokens[0] for tokens in generate_tokens(vlm, every, max_new_tokens=1)] == likeliest


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@torch.no_grad()
def test_edits_act_while_the_prompt_is_read_and_later_through_the_cache_alone(kernel: str) -> None:
    vlm = tiny("llava", kernel)
    every = prompts(vlm)
    donor = torch.randn(3, len(every[0].tokens), 48, generator=torch.Generator().manual_seed(0))

    def edits(places: Sequence[int]) -> AbstractContextManager[None]:
        return patch_residuals(vlm, every[0].layout.data, {1: donor[list(places)]})

    inputs, cache = {name: vlm.place(value) for name, value in collate(every).items()}, DynamicCache()
    with edits(range(3)):
        tokens = [vlm.model(**inputs, past_key_values=cache).logits[:, -1].argmax(-1)]
    for _ in range(3):
        tokens.append(vlm.model(tokens[-1][:, None], past_key_values=cache).logits[:, -1].argmax(-1))
    by_hand = torch.stack(tokens, 1).tolist()

    assert generate_tokens(vlm, every, max_new_tokens=4, edits=edits) == by_hand
    assert generate_tokens(vlm, every, max_new_tokens=4, edits=edits, batch_size=2) == by_hand
    assert generate_tokens(vlm, every, max_new_tokens=4) != by_hand


def test_every_token_after_the_first_is_written_without_edits() -> None:
    vlm = tiny("llava")
    seen = []

    def look(live: torch.Tensor) -> torch.Tensor:
        seen.append(live.shape[1])
        return live

    written = generate_tokens(
        vlm, prompts(vlm), max_new_tokens=3, edits=lambda places: edit_handed(vlm.layers, {1: look})
    )

    assert min(map(len, written)) == 3 and seen == [len(prompts(vlm)[0].tokens)]


def test_a_run_that_skips_layers_cannot_be_gone_on_with() -> None:
    vlm = tiny("llava")
    residual = torch.zeros(1, len(prompts(vlm)[0].tokens), 48)

    with pytest.raises(InputError, match="replace what layer 0 computes, as `vlm.resume` does"):
        generate_tokens(vlm, prompts(vlm, count=1), edits=lambda places: vlm.resume(2, residual))

    assert not hooks_of(vlm.sites.decoder)


def test_an_error_leaves_no_hook_and_the_model_s_own_settings() -> None:
    vlm = tiny("llava")
    own = vlm.model.generation_config

    def fail(live: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        generate_tokens(vlm, prompts(vlm, count=1), edits=lambda places: edit_handed(vlm.layers, {1: fail}))

    assert not hooks_of(vlm.sites.decoder) and vlm.model.generation_config is own


def test_the_checkpoint_s_settings_but_its_end_tokens_are_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = tiny("llava")
    plain = generate_tokens(vlm, prompts(vlm), max_new_tokens=5)
    settings = vlm.model.generation_config
    for name, value in {"repetition_penalty": 5.0, "do_sample": True, "temperature": 9.0, "num_beams": 2}.items():
        monkeypatch.setattr(settings, name, value)

    assert generate_tokens(vlm, prompts(vlm), max_new_tokens=5) == plain

    third = plain[0][2]
    monkeypatch.setattr(settings, "eos_token_id", [third, 2])
    assert generate_tokens(vlm, prompts(vlm), max_new_tokens=5)[0] == plain[0][: plain[0].index(third)]


def test_prompts_of_several_shapes_keep_their_order_and_each_batch_its_places() -> None:
    vlm = tiny("qwen2_vl")
    every = [encode_item(vlm, item(n), m) for n, m in enumerate(["text", "image", "text", "image"])]
    given = []

    def edits(places: Sequence[int]) -> AbstractContextManager[None]:
        given.append(list(places))
        return nullcontext()

    together = generate_tokens(vlm, every, max_new_tokens=3, edits=edits)

    assert given == [[0, 2], [1, 3]] == by_shape(every)
    assert together == [generate_tokens(vlm, [prompt], max_new_tokens=3)[0] for prompt in every]


def test_the_organism_s_answers_are_words_without_marks() -> None:
    vlm = diptych.load("organism/qwen2vl", verify=False)
    items = diptych.make_task("counting", per_split=4).split("test")

    written = generate(vlm, [encode_item(vlm, one, "image") for one in items], max_new_tokens=4)

    assert sum(text == one.answer for text, one in zip(written, items, strict=True)) >= 0.5 * len(items)
