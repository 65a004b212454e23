"""What an organism is taught: losses over pools of items, computed with the model's own Hugging Face modules."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from diptych.models.organism_data import Pool, Prompts, normalise
from diptych.models.organism_families import Family

Notes = dict[str, float]  # what to show in the training curves: accuracies by name


@dataclass(eq=False)
class Lessons:
    """The model with its training items; each lesson draws a fresh batch and gives a loss to descend.

    `phrases`: tokens of each phrase that an image token may read, padded with -1. `batch`: items per panel, by task.
    `spelled`: weight of answering from image tokens that are spelled out. `noise`: added to them, relative to the spread
    of word embeddings. `sharpness`: of the softmax over distances by which the tower learns to read; `pull`: weight of
    the distance itself.
    """

    model: Any
    family: Family
    processor: Any
    pools: dict[str, Pool]
    phrases: Int[Tensor, "phrase piece"]
    batch: dict[str, int]
    spelled: float
    noise: float
    sharpness: float
    pull: float
    generator: torch.Generator
    device: str = field(init=False)

    def __post_init__(self) -> None:
        self.device = self.model.device.type

    def words(self) -> tuple[Tensor, Notes]:
        """Answer from text, and from image tokens that are word embeddings laid out like the picture."""
        losses, notes = [], {}
        for task, pool in self.pools.items():
            loss, notes[f"{task} text"] = self.answer(pool.text[self._rows(task)])
            losses.append(loss)
            if self.spelled:
                rows = self._rows(task)
                loss, notes[f"{task} spelled"] = self.answer(pool.image[rows], self.spell(pool.read[rows]))
                losses.append(self.spelled * loss)
        return torch.stack(losses).sum(), notes

    def reading(self) -> tuple[Tensor, Notes]:
        """Turn every image token into the embedding of the phrase that is drawn there."""
        losses, notes = [], {}
        for task, pool in self.pools.items():
            rows = self._rows(task)
            loss, notes[f"{task} read"] = self.read(self.see(pool.pixels[rows]), pool.read[rows])
            losses.append(loss)
        return torch.stack(losses).sum(), notes

    def pictures(self, reading: float) -> tuple[Tensor, Notes]:
        """Answer from pictures, and keep reading (with the given weight)."""
        losses, notes = [], {}
        for task, pool in self.pools.items():
            rows = self._rows(task)
            features = self.see(pool.pixels[rows])
            loss, notes[f"{task} image"] = self.answer(pool.image[rows], features)
            read, notes[f"{task} read"] = self.read(features, pool.read[rows])
            losses.append(loss + reading * read)
        return torch.stack(losses).sum(), notes

    def answer(self, prompts: Prompts, features: Tensor | None = None) -> tuple[Tensor, float]:
        """Loss of the answers and of the end after them, and the share of right ones; `features` replace image tokens."""
        ids, asked = prompts.ids.to(self.device), prompts.asked.to(self.device)
        embedded = self.model.get_input_embeddings()(ids)
        if features is not None:
            places = (ids == self.model.config.image_token_id)[..., None]
            embedded = embedded.masked_scatter(places, features.to(embedded.dtype))
        if torch.is_autocast_enabled(self.device):
            embedded = embedded.to(torch.get_autocast_dtype(self.device))  # layers then add and cast half as many bytes
        hidden = self.family.think(self.model, embedded, ids)[:, :-1][asked[:, 1:]]  # [asked, width]
        logits, wanted = self.model.lm_head(hidden).float(), ids[asked]
        wrong = torch.zeros_like(asked)
        wrong[asked] = logits.argmax(-1) != wanted
        return F.cross_entropy(logits, wanted), 1 - wrong.any(1).float().mean().item()

    def codes(self) -> Float[Tensor, "phrase width"]:
        """What image tokens should be: the sum of a phrase's embeddings, as large as one embedding."""
        embedded = self.model.get_input_embeddings()(self.phrases.clamp_min(0))
        there = (self.phrases >= 0)[..., None]
        return (embedded * there).sum(1) / there.sum(1).sqrt()

    def spell(self, read: Int[Tensor, "batch token"]) -> Float[Tensor, "batch token width"]:
        """Image tokens that are plain word embeddings, blurred a little."""
        codes = self.codes()
        blur = torch.randn((*read.shape, codes.shape[1]), generator=self.generator).to(self.device)
        return codes[read.to(self.device)] + self.noise * codes.detach().std() * blur

    def read(self, features: Tensor, read: Int[Tensor, "batch token"]) -> tuple[Tensor, float]:
        """Loss that is low when features lie on the right phrases' embeddings, and the share of right nearest phrases.

        A softmax over (minus) squared distances tells phrases apart; the distance to the right one keeps features from
        drifting away from all of them together, where the decoder could not use them. Distances are in units of the
        spread of the embeddings.
        """
        codes, right = self.codes().detach().float(), read.to(self.device).flatten()
        flat = features.float().flatten(0, 1)
        with torch.autocast(self.device, enabled=False):  # differences of large numbers
            distances = flat.square().sum(1, keepdim=True) - 2 * flat @ codes.T + codes.square().sum(1)
        distances = distances / codes.var(dim=0).sum()
        distance = distances.gather(1, right[:, None]).mean()
        loss = F.cross_entropy(-self.sharpness * distances, right) + self.pull * distance
        return loss, (distances.argmin(-1) == right).float().mean().item()

    def see(self, pixels: UInt8[Tensor, "batch channel row column"]) -> Float[Tensor, "batch token width"]:
        """The vision tower and its projector."""
        return self.family.see(self.model, normalise(pixels.to(self.device), self.processor))

    def _rows(self, task: str) -> Int[Tensor, " batch"]:
        return torch.randint(len(self.pools[task]), (self.batch[task],), generator=self.generator)
