"""What an organism is taught: losses over pools of items, computed with the model's own Hugging Face modules."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids

from diptych.models.organism_data import GRID, Pool, normalise

Notes = dict[str, float]  # what to show in the training curves: accuracies by name


@dataclass(eq=False)
class Lessons:
    """The model with its training items; each lesson draws a fresh batch and gives a loss to descend.

    `batch`: items per panel, by task. `noise`: added to words that stand for image tokens, relative to the spread of
    word embeddings. `sharpness`: of the softmax over distances by which the tower learns to read; `pull`: weight of the
    distance itself.
    """

    model: Any
    processor: Any
    pools: dict[str, Pool]
    batch: dict[str, int]
    noise: float
    sharpness: float
    pull: float
    generator: torch.Generator
    _positions: dict[str, Tensor] = field(init=False)
    _rotations: tuple[Tensor, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        grid = torch.tensor([GRID])
        tower = self.model.model.visual
        self._rotations = tower.rotary_pos_emb(torch.zeros(1), get_vision_position_ids(grid, tower.spatial_merge_size))
        self._positions = {task: self._positions_of(pool.image[:1], grid) for task, pool in self.pools.items()}

    def words(self) -> tuple[Tensor, Notes]:
        """Answer from text, and from image tokens that are word embeddings laid out like the picture."""
        losses, notes = [], {}
        for task, pool in self.pools.items():
            rows = self._rows(task)
            loss, notes[f"{task} text"] = self.answer(pool.text[rows])
            losses.append(loss)
            rows = self._rows(task)
            loss, notes[f"{task} spelled"] = self.answer(pool.image[rows], task, self.spell(pool.words[rows]))
            losses.append(loss)
        return torch.stack(losses).sum(), notes

    def reading(self) -> tuple[Tensor, Notes]:
        """Turn every image token into the embedding of the word that is drawn there."""
        losses, notes = [], {}
        for task, pool in self.pools.items():
            rows = self._rows(task)
            loss, notes[f"{task} read"] = self.read(self.see(pool.patches[rows]), pool.words[rows])
            losses.append(loss)
        return torch.stack(losses).sum(), notes

    def pictures(self, reading: float) -> tuple[Tensor, Notes]:
        """Answer from pictures, and keep reading (with the given weight)."""
        losses, notes = [], {}
        for task, pool in self.pools.items():
            rows = self._rows(task)
            features = self.see(pool.patches[rows])
            loss, notes[f"{task} image"] = self.answer(pool.image[rows], task, features)
            read, notes[f"{task} read"] = self.read(features, pool.words[rows])
            losses.append(loss + reading * read)
        return torch.stack(losses).sum(), notes

    def answer(
        self, ids: Int[Tensor, "batch pos"], task: str = "", features: Tensor | None = None
    ) -> tuple[Tensor, float]:
        """Loss of the answer and of the end after it, and the share of right answers; `features` replace image tokens."""
        embedded = self.model.get_input_embeddings()(ids)
        positions = None
        if features is not None:
            embedded = embedded.masked_scatter(
                (ids == self.model.config.image_token_id)[..., None], features.to(embedded.dtype)
            )
            positions = self._positions[task].expand(3, len(ids), -1)
        decoder = self.model.get_decoder()
        hidden = decoder(inputs_embeds=embedded, position_ids=positions, use_cache=False).last_hidden_state
        logits = self.model.lm_head(hidden[:, -2:]).float()  # [batch, 2, vocabulary]
        wanted = torch.stack(
            [ids[:, -1], torch.full_like(ids[:, -1], self.model.config.text_config.eos_token_id)], dim=1
        )
        right = logits[:, 0].argmax(-1) == wanted[:, 0]
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten()), right.float().mean().item()

    def spell(self, words: Int[Tensor, "batch token"]) -> Float[Tensor, "batch token width"]:
        """Image tokens that are plain word embeddings, blurred a little."""
        embedded = self.model.get_input_embeddings()(words)
        blur = torch.randn(embedded.shape, generator=self.generator)
        return embedded + self.noise * embedded.detach().std() * blur

    def read(self, features: Tensor, words: Int[Tensor, "batch token"]) -> tuple[Tensor, float]:
        """Loss that is low when features lie on the right words' embeddings, and the share of right nearest words.

        A softmax over (minus) squared distances tells words apart; the distance to the right word keeps features from
        drifting away from all words together, where the decoder could not use them. Distances are in units of the
        spread of word embeddings.
        """
        table = self.model.get_input_embeddings().weight.detach().float()
        distances = torch.cdist(features.float().flatten(0, 1), table).square() / table.var(dim=0).sum()
        right = distances.argmin(-1) == words.flatten()
        distance = distances.gather(1, words.flatten()[:, None]).mean()
        loss = F.cross_entropy(-self.sharpness * distances, words.flatten()) + self.pull * distance
        return loss, right.float().mean().item()

    def see(self, patches: UInt8[Tensor, "batch patch value"]) -> Float[Tensor, "batch token width"]:
        """The vision tower and its merger on a batch of equally large pictures.

        Hugging Face attends picture by picture in a Python loop; here all at once, with the same weights
        (test_the_batched_tower_equals_hugging_face).
        """
        tower = self.model.model.visual
        hidden = F.linear(normalise(patches, self.processor), tower.patch_embed.proj.weight.flatten(1))
        for block in tower.blocks:
            hidden = hidden + self._attend(block.attn, block.norm1(hidden))
            hidden = hidden + block.mlp(block.norm2(hidden))
        return tower.merger(hidden).unflatten(0, (len(patches), -1))

    def _attend(self, attention: Any, hidden: Tensor) -> Tensor:
        query, key, value = attention.qkv(hidden).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
        query, key = apply_rotary_pos_emb_vision(query, key, *self._rotations)
        weights = (query.transpose(1, 2) @ key.permute(0, 2, 3, 1) * attention.scaling).softmax(
            -1
        )  # [batch, head, patch, patch]
        mixed = weights.to(value.dtype) @ value.transpose(1, 2)
        return attention.proj(mixed.transpose(1, 2).flatten(2))

    def _rows(self, task: str) -> Int[Tensor, " batch"]:
        return torch.randint(len(self.pools[task]), (self.batch[task],), generator=self.generator)

    def _positions_of(self, ids: Tensor, grid: Tensor) -> Tensor:
        """M-RoPE positions, which are the same for all items of a task."""
        kinds = (ids == self.model.config.image_token_id).int()
        return self.model.model.get_rope_index(ids, kinds, grid)[0]
