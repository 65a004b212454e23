"""What an organism is taught: losses over pools of items, computed with the model's own Hugging Face modules."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from diptych.models.organism_data import Pool, Prompts, join, normalise
from diptych.models.organism_families import Family

Notes = dict[str, float]  # what to show in the training curves: accuracies by name


@dataclass(eq=False)
class Lessons:
    """The model with its training items; each lesson draws a fresh batch and gives a loss to descend.

    `phrases`: tokens of each phrase that an image token may read, padded with -1. `batch`: texts and pictures per step,
    by task. `noise`: added to image tokens that are spelled out, relative to the spread of word embeddings. `sharpness`:
    of the softmax over distances by which the tower learns to read; `pull`: weight of the distance itself.
    `blur`: like `noise`, for the words of a text; it keeps sums from being learnt by heart.
    """

    model: Any
    family: Family
    processor: Any
    pools: dict[str, Pool]
    phrases: Int[Tensor, "phrase piece"]
    batch: dict[str, tuple[int, int]]
    noise: float
    sharpness: float
    pull: float
    generator: torch.Generator
    blur: float = 0.0
    device: str = field(init=False)
    shelves: list[list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.device = self.model.device.type
        width = {task: pool.text.ids.shape[1] for task, pool in self.pools.items()}
        wide = [task for task in width if 3 * width[task] > 2 * max(width.values())]
        self.shelves = [shelf for shelf in (wide, [task for task in width if task not in wide]) if shelf]

    def words(self) -> tuple[Tensor, Notes]:
        """Answer from text; prompts of similar length go together."""
        told = [self.answer({t: self.pools[t].text[self._texts(t)] for t in shelf}, "text") for shelf in self.shelves]
        return torch.stack([loss for loss, _ in told]).sum(), {k: v for _, notes in told for k, v in notes.items()}

    def spelling(self) -> tuple[Tensor, Notes]:
        """Answer from text, and from image tokens that are word embeddings laid out like the picture."""
        rows = self._pictures()
        read = torch.cat([self.pools[task].read[rows[task]] for task in rows])
        asked = {task: self.pools[task].image[rows[task]] for task in rows}
        words, text_notes = self.words()
        spelled, notes = self.answer(asked, "spelled", self.spell(read))
        return words + spelled, text_notes | notes

    def reading(self) -> tuple[Tensor, Notes]:
        """Turn every image token into the embedding of the phrase that is drawn there."""
        rows = self._pictures()
        return self.read(self._look(rows), {task: self.pools[task].read[rows[task]] for task in rows})

    def pictures(self, reading: float) -> tuple[Tensor, Notes]:
        """Answer from pictures, and keep reading (with the given weight)."""
        rows = self._pictures()
        features = self._look(rows)
        loss, notes = self.answer({task: self.pools[task].image[rows[task]] for task in rows}, "image", features)
        read, read_notes = self.read(features, {task: self.pools[task].read[rows[task]] for task in rows})
        return loss + reading * read, notes | read_notes

    def both(self, reading: float) -> tuple[Tensor, Notes]:
        """Answer from text and from pictures."""
        (words, text_notes), (pictures, image_notes) = self.words(), self.pictures(reading)
        return words + pictures, text_notes | image_notes

    def answer(self, prompts: dict[str, Prompts], how: str, features: Tensor | None = None) -> tuple[Tensor, Notes]:
        """Loss of the answers and of the end after them, each task's mean, summed; and each task's share of right ones.

        `features` replace the image tokens of all prompts.
        """
        joined = join(list(prompts.values()), self.model.config.get_text_config().pad_token_id)
        ids, asked = joined.ids.to(self.device), joined.asked.to(self.device)
        embedded = self.model.get_input_embeddings()(ids)
        if features is None and self.blur:
            spread = self.blur * embedded.detach().std()
            embedded = embedded + spread * torch.randn(embedded.shape, generator=self.generator).to(self.device)
        if features is not None:
            places = (ids == self.model.config.image_token_id)[..., None]
            embedded = embedded.masked_scatter(places, features.to(embedded.dtype))
        if torch.is_autocast_enabled(self.device):
            embedded = embedded.to(torch.get_autocast_dtype(self.device))  # layers then add and cast half as many bytes
        hidden = self.family.think(self.model, embedded, ids)[:, :-1][asked[:, 1:]]  # [asked, width]
        logits, wanted = self.model.lm_head(hidden).float(), ids[asked]
        losses, wrong = torch.zeros_like(ids, dtype=torch.float32), torch.zeros_like(asked)
        losses[asked], wrong[asked] = F.cross_entropy(logits, wanted, reduction="none"), logits.argmax(-1) != wanted
        sizes = [len(some.ids) for some in prompts.values()]
        totals = [
            part.sum() / some.asked.sum() for part, some in zip(losses.split(sizes), prompts.values(), strict=True)
        ]
        shares = [1 - part.any(1).float().mean().item() for part in wrong.split(sizes)]
        return torch.stack(totals).sum(), {f"{t} {how}": share for t, share in zip(prompts, shares, strict=True)}

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

    def read(self, features: Tensor, read: dict[str, Int[Tensor, "batch token"]]) -> tuple[Tensor, Notes]:
        """Loss that is low when features lie on the right phrases' embeddings, and the shares of right nearest phrases.

        A softmax over (minus) squared distances tells phrases apart; the distance to the right one keeps features from
        drifting away from all of them together, where the decoder could not use them. Distances are in units of the
        spread of the embeddings.
        """
        codes, right = self.codes().detach().float(), torch.cat(list(read.values())).to(self.device).flatten()
        flat = features.float().flatten(0, 1)
        with torch.autocast(self.device, enabled=False):  # differences of large numbers
            distances = flat.square().sum(1, keepdim=True) - 2 * flat @ codes.T + codes.square().sum(1)
        distances = distances / codes.var(dim=0).sum()
        distance = distances.gather(1, right[:, None])[:, 0]
        losses = F.cross_entropy(-self.sharpness * distances, right, reduction="none") + self.pull * distance
        sizes = [task.numel() for task in read.values()]
        total = torch.stack([part.mean() for part in losses.split(sizes)]).sum()
        shares = [part.float().mean().item() for part in (distances.argmin(-1) == right).split(sizes)]
        return total, {f"{task} read": share for task, share in zip(read, shares, strict=True)}

    def see(self, pixels: UInt8[Tensor, "batch channel row column"]) -> Float[Tensor, "batch token width"]:
        """The vision tower and its projector."""
        return self.family.see(self.model, normalise(pixels.to(self.device), self.processor))

    def _look(self, rows: dict[str, Tensor]) -> Float[Tensor, "batch token width"]:
        return self.see(torch.cat([self.pools[task].pixels[rows[task]] for task in rows]))

    def _pictures(self) -> dict[str, Int[Tensor, " batch"]]:
        return {task: self._draw(len(pool.read), self.batch[task][1]) for task, pool in self.pools.items()}

    def _texts(self, task: str) -> Int[Tensor, " batch"]:
        return self._draw(len(self.pools[task].text.ids), self.batch[task][0])

    def _draw(self, size: int, number: int) -> Int[Tensor, " batch"]:
        return torch.randint(size, (number,), generator=self.generator)
