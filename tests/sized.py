"""A tiny model that keeps pictures of three sizes as they are, and items whose prompts have several lengths."""

from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

from diptych.items import Contrast, Drawing, Item
from diptych.models.processor import without_films
from diptych.models.vlm import VLM
from tiny import tiny, tokenizer

NAMES = ["star", "moon heart", "circle star moon", "square", "heart circle", "triangle moon star"]
SIZES = [(32, 32), (32, 64), (64, 32)]
"""Height and width of pictures: 4, 8 and 8 positions."""


@cache
def sized(dtype: torch.dtype = torch.float32) -> VLM:
    """The tiny Qwen2-VL with a processor that keeps pictures of up to 64 × 64 pixels as large as they are."""
    vlm = tiny("qwen2_vl", dtype=dtype)
    pictures = Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, min_pixels=32 * 32, max_pixels=64 * 64)
    words = tokenizer("qwen2_vl")
    processor = without_films(Qwen2VLProcessor)(pictures, words, chat_template=words.chat_template)
    return VLM(vlm.model, processor, name="tiny/sized", digest=vlm.digest)


def noise(seed: int, height: int, width: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def item(number: int, **fields: Any) -> Item:
    """A name of one to three tokens and a picture of one of three sizes."""
    height, width = SIZES[number % 3]
    picture = Drawing(noise, {"seed": number, "height": height, "width": width})
    text = f"{NAMES[number % 6]} {number}"
    return Item(f"i{number}", text, picture, "How many stars are there ?", str(number // 6 % 2), **fields)


def contrasts(modality: str, count: int = 6) -> list[Contrast]:
    """Prompts of three lengths; each counterfactual has its clean prompt's."""
    return [Contrast(modality, item(n), item(n + 6)) for n in range(count)]  # type: ignore[arg-type]
