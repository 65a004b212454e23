"""Decoders of any width and few layers, with prompts of text alone: what a stack of layers needs, without a vision tower."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.initialization import no_init_weights

from diptych.batch import Batch
from diptych.items import Contrast, Item
from diptych.layout import Layout
from diptych.models.vlm import VLM

PICTURE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
"""A vision tower that is never asked."""
PICTURES: dict[str, dict[str, Any]] = {
    "llava": {"vision_config": PICTURE | {"model_type": "pixtral"}, "image_token_id": 3},
    "gemma3": {"vision_config": PICTURE | {"model_type": "siglip_vision_model"}, "image_token_id": 3},
    "qwen2_vl": {"vision_config": {"depth": 1, "embed_dim": 32, "num_heads": 2}, "image_token_id": 3},
}
DECODERS = {"llava": "mistral", "gemma3": "gemma3_text", "qwen2_vl": "qwen2_vl_text"}
OWN: dict[str, dict[str, Any]] = {
    "llava": {"sliding_window": None},
    "qwen2_vl": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}},
}
"""What else a decoder is told."""
BLOCK = 2**20


@dataclass(frozen=True)
class Stack:
    """A random model of a family, and a batch of contrasts of text."""

    layers: int = 4
    positions: int = 250
    width: int = 256
    heads: int = 4
    head_width: int = 64
    keys: int = 2
    neurons: int = 704
    prompts: int = 1
    family: str = "llava"
    dtype: torch.dtype = torch.float32
    vocabulary: int = 2_000

    @property
    def called(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        shape = f"L{self.layers} d{self.width} A{self.heads * self.head_width} D{self.neurons}"
        return f"{self.family}, {shape}, {name}; {self.prompts} × {self.positions} positions"

    @cached_property
    def vlm(self) -> VLM:
        text = {
            "model_type": DECODERS[self.family],
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.neurons,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.keys,
            "head_dim": self.head_width,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        config = AutoConfig.for_model(self.family, text_config=text | OWN.get(self.family, {}), **PICTURES[self.family])
        with no_init_weights():
            model = AutoModelForImageTextToText.from_config(config, dtype=self.dtype, attn_implementation="sdpa")
        return VLM(filled(model), None, name="stack", digest="stack")

    @cached_property
    def batch(self) -> Batch:
        items = [Item(name, "words", None, "query", answer) for name, answer in (("clean", "yes"), ("other", "no"))]
        places = torch.arange(self.prompts)
        return Batch(
            tuple(Contrast("text", *items) for _ in range(self.prompts)),
            self._inputs(1),
            self._inputs(2),
            10 + places,
            500 + places,
            Layout.of((self.positions // 4, self.positions // 2), self.positions),
        )

    def _inputs(self, seed: int) -> dict[str, Tensor]:
        chance = torch.Generator().manual_seed(seed)
        ids = torch.randint(10, 900, (self.prompts, self.positions), generator=chance)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@torch.no_grad()
def filled(model: Any) -> Any:
    """The model with small random numbers, the same block over and over: large ones are made within seconds."""
    block = 0.02 * torch.randn(BLOCK, generator=torch.Generator().manual_seed(0))
    for name, value in model.named_parameters():
        flat = value.view(-1)
        for start in range(0, len(flat), BLOCK):
            part = flat[start : start + BLOCK]
            part.copy_(block[: len(part)])
        if "norm" in name and name.endswith("weight"):
            value.fill_(1)
    return model
