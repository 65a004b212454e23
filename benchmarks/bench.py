"""What benchmarks run on: a shipped organism, or a random Qwen2-VL of some sizes, and contrasts that differ in their picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText

import diptych
from diptych.attribution.ap_ig import ap_ig
from diptych.batch import Batch
from diptych.grid import Grid, Scores
from diptych.items import Contrast, Item
from diptych.layout import Layout
from diptych.models.answers import answer_tokens
from diptych.models.encode import encode
from diptych.models.vlm import VLM

IMAGE_TOKEN, START, END = 1003, 1001, 1002
BEFORE, BEHIND = 10, 46  # positions around the picture


@dataclass(frozen=True)
class NoPicture:
    """Pixels are made as tensors."""

    def open(self) -> Image.Image:
        return Image.new("RGB", (1, 1))

    def digest(self) -> str:
        return "none"


@dataclass(frozen=True)
class Bench:
    """A random Qwen2-VL, and a batch of contrasts that differ in their picture: 252 tokens if nothing else is said.

    `side`: of a picture, in patches; two by two make one of 196 image tokens.
    """

    vocabulary: int
    prompts: int
    layers: int = 12
    width: int = 512
    neurons: int = 2816
    heads: int = 8
    side: int = 28
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    @property
    def called(self) -> str:
        return f"{self.layers} layers of width {self.width}, {self.vocabulary:,} tokens, {told(self.prompts)}"

    @property
    def picture(self) -> slice:
        """The positions of the picture."""
        return slice(BEFORE, BEFORE + self.side**2 // 4)

    @property
    def length(self) -> int:
        """Positions of a prompt."""
        return self.picture.stop + BEHIND

    @cached_property
    def vlm(self) -> VLM:
        each = self.width // self.heads
        sections = [each // 8, 3 * each // 16, 3 * each // 16]
        rope = {"rope_type": "default", "mrope_section": sections, "rope_theta": 10000.0}
        text = {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.neurons,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": 2,
            "rope_parameters": rope,
            "tie_word_embeddings": True,
        }
        config = AutoConfig.for_model(
            "qwen2_vl",
            text_config=text,
            vision_config={"depth": 4, "embed_dim": 320, "hidden_size": self.width, "num_heads": 4, "mlp_ratio": 4},
            image_token_id=IMAGE_TOKEN,
            vision_start_token_id=START,
            vision_end_token_id=END,
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa")
        return VLM(model.to(self.device, self.dtype), None, name="bench", digest="bench")

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
            Layout.of((self.picture.start, self.picture.stop), self.length),
        )

    @cached_property
    def singles(self) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Clean and counterfactual inputs of one prompt at a time."""
        each = self.side**2

        def take(inputs: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
            rows = {"pixel_values": slice(row * each, (row + 1) * each)}
            return {name: value[rows.get(name, slice(row, row + 1))] for name, value in inputs.items()}

        return [(take(self.batch.clean, r), take(self.batch.counterfactual, r)) for r in range(self.prompts)]

    @cached_property
    def scores(self) -> Scores:
        chance = torch.Generator().manual_seed(3)
        length = self.batch.layout.length
        heads, neurons = (
            torch.rand(self.layers, length, count, generator=chance) for count in (self.heads, self.neurons)
        )
        return Grid(heads, neurons, self.batch.layout, "bench")

    def _inputs(self, seed: int) -> dict[str, Tensor]:
        chance = torch.Generator().manual_seed(seed)
        text = torch.Generator().manual_seed(0)
        ids = torch.randint(3, 900, (self.prompts, self.length), generator=text)
        ids[:, self.picture.start - 1], ids[:, self.picture], ids[:, self.picture.stop] = START, IMAGE_TOKEN, END
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == IMAGE_TOKEN).long(),
            "pixel_values": torch.randn(self.prompts * self.side**2, 1176, generator=chance),
            "image_grid_thw": torch.tensor([[1, self.side, self.side]]).repeat(self.prompts, 1),
        }
        return {name: self.vlm.place(value) for name, value in inputs.items()}


def told(prompts: int) -> str:
    """How many prompts there are, in words."""
    return f"{prompts} prompt{'s' if prompts > 1 else ''}"


@dataclass(frozen=True)
class Organism:
    """A shipped organism, and a batch of contrasts of its counting task: at most `prompts`, of one layout."""

    name: str
    prompts: int

    @property
    def called(self) -> str:
        return f"{self.name}, {told(len(self.batch))}"

    @cached_property
    def vlm(self) -> VLM:
        return diptych.load(self.name)

    @cached_property
    def batch(self) -> Batch:
        task = diptych.make_task("counting", per_split=max(12, 3 * self.prompts))
        contrasts = task.contrasts("image", "test", seed=0)
        return encode(self.vlm, contrasts, answer_tokens(self.vlm, task), batch_size=self.prompts).batches[0]

    @property
    def scores(self) -> Scores:
        return ap_ig(self.vlm, self.batch, steps=1).scores


Subject = Bench | Organism
