"""The families that organisms come in: real Hugging Face classes, tiny, with their own tokens, template and tower."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PixtralImageProcessorPil,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from diptych.models import organism_towers as towers

PIXELS = 112  # the side of a picture inside a model
BICUBIC = 3
Pixels = Float[Tensor, "batch channel row column"]
Features = Float[Tensor, "batch token width"]


@dataclass(frozen=True)
class Family:
    """What differs between families; everything else about an organism is shared.

    `tokens`: special tokens by the tokenizer's names for them. `template`: the chat, with `{image}` where a picture goes
    (`image`), which becomes `expanded` in the prompt. `see` is the tower with its projector on a batch; `think` the
    decoder on embedded tokens; `tower`: how the names of the tower's parameters begin; `processor`: what its class must know.
    """

    build: Any
    configure: Callable[[Callable[[str], int], int, int], Any]
    image_processor: Callable[[], Any]
    tokens: dict[str, str]
    other_tokens: tuple[str, ...]
    template: str
    image: str
    expanded: str
    see: Callable[[Any, Pixels], Features]
    think: Callable[[Any, Tensor, Int[Tensor, "batch pos"]], Tensor]
    tower: tuple[str, ...]
    processor: dict[str, Any]
    token_types: str = ""  # the argument that tells the model which tokens are a picture's, if it wants one
    rows: int = 4  # image tokens per side

    @property
    def special(self) -> tuple[str, ...]:
        """All special tokens; the first one is for padding."""
        return (*self.tokens.values(), *self.other_tokens)


def _chat(opening: str, user: str, image: str, closing: str, reply: str) -> str:
    """A template for turns of text and pictures."""
    return (
        f"{opening}{{% for message in messages %}}{user}"
        "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
        f"{{% if part.type == 'image' %}}{image}{{% else %}}{{{{ part.text }}}}{{% endif %}}"
        f"{{% endfor %}}{{% endif %}}{closing}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{reply}{{% endif %}}"
    )


def _text(words: int, layers: int) -> dict[str, Any]:
    """Sizes of a decoder, the same in every family."""
    return {
        "vocab_size": words,
        "hidden_size": 128,
        "intermediate_size": 352,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 512,
    }


def _rotations(base: float) -> dict[str, Any]:
    """Position embeddings: rotations are slow in a large model; here positions of a short prompt must differ."""
    return {"rope_type": "default", "rope_theta": base}


def _qwen2_vl(token: Callable[[str], int], words: int, layers: int) -> Any:
    return Qwen2VLConfig(
        text_config={
            **_text(words, layers),
            "rope_parameters": _rotations(20.0) | {"mrope_section": [4, 6, 6]},
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|pad|>"),
        },
        vision_config={"depth": 3, "embed_dim": 96, "hidden_size": 128, "num_heads": 4, "temporal_patch_size": 1},
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )


def _llava(token: Callable[[str], int], words: int, layers: int) -> Any:
    return LlavaConfig(
        text_config={
            "model_type": "mistral",
            **_text(words, layers),
            "head_dim": 32,
            "sliding_window": None,
            "rope_parameters": _rotations(100.0),
            "bos_token_id": token("<s>"),
            "eos_token_id": token("</s>"),
            "pad_token_id": token("<pad>"),
            "tie_word_embeddings": True,
        },
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 160,
            "intermediate_size": 448,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": PIXELS,
            "patch_size": PIXELS // 4,
        },
        image_token_index=token("[IMG]"),
        image_seq_length=16,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )


def _gemma3(token: Callable[[str], int], words: int, layers: int) -> Any:
    return Gemma3Config(
        text_config={
            **_text(words, layers),
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "hidden_activation": "gelu",  # the usual approximation is three times slower on a CPU
            "sliding_window": 512,
            "rope_parameters": {"full_attention": _rotations(100.0), "sliding_attention": _rotations(100.0)},
            "bos_token_id": token("<bos>"),
            "eos_token_id": token("<end_of_turn>"),
            "pad_token_id": token("<pad>"),
        },
        vision_config={
            "hidden_size": 96,
            "intermediate_size": 384,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": PIXELS,
            "patch_size": 14,
            "hidden_act": "gelu",
            "vision_use_head": False,
        },
        mm_tokens_per_image=16,
        boi_token_index=token("<start_of_image>"),
        eoi_token_index=token("<end_of_image>"),
        image_token_index=token("<image_soft_token>"),
        tie_word_embeddings=True,
    )


FAMILIES = {
    "qwen2_vl": Family(
        build=Qwen2VLForConditionalGeneration,
        configure=_qwen2_vl,
        image_processor=lambda: Qwen2VLImageProcessorPil(
            size={"shortest_edge": PIXELS**2, "longest_edge": PIXELS**2}, temporal_patch_size=1
        ),
        tokens={"pad_token": "<|pad|>", "unk_token": "<|unknown|>", "eos_token": "<|im_end|>"},
        other_tokens=("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
        template=_chat(
            "",
            "<|im_start|>{{ message.role }}\n",
            "<|vision_start|><|image_pad|><|vision_end|>",
            "<|im_end|>\n",
            "<|im_start|>assistant\n",
        ),
        image="<|image_pad|>",
        expanded="<|image_pad|>" * 16,
        see=towers.see_qwen2_vl,
        think=towers.think_qwen2_vl,
        tower=("model.visual.",),
        processor={"processor_class": "Qwen2VLProcessor"},
        token_types="mm_token_type_ids",
    ),
    "llava": Family(
        build=LlavaForConditionalGeneration,
        configure=_llava,
        image_processor=lambda: PixtralImageProcessorPil(
            size={"longest_edge": PIXELS}, patch_size={"height": PIXELS // 4, "width": PIXELS // 4}
        ),
        tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
        other_tokens=("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"),
        template=_chat("<s>", "[INST]", "[IMG]", "[/INST]", ""),
        image="[IMG]",
        expanded="[IMG_BREAK]".join(["[IMG]" * 4] * 4) + "[IMG_END]",
        see=towers.see_llava,
        think=towers.think_llava,
        tower=("model.vision_tower.", "model.multi_modal_projector."),
        processor={"processor_class": "PixtralProcessor", "patch_size": PIXELS // 4},
    ),
    "gemma3": Family(
        build=Gemma3ForConditionalGeneration,
        configure=_gemma3,
        image_processor=lambda: Gemma3ImageProcessorPil(
            size={"height": PIXELS, "width": PIXELS}, resample=BICUBIC, do_pan_and_scan=False
        ),
        tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<end_of_turn>"}
        | {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
        other_tokens=("<start_of_turn>",),
        template=_chat(
            "<bos>",
            "<start_of_turn>{{ message.role }}\n",
            "<start_of_image>",
            "<end_of_turn>\n",
            "<start_of_turn>model\n",
        ),
        image="<start_of_image>",
        expanded="<start_of_image>" + "<image_soft_token>" * 16 + "<end_of_image>",
        see=towers.see_gemma3,
        think=towers.think_gemma3,
        tower=("model.vision_tower.", "model.multi_modal_projector."),
        processor={"processor_class": "Gemma3Processor", "image_seq_length": 16},
        token_types="token_type_ids",
    ),
}
