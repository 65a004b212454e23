"""Real processor classes of transformers around our small vocabulary, for the tiny random models."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from diptych.models.load import load
from diptych.models.processor import without_films
from diptych.models.random import SIDE
from diptych.models.vlm import VLM
from diptych.models.vocabulary import tokenizer

SQUARE = {"height": SIDE, "width": SIDE}
MARKS = {
    "image_token": "<image>",
    "video_token": "<video>",
    "boi_token": "<image_start>",
    "eoi_token": "<image_end>",
    "vision_start_token": "<image_start>",
    "vision_end_token": "<image_end>",
    "start_image_token": "<image_start>",
    "end_image_token": "<image_end>",
    "context_image_token": "<image>",
}


def pil(package: str, name: str, **settings: Any) -> Any:
    """The PIL image processor of a package of transformers."""
    module = import_module(f"transformers.models.{package}.image_processing_pil_{package}")
    return getattr(module, f"{name}ImageProcessorPil")(**settings)


def words(**marks: str) -> Any:
    """Our tokenizer, which tells its processor the names of its marks."""
    found = tokenizer()
    for role, mark in (MARKS | marks).items():
        setattr(found, role, mark)
        setattr(found, f"{role}_id", found.convert_tokens_to_ids(mark))
    return found


def real(
    package: str, name: str, pictures: Any, tokens: Any = None, template: str | None = None, **settings: Any
) -> Any:
    """A processor class of transformers; where it wants torchvision for films, the same without films."""
    cls = getattr(import_module(f"transformers.models.{package}.processing_{package}"), f"{name}Processor")
    tokens = tokens or words()
    return without_films(cls)(
        image_processor=pictures, tokenizer=tokens, chat_template=template or tokens.chat_template, **settings
    )


CHAT = tokenizer().chat_template
BARE = CHAT.replace("<image_start><image><image_end>", "<image>")
PIXELS = SIDE**2
CLIP = {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}
LLAVA = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}


def _paligemma(config: Any) -> Any:
    pictures = pil("siglip", "Siglip", size=SQUARE)
    pictures.image_seq_length = 16
    return real("paligemma", "PaliGemma", pictures, template=BARE.replace("<s> user ", ""))  # pictures come first


def _aya_vision(config: Any) -> Any:
    marks = {"image_token": "<video>", "img_patch_token": "<image>"}
    marks |= {"start_of_img_token": "<image_start>", "end_of_img_token": "<image_end>"}
    marks |= {"tile_token": "<image_break>", "tile_global_token": "<image_break>"}
    sizes = {"patch_size": 8, "img_size": SIDE, "downsample_factor": 2}
    template = BARE.replace("<image>", "<video>")
    return real("aya_vision", "AyaVision", pil("got_ocr2", "GotOcr2", size=SQUARE), template=template, **marks, **sizes)


REAL: dict[str, Callable[[Any], Any]] = {
    "gemma3": lambda config: real(
        "gemma3",
        "Gemma3",
        pil("gemma3", "Gemma3", size=SQUARE),
        template=BARE.replace("<image>", "<image_start>"),
        image_seq_length=4,
    ),
    "llava": lambda config: real("llava", "Llava", pil("llava", "Llava", **CLIP), template=BARE, **LLAVA),
    "llava_next": lambda config: real(
        "llava_next",
        "LlavaNext",
        pil("llava_next", "LlavaNext", **CLIP, image_grid_pinpoints=config.image_grid_pinpoints),
        template=BARE,
        **LLAVA,
    ),
    "idefics3": lambda config: real(
        "idefics3",
        "Idefics3",
        pil("idefics3", "Idefics3", size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}),
        template=BARE,
        image_seq_len=4,
    ),
    "mllama": lambda config: real(
        "mllama",
        "Mllama",
        pil("mllama", "Mllama", size=SQUARE, max_image_tiles=config.vision_config.max_num_tiles),
        template=BARE,
    ),
    "paligemma": _paligemma,
    "aya_vision": _aya_vision,
    "qwen2_vl": lambda config: real(
        "qwen2_vl", "Qwen2VL", pil("qwen2_vl", "Qwen2VL", patch_size=8, min_pixels=PIXELS, max_pixels=PIXELS)
    ),
    "qwen3_vl": lambda config: real(
        "qwen3_vl", "Qwen3VL", pil("qwen2_vl", "Qwen2VL", patch_size=8, min_pixels=PIXELS, max_pixels=PIXELS)
    ),
    "glm4v": lambda config: real(
        "glm4v",
        "Glm4v",
        pil("glm4v", "Glm4v", patch_size=8, size={"shortest_edge": PIXELS, "longest_edge": PIXELS}),
    ),
    "internvl": lambda config: real(
        "internvl", "InternVL", pil("got_ocr2", "GotOcr2", size=SQUARE), template=BARE, image_seq_length=1
    ),
}
"""Architecture → its real processor, for the tiny random model of this configuration."""


def with_real_processor(architecture: str) -> VLM:
    """The tiny random model of an architecture behind its real processor."""
    model = load(f"random:{architecture}", verify=False).model
    return VLM(model, REAL[architecture](model.config), name=architecture, digest=architecture)
