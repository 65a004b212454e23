"""Pools: an organism's training items as tensors, in exactly the form in which it will meet the shipped ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, UInt8
from PIL import Image
from torch import Tensor

from diptych.items import Item, Modality
from diptych.models.organism_families import BICUBIC, PIXELS, Family
from diptych.models.organism_sources import readings


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts with their answers and the end, padded on the right; `asked` marks tokens that the model should predict."""

    ids: Int[Tensor, "item pos"]
    asked: Bool[Tensor, "item pos"]

    def __getitem__(self, rows: Tensor) -> "Prompts":
        """Some rows, without columns that only hold padding."""
        width = int(self.asked[rows].any(0).nonzero().max()) + 1
        return Prompts(self.ids[rows, :width], self.asked[rows, :width])


def join(prompts: list[Prompts], padding: int) -> Prompts:
    """Prompts of several tasks as one batch, in their order."""
    width = max(some.ids.shape[1] for some in prompts)
    ids = [F.pad(some.ids, (0, width - some.ids.shape[1]), value=padding) for some in prompts]
    asked = [F.pad(some.asked, (0, width - some.asked.shape[1])) for some in prompts]
    return Prompts(torch.cat(ids), torch.cat(asked))


@dataclass(frozen=True, eq=False)
class Pool:
    """Training items of one task, in text and in pictures; not the same ones."""

    text: Prompts
    image: Prompts
    read: Int[Tensor, "item token"]  # which phrase each image token should read, row by row
    pixels: UInt8[Tensor, "item channel row column"]


def prompt(tokenizer: Any, family: Family, item: Item, modality: Modality) -> list[int]:
    """Token ids of the item's prompt: one user turn, the image first, up to where the answer is predicted."""
    picture = [{"type": "image"}, {"type": "text", "text": item.query}]
    content = [{"type": "text", "text": f"{item.text}\n{item.query}"}] if modality == "text" else picture
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    return list(tokenizer(str(chat).replace(family.image, family.expanded), add_special_tokens=False)["input_ids"])


def build_pool(
    items: dict[Modality, list[Item]], pixels: Tensor, tokenizer: Any, family: Family, phrases: list[str]
) -> Pool:
    """Tokenise items of one task once; `pixels` are the pictures, `phrases` all that image tokens may read."""
    number = {phrase: index for index, phrase in enumerate(phrases)}
    return Pool(
        text=_prompts(tokenizer, family, items["text"], "text"),
        image=_prompts(tokenizer, family, items["image"], "image"),
        read=torch.tensor([[number[phrase] for phrase in readings(item, family.rows)] for item in items["image"]]),
        pixels=pixels,
    )


def pixels_of(item: Item) -> UInt8[Tensor, "channel row column"]:
    """The picture as every family's image processor has it before normalisation."""
    small = item.pictures[0].open().resize((PIXELS, PIXELS), Image.Resampling(BICUBIC))
    return torch.from_numpy(np.asarray(small).transpose(2, 0, 1).copy())


def normalise(pixels: UInt8[Tensor, "batch channel row column"], processor: Any) -> Tensor:
    """Pixels as the model expects them: rescaled to [0, 1] and standardised per colour channel."""
    mean, deviation = (
        torch.tensor(values, device=pixels.device)[:, None, None]
        for values in (processor.image_mean, processor.image_std)
    )
    return (pixels * processor.rescale_factor - mean) / deviation


def _prompts(tokenizer: Any, family: Family, items: list[Item], modality: Modality) -> Prompts:
    cache: dict[str, list[int]] = {}
    rows = []
    for item in items:
        key = f"{item.text if modality == 'text' else ''}\n{item.query}"
        if key not in cache:
            cache[key] = prompt(tokenizer, family, item, modality)
        answer = tokenizer(item.answer, add_special_tokens=False)["input_ids"]
        rows.append((cache[key], [*answer, tokenizer.eos_token_id]))
    width = max(len(asking) + len(answer) for asking, answer in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    asked = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, (asking, answer) in enumerate(rows):
        ids[row, : len(asking) + len(answer)] = torch.tensor(asking + answer)
        asked[row, len(asking) : len(asking) + len(answer)] = True
    return Prompts(ids, asked)
