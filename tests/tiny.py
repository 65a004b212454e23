"""Tiny random VLMs of three families, built offline: real Hugging Face classes, every parameter randomised."""

from functools import cache

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    PreTrainedTokenizerFast,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

from diptych.models.processor import PLAIN, without_films
from diptych.models.vlm import VLM

FAMILIES = ("qwen2_vl", "llava", "gemma3")
KERNELS = ("sdpa", "eager")

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
MARKS = {
    "qwen2_vl": ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"],
    "llava": ["[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"],
    "gemma3": ["<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"],
}
FILM = "<|video_pad|>"  # Qwen2-VL's processor counts it in every prompt
IMAGE_ROLES = ("boi_token", "eoi_token", "image_token")
IMAGE_MARK = {
    "qwen2_vl": "<|vision_start|><|image_pad|><|vision_end|>",
    "llava": "[IMG]",
    "gemma3": "<start_of_image>",
}
TURN = {
    "qwen2_vl": ("<|im_start|> user ", "<|im_end|> <|im_start|> assistant "),
    "llava": ("<s> [INST] ", " [/INST] "),
    "gemma3": ("<s> <start_of_turn> user ", " <end_of_turn> <start_of_turn> model "),
}
WORDS = ["user", "assistant", "model", "How", "many", "What", "is", "the", "result", "?", "are", "there", "+", "-"]
WORDS += ["star", "stars", "circle", "circles", "square", "squares", "triangle", "triangles", "moon", "moons", "heart"]
WORDS += [str(number) for number in range(100)]

TEXT = {
    "vocab_size": 160,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _template(family: str) -> str:
    opening, closing = TURN[family]
    return (
        f"{opening}{{% for part in messages[0]['content'] %}}"
        f"{{% if part['type'] == 'image' %}}{IMAGE_MARK[family]}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
        f"{{% endfor %}}{closing}"
    )


@cache
def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A word-level tokenizer with the family's image marks and a chat template."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *MARKS[family], *WORDS, FILM])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("?", "isolated")]
    )
    found = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=MARKS[family],
        **(
            {"extra_special_tokens": dict(zip(IMAGE_ROLES, MARKS[family][2:], strict=True))}
            if family == "gemma3"
            else {}
        ),
        model_max_length=512,
    )
    found.chat_template = _template(family)
    return found


def _config(family: str) -> dict:
    ids = {mark: tokenizer(family).convert_tokens_to_ids(mark) for mark in MARKS[family]}
    if family == "qwen2_vl":
        vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "patch_size": 8, "mlp_ratio": 2}
        rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
        return {
            "text_config": TEXT | {"hidden_size": 64, "rope_parameters": rope},
            "vision_config": vision,
            "image_token_id": ids["<|image_pad|>"],
            "vision_start_token_id": ids["<|vision_start|>"],
            "vision_end_token_id": ids["<|vision_end|>"],
        }
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 8,
    }
    if family == "llava":
        return {
            "text_config": TEXT | {"model_type": "mistral", "sliding_window": None},
            "vision_config": tower | {"model_type": "pixtral", "image_size": 32, "head_dim": 16},
            "image_token_index": ids["[IMG]"],
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
        }
    return {
        "text_config": TEXT
        | {
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "query_pre_attn_scalar": 16,
        },
        "vision_config": tower | {"model_type": "siglip_vision_model", "image_size": 32},
        "mm_tokens_per_image": 4,
        "image_token_id": ids["<image_soft_token>"],
        "boi_token_index": ids["<start_of_image>"],
        "eoi_token_index": ids["<end_of_image>"],
    }


def _processor(family: str, config: object) -> object:
    words = tokenizer(family)
    if family == "qwen2_vl":
        pictures = Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, min_pixels=32 * 32, max_pixels=32 * 32)
        return without_films(Qwen2VLProcessor)(pictures, words, chat_template=words.chat_template)
    if family == "llava":
        pictures = PixtralImageProcessorPil(size={"longest_edge": 32}, patch_size={"height": 8, "width": 8})
        return PLAIN["PixtralProcessor"](pictures, words, config)
    pictures = Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    return Gemma3Processor(
        image_processor=pictures, tokenizer=words, chat_template=words.chat_template, image_seq_length=4
    )


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Give every parameter (norms, gates, biases, zero-initialised ones) a random value of a useful scale."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        scale = 0.6 if "embed_tokens" in name or "lm_head" in name else parameter.shape[-1] ** -0.5
        parameter.data = 0.3 * noise if parameter.ndim < 2 else noise * scale
        if (
            parameter.ndim < 2
            and "norm" in name
            and not name.endswith("bias")
            and "gemma" not in type(model).__name__.lower()
        ):
            parameter.data += 1


@cache
def tiny(family: str, attention: str = "sdpa", dtype: torch.dtype = torch.float32, seed: int = 0) -> VLM:
    """A random VLM of the family with 4 layers, 4 heads (2 key/value heads) of width 16 and 64 neurons."""
    config = AutoConfig.for_model(family, **_config(family))
    config._attn_implementation = attention
    model = AutoModelForImageTextToText.from_config(config, attn_implementation=attention)
    randomise(model, seed)
    return VLM(model.to(dtype), _processor(family, config), name=f"tiny/{family}", digest=f"tiny-{family}-{seed}")
