"""Prompts as real models make them: system prompts, trimmed white space, several pictures, marks that do not belong."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from diptych.attribution.ap import ap
from diptych.errors import InputError
from diptych.experiments._text import model_facts
from diptych.items import Contrast, Item, Task
from diptych.models.chat import locate
from diptych.models.encode import Prompt, encode, encode_item
from diptych.models.vlm import VLM
from prompts import Noise, answers, item
from tiny import FAMILIES, tiny


def with_template(family: str, change: Callable[[str], str], **fields: Any) -> VLM:
    """A handle of its own on the tiny model, with another chat template."""
    shared = tiny(family)
    processor = copy.copy(shared.processor)
    object.__setattr__(processor, "tokenizer", copy.copy(shared.processor.tokenizer))
    template = change(processor.tokenizer.chat_template)
    processor.tokenizer.chat_template = template
    if hasattr(processor, "chat_template"):
        processor.chat_template = template
    return VLM(shared.model, processor, shared.name, digest=shared.digest, **fields)


def with_system(template: str) -> str:
    """The family's template behind an optional system turn, with a default of its own, as Qwen's has."""
    opening, _, rest = template.partition("{%")
    body = "{%" + rest.replace("messages[0]", "messages[-1]")
    turn = "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'][0]['text'] }}{% else %}result is 7{% endif %} "
    bos, _, after = opening.rpartition("<s> ")
    return f"{bos}<s> {turn}{after}{body}" if "<s>" in opening else turn + opening + body


def words(vlm: VLM, prompt: Prompt, segment: str) -> list[str]:
    positions = getattr(prompt.layout, segment)
    return vlm.processor.tokenizer.convert_ids_to_tokens(prompt.tokens[positions].tolist())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("system", [None, "How many stars are there ?"])
def test_a_system_prompt_is_prefix_whether_the_templates_own_or_the_users(family: str, system: str | None) -> None:
    vlm, plain = with_template(family, with_system, system=system), tiny(family)
    expected = (system or "result is 7").split()

    for modality in ("text", "image"):
        prompt, without = encode_item(vlm, item(3), modality), encode_item(plain, item(3), modality)
        prefix = words(vlm, prompt, "prefix")
        assert [word for word in prefix if word in expected][: len(expected)] == expected
        assert words(vlm, prompt, "data") == words(plain, without, "data")
        assert words(vlm, prompt, "query") == words(plain, without, "query")


def test_a_system_prompt_is_recorded_with_every_result() -> None:
    vlm = with_template("qwen2_vl", with_system, system="What is the result ?")

    assert model_facts(vlm)["system prompt"] == "What is the result ?"
    assert model_facts(tiny("qwen2_vl"))["system prompt"] == "the template's own"


def test_a_template_that_takes_its_system_prompt_as_plain_text_gets_it_so() -> None:
    vlm = with_template(
        "qwen2_vl", lambda template: with_system(template).replace("[0]['text']", "", 1), system="result is 9"
    )

    rendered = words(vlm, encode_item(vlm, item(3), "text"), "prefix")

    assert rendered[:3] == ["result", "is", "9"]


def test_a_template_that_drops_the_system_prompt_is_refused() -> None:
    vlm = with_template("qwen2_vl", lambda template: template.replace("[0]", "[-1]", 1), system="result is 9")

    with pytest.raises(InputError, match="takes no system prompt: 'result is 9' is not in what it writes"):
        encode_item(vlm, item(3), "text")


def test_a_template_that_raises_an_error_is_quoted() -> None:
    vlm = with_template(
        "qwen2_vl",
        lambda template: "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system here') }}{% endif %}",
        system="result is 9",
    )

    with pytest.raises(InputError, match="refuses the turn: No system here. Leave `system` out"):
        encode_item(vlm, item(3), "text")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("change", ["| trim", "| replace('\\n', '  ')", "| replace(' ', '  \\n')"])
def test_the_data_is_found_where_a_template_trims_or_stretches_white_space(family: str, change: str) -> None:
    vlm, plain = with_template(family, lambda t: t.replace("part['text']", f"part['text'] {change}")), tiny(family)
    wide = replace(item(3), text=f"  {item(3).text} \n", query=f"{item(3).query}  ")

    prompt, expected = encode_item(vlm, wide, "text"), encode_item(plain, item(3), "text")

    assert words(vlm, prompt, "data") == words(plain, expected, "data")
    assert prompt.layout == expected.layout


def test_a_template_that_changes_more_than_white_space_is_refused() -> None:
    vlm = with_template("qwen2_vl", lambda template: template.replace("part['text']", "part['text'] | upper"))

    with pytest.raises(InputError, match="changes the text of item 'item-3': its words are not in the prompt"):
        encode_item(vlm, item(3), "text")


def test_each_character_is_placed_and_the_last_occurrence_counts() -> None:
    rendered = "7 8 is it? <user> 7  8\nis it? <end>"

    places = locate(rendered, " 7 8\nis it? ")

    assert places is not None
    assert rendered[places[1] : places[4]] == "7  8"
    assert rendered[places[5] : places[-1]] == "is it?"
    assert rendered[: places[0]].endswith("<user> ")
    assert locate(rendered, "7 9") is None


@pytest.mark.parametrize("family", FAMILIES)
def test_several_pictures_are_data_from_the_first_to_the_last_and_all_are_read(family: str) -> None:
    vlm = tiny(family)

    def pair(*seeds: str) -> Item:
        return Item("pair" + "".join(seeds), None, tuple(map(Noise, seeds)), "How many stars are there ?", seeds[-1])

    one, two = encode_item(vlm, replace(item(3), image=Noise("1")), "image"), encode_item(vlm, pair("1", "2"), "image")
    token = vlm.model.config.image_token_id
    places = (two.tokens == token).nonzero().flatten()
    logits = {
        seeds: vlm.run(vlm.capture(encode_item(vlm, pair(*seeds), "image").inputs))
        for seeds in (("1", "2"), ("3", "2"), ("1", "3"))
    }

    assert int((two.tokens == token).sum()) == 2 * int((one.tokens == token).sum())
    assert (two.layout.data.start, two.layout.data.stop) == (int(places[0]), int(places[-1]) + 1)
    assert not torch.equal(logits["1", "2"], logits["3", "2"])
    assert not torch.equal(logits["1", "2"], logits["1", "3"])


@pytest.mark.parametrize("family", FAMILIES)
def test_contrasts_of_several_pictures_are_batched_and_scored_as_single_ones(family: str) -> None:
    vlm = tiny(family)
    items = [
        Item(f"i{n}", None, (Noise(f"{n}a"), Noise(f"{n}b")), "How many stars are there ?", str(n)) for n in range(4)
    ]
    contrasts = [Contrast("image", items[n], items[n + 2]) for n in range(2)]

    together, alone = (encode(vlm, contrasts, answers(vlm), batch_size=size).batches for size in (2, 1))
    scores = [ap(vlm, batch).scores for batch in (*together, *alone)]

    assert scores[0].heads.abs().max() > 0
    torch.testing.assert_close(scores[0].heads, (scores[1].heads + scores[2].heads) / 2, rtol=1e-3, atol=1e-5)


def test_several_pictures_change_the_digest_of_a_task() -> None:
    def task(*pictures: Noise) -> Task:
        return Task("t", 1, (replace(item(3), image=pictures),), ("3",))

    assert (
        len({task(Noise("1")).digest(), task(Noise("1"), Noise("2")).digest(), task(Noise("2"), Noise("1")).digest()})
        == 3
    )


def test_an_image_panel_of_no_pictures_is_refused() -> None:
    with pytest.raises(InputError, match="Item 'item-3' has an image panel of no pictures"):
        replace(item(3), image=())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("where", ["text", "query"])
def test_a_text_that_holds_a_mark_of_a_picture_is_refused(family: str, where: str) -> None:
    vlm = tiny(family)
    mark = {"qwen2_vl": "<|image_pad|>", "llava": "[IMG]", "gemma3": "<start_of_image>"}[family]

    with pytest.raises(InputError, match="item 'item-3' holds .* a special token of tiny"):
        encode_item(vlm, replace(item(3), **{where: f"stars {mark} ?"}), "text")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_template_with_fewer_places_than_pictures_is_refused(family: str) -> None:
    vlm = with_template(family, lambda template: template.replace("part['type'] == 'image'", "false"))

    with pytest.raises(InputError, match="pictures"):
        encode_item(vlm, item(3), "image")
