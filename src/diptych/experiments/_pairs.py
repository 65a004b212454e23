"""Paired items: both panels of one item, and what the model holds at its data."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._picture import picture_positions
from diptych.items import Item, Modality, Split, Task
from diptych.models.calls import DecoderCall
from diptych.models.encode import Prompt, encode_item
from diptych.models.handed import record_handed
from diptych.models.vlm import VLM
from diptych.run import Unit

FEWEST = 4
"""Items without which no comparison of panels is defined."""


@dataclass(frozen=True)
class Recorded:
    """A prompt with its call and `resid_post` of every layer, as it is handed to the next one (`models.handed`)."""

    modality: Modality
    prompt: Prompt
    call: DecoderCall
    residuals: list[Tensor]  # [1, pos, d_model] per layer

    @classmethod
    def of(cls, vlm: VLM, item: Item, modality: Modality) -> "Recorded":
        prompt = encode_item(vlm, item, modality)
        call = vlm.capture(prompt.inputs)
        with record_handed(vlm) as residuals:
            vlm.run(call)
        return cls(modality, prompt, call, residuals)

    def data(self, vlm: VLM) -> list[int]:
        """The data's positions; of a picture, those that hold it."""
        if self.modality == "image":
            return picture_positions(vlm, self.prompt)
        return list(range(*self.prompt.layout.data.indices(self.prompt.layout.length)))

    def states(self, vlm: VLM) -> Float[Tensor, "layer data d_model"]:
        """`resid_post` at the data's positions, on the model's device."""
        places = self.data(vlm)
        found = torch.stack([residual[0, places].to(vlm.device) for residual in self.residuals])
        return found if found.dtype == torch.float64 else found.float()


def paired_items(task: Task, split: Split) -> tuple[list[Item], dict[str, Any]]:
    """The items of a split that have both panels, answered correctly or not, and n and drops for a result's conditions."""
    items = [item for item in task.split(split) if item.paired]
    alone = len(task.split(split)) - len(items)
    if len(items) < FEWEST:
        raise InputError(
            f"{len(items)} of {len(task.split(split))} items of split '{split}' of task '{task.name}' have both panels. "
            f"Expected at least {FEWEST}: panels of the same item are compared."
        )
    return items, {f"n {split}": len(items), f"dropped {split}": f"{alone} without both panels" if alone else "none"}


def blocks(items: Sequence[Item], size: int, seed: int) -> list[list[Item]]:
    """The items, shuffled, in blocks of at least `size` of them if there are as many, whatever the batch size."""
    mixed = list(items)
    random.Random(seed).shuffle(mixed)
    count = max(1, len(mixed) // size)
    return [mixed[start::count] for start in range(count)]


def units_of(parts: Sequence[Sequence[Item]], name: str) -> list[Unit]:
    """One unit per block."""
    return [Unit(f"{name}-{index}", list(part)) for index, part in enumerate(parts)]
