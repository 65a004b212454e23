"""Prompts: an item in one panel as the model receives it, through its own chat template (methods §2)."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diptych.alignment import Shape
from diptych.batch import Inputs
from diptych.errors import InputError
from diptych.items import Item, Modality
from diptych.layout import Layout, segment_of
from diptych.locate import image_layout, name_parts, text_layout
from diptych.models.chat import Content, locate, render, require_plain
from diptych.models.parts import picture_parts, query_parts, text_parts
from diptych.models.pixels import fitted, keeps_budget
from diptych.models.processor import first_line
from diptych.models.vlm import VLM

PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


@dataclass(frozen=True, eq=False)
class Prompt:
    """One item in one panel as the model receives it: tensors of batch 1, and which positions are what."""

    item: Item
    inputs: Inputs
    layout: Layout

    @property
    def tokens(self) -> Tensor:
        return self.inputs["input_ids"][0]

    @property
    def form(self) -> int:
        """A number that differs if pictures differ in shape or grid: such prompts share no batch and no contrast."""
        other = sorted((name, value) for name, value in self.inputs.items() if name not in PER_TOKEN)
        said = [(name, value.shape, value.tolist() if not value.is_floating_point() else "") for name, value in other]
        return zlib.crc32(repr(said).encode())

    @property
    def shape(self) -> Shape:
        """Prompts of one shape can share a batch, and a contrast."""
        return self.layout, self.form


def encode_item(vlm: VLM, item: Item, modality: Modality) -> Prompt:
    """The prompt of one panel: image first, then text, one user turn, generation prompt added.

    One that was made lately of the same item is given again: processors take long over pictures.
    """
    encode = _encode_text if modality == "text" else _encode_image
    # a prompt holds its item, so that no other gets its id while the prompt is kept
    key = (id(item), modality, vlm.pixels, vlm.system, id(vlm.processor))
    found: Prompt = vlm.prompts.get(key, lambda: encode(vlm, item), _bytes)
    return found


def _bytes(prompt: Prompt) -> int:
    return sum(value.nbytes for value in prompt.inputs.values())


def tokenizer_of(vlm: VLM) -> Any:
    """The tokenizer inside the processor."""
    return vlm.processor.tokenizer


def collate(prompts: Sequence[Prompt]) -> Inputs:
    """The tensors of prompts of one form, one prompt behind the other along dimension 0, as `VLM.capture` takes them.

    A model may want them otherwise: it is given one prompt at a time.
    """
    return {name: torch.cat([prompt.inputs[name] for prompt in prompts]) for name in prompts[0].inputs}


def by_shape(prompts: Sequence[Prompt]) -> list[list[int]]:
    """The places of the prompts of each shape, in the order in which shapes first come."""
    places: dict[Shape, list[int]] = {}
    for place, prompt in enumerate(prompts):
        places.setdefault(prompt.shape, []).append(place)
    return list(places.values())


def _encode_text(vlm: VLM, item: Item) -> Prompt:
    assert item.text is not None  # a contrast has its panel
    content, offset = item.wording
    rendered = _render(vlm, item, [{"type": "text", "text": content}])
    places = locate(rendered, content)
    if places is None:
        raise InputError(
            f"The chat template of {vlm.name} changes the text of item '{item.id}': its words are not in the prompt. "
            f"Expected a template that changes white space alone."
        )
    inputs = _process(vlm, item, rendered, [])
    found = _offsets(vlm, rendered)
    if found["input_ids"] != inputs["input_ids"][0].tolist():
        raise InputError(
            f"The processor of {vlm.name} tokenises text differently from its tokenizer, so the data cannot be located."
        )
    start, stop = offset, offset + len(item.text)
    where = {"data": places[start : stop + 1]} | ({} if item.sentence else {"query": places[stop + 1 :]})
    layout = text_layout(found["offset_mapping"], (places[start], places[stop]))
    return Prompt(item, inputs, name_parts(layout, text_parts(item, found["offset_mapping"], where)))


def _encode_image(vlm: VLM, item: Item) -> Prompt:
    """Pictures first, in their order; the data reaches from the first image token to the last."""
    pictures = [picture.open() for picture in item.pictures]
    if vlm.pixels is not None and not keeps_budget(vlm.processor):
        pictures = [fitted(picture, vlm.pixels) for picture in pictures]
    rendered = _render(vlm, item, [{"type": "image"}] * len(pictures) + [{"type": "text", "text": item.query}])
    inputs = _process(vlm, item, rendered, pictures)
    places = vlm.image_positions(inputs)[0].nonzero().flatten().tolist()
    if not places:
        raise InputError(
            f"The prompt of item '{item.id}' has no position that holds its picture. The processor or the chat template "
            f"dropped it: an image token must be in the prompt."
        )
    parts = picture_parts(item, places, inputs)
    if any(segment_of(name) == "query" for name, _, _ in item.spans):
        parts |= query_parts(item, rendered, _offsets(vlm, rendered), inputs["input_ids"][0].tolist())
    return Prompt(item, inputs, name_parts(image_layout(places, inputs["input_ids"].shape[1]), parts))


def _offsets(vlm: VLM, rendered: str) -> Any:
    """Token ids of a rendered prompt, pictures not expanded, and the characters of each."""
    return tokenizer_of(vlm)(rendered, add_special_tokens=_special(vlm, rendered), return_offsets_mapping=True)


def _render(vlm: VLM, item: Item, content: Content) -> str:
    for part in content:
        require_plain(vlm.processor, vlm.name, f"text of item '{item.id}'", part.get("text", ""))
    return render(vlm.processor, vlm.name, content, vlm.system)


def _process(vlm: VLM, item: Item, rendered: str, pictures: list[Any]) -> Inputs:
    given = {"images": pictures} if pictures else {}
    try:
        found = vlm.processor(text=[rendered], return_tensors="pt", add_special_tokens=_special(vlm, rendered), **given)
    except (ValueError, TypeError, IndexError, StopIteration) as error:
        raise InputError(
            f"The processor of {vlm.name} refuses the prompt of item '{item.id}' with {len(pictures)} pictures: "
            f"{first_line(error)} Expected one place per picture in what the chat template writes."
        ) from error
    # PaliGemma's processor adds labels for training, with which the model wants logits of all positions
    return {name: value for name, value in found.items() if isinstance(value, Tensor) and name != "labels"}


def _special(vlm: VLM, rendered: str) -> bool:
    """Whether the tokenizer still has to add its special tokens: not if the template wrote the first one."""
    opening = tokenizer_of(vlm).bos_token
    return opening is not None and not rendered.startswith(opening)
