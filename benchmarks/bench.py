"""What benchmarks run on: a random Qwen2-VL, of 12 layers if nothing is said, and contrasts of 252 tokens that differ in their picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText

from diptych.batch import Batch
from diptych.grid import Grid, Scores
from diptych.items import Contrast, Item
from diptych.layout import Layout
from diptych.models.vlm import VLM

IMAGE_TOKEN, START, END = 1003, 1001, 1002
SIDE = 28  # patches; two by two make one of 196 image tokens


@dataclass(frozen=True)
class NoPicture:
    """Pixels are made as tensors."""

    def open(self) -> Image.Image:
        return Image.new("RGB", (1, 1))

    def digest(self) -> str:
        return "none"


@dataclass(frozen=True)
class Bench:
    """A random Qwen2-VL of some layers and width 512, and a batch of contrasts of 252 tokens that differ in their picture."""

    vocabulary: int
    prompts: int
    layers: int = 12

    @cached_property
    def vlm(self) -> VLM:
        rope = {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 10000.0}
        text = {
            "vocab_size": self.vocabulary,
            "hidden_size": 512,
            "intermediate_size": 2816,
            "num_hidden_layers": self.layers,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "rope_parameters": rope,
            "tie_word_embeddings": True,
        }
        config = AutoConfig.for_model(
            "qwen2_vl",
            text_config=text,
            vision_config={"depth": 4, "embed_dim": 320, "hidden_size": 512, "num_heads": 4, "mlp_ratio": 4},
            image_token_id=IMAGE_TOKEN,
            vision_start_token_id=START,
            vision_end_token_id=END,
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa")
        return VLM(model, None, name="bench", digest="bench")

    @cached_property
    def batch(self) -> Batch:
        places = torch.arange(self.prompts)
        item = Item("clean", None, NoPicture(), "query", "yes"), Item("other", None, NoPicture(), "query", "no")
        return Batch(
            tuple(Contrast("image", *item) for _ in range(self.prompts)),
            self._inputs(1),
            self._inputs(2),
            10 + places,
            500 + places,
            Layout.of((10, 206), 252),
        )

    @cached_property
    def singles(self) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Clean and counterfactual inputs of one prompt at a time."""
        each = SIDE * SIDE

        def take(inputs: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
            rows = {"pixel_values": slice(row * each, (row + 1) * each)}
            return {name: value[rows.get(name, slice(row, row + 1))] for name, value in inputs.items()}

        return [(take(self.batch.clean, r), take(self.batch.counterfactual, r)) for r in range(self.prompts)]

    @cached_property
    def scores(self) -> Scores:
        chance = torch.Generator().manual_seed(3)
        length = self.batch.layout.length
        heads, neurons = (torch.rand(self.layers, length, count, generator=chance) for count in (8, 2816))
        return Grid(heads, neurons, self.batch.layout, "bench")

    def _inputs(self, seed: int) -> dict[str, Tensor]:
        chance = torch.Generator().manual_seed(seed)
        text = torch.Generator().manual_seed(0)
        ids = torch.randint(3, 900, (self.prompts, 252), generator=text)
        ids[:, 9], ids[:, 10:206], ids[:, 206] = START, IMAGE_TOKEN, END
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == IMAGE_TOKEN).long(),
            "pixel_values": torch.randn(self.prompts * SIDE * SIDE, 1176, generator=chance),
            "image_grid_thw": torch.tensor([[1, SIDE, SIDE]]).repeat(self.prompts, 1),
        }
