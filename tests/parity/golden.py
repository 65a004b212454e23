"""A folder of golden data: a tiny checkpoint, its prompts, and what the authors' functions returned for them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText

from diptych.batch import Batch, Inputs
from diptych.grid import Circuit, Grid
from diptych.items import Contrast, Item, Modality
from diptych.layout import Layout
from diptych.models.load import config_digest
from diptych.models.vlm import VLM

PANELS: dict[str, Modality] = {"textual": "text", "visual": "image"}
TYPES = ("token_type_ids", "mm_token_type_ids")
"""Inputs that only prompts with a picture have in the golden data; transformers 5 wants zeros for text."""


class _NoPicture:
    """Pixels come ready from the golden data."""

    def open(self) -> Image.Image:
        raise AssertionError("golden prompts are not drawn")

    def digest(self) -> str:
        return "golden"


@dataclass(frozen=True)
class Golden:
    """One set of one family, read as it is needed. `has` says which files there are: parts may be left out."""

    folder: Path
    attention: str = "sdpa"

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text())

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{name}.safetensors")

    @cached_property
    def meta(self) -> Any:
        return self.json("meta")

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        return self.tensors("inputs")

    @cached_property
    def vlm(self) -> VLM:
        checkpoint = str(self.folder / "ckpt")
        config = AutoConfig.from_pretrained(checkpoint)
        model = AutoModelForImageTextToText.from_pretrained(checkpoint, attn_implementation=self.attention)
        return VLM(model, None, name=self.folder.parent.name, digest=config_digest(config))

    def layout(self, panel: str) -> Layout:
        found = self.meta["layout"][panel]
        return Layout.of(tuple(found["data"]), found["seq"])

    def prompt(self, panel: str, index: int, side: str) -> dict[str, Tensor]:
        start = f"{panel}.{index}.{side}."
        found = {name.removeprefix(start): value for name, value in self.inputs.items() if name.startswith(start)}
        for name in TYPES:
            if panel == "textual" and f"visual.{index}.{side}.{name}" in self.inputs:
                found[name] = torch.zeros_like(found["input_ids"])
        return found

    def batch(self, panel: str) -> Batch:
        """All pairs of a panel."""
        pairs = self.meta["pairs"][panel]
        return Batch(
            tuple(
                Contrast(PANELS[panel], *(_item(pair, side) for side in ("answer_id", "cf_answer_id")))
                for pair in pairs
            ),
            self._stacked(panel, "clean"),
            self._stacked(panel, "cf"),
            torch.tensor([pair["answer_id"] for pair in pairs]),
            torch.tensor([pair["cf_answer_id"] for pair in pairs]),
            self.layout(panel),
        )

    def circuit(self, panel: str, heads: Any, neurons: Any) -> Circuit:
        """The circuit of explicit (layer, position, index); those that the model does not have are left out."""
        sites, layout = self.vlm.sites, self.layout(panel)
        counts = (sites.heads[0].count, sites.neurons[0].count)
        masks = [torch.zeros(len(sites.layers), layout.length, count, dtype=torch.bool) for count in counts]
        for mask, nodes in zip(masks, (heads, neurons), strict=True):
            listed = torch.as_tensor(nodes, dtype=torch.long).view(-1, 3)
            there = listed[(listed < torch.tensor(mask.shape)).all(1)]
            mask[there.unbind(1)] = True
        return Grid(masks[0], masks[1], layout, self.vlm.digest, sites.there)

    def _stacked(self, panel: str, side: str) -> Inputs:
        prompts = [self.prompt(panel, pair["index"], side) for pair in self.meta["pairs"][panel]]
        return {name: torch.cat([prompt[name] for prompt in prompts]) for name in prompts[0]}


def sets(folder: Path, attention: str = "sdpa") -> Iterator[Golden]:
    """Every set below a folder: where there is a checkpoint and a `meta.json`."""
    for meta in sorted(folder.rglob("meta.json")):
        if (meta.parent / "ckpt" / "config.json").is_file():
            yield Golden(meta.parent, attention)


def _item(pair: Any, side: str) -> Item:
    return Item(f"{pair['index']}-{side}", "golden", _NoPicture(), "golden", str(pair[side]))
