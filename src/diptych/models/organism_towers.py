"""How a batch of pictures goes through each family's tower, and embedded tokens through its decoder, for training.

Hugging Face attends picture by picture, or over all pictures at once; here a batch is a batch, with the same weights
(test_the_batched_tower_equals_hugging_face).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids

Pixels = Float[Tensor, "batch channel row column"]
Features = Float[Tensor, "batch token width"]


def see_qwen2_vl(model: Any, pixels: Pixels) -> Features:
    """Patches in the order in which they are merged: two by two."""
    tower = model.model.visual
    side, merge = tower.config.patch_size, tower.spatial_merge_size
    grid = torch.tensor([[1, pixels.shape[2] // side, pixels.shape[3] // side]], device=pixels.device)
    rotations = tower.rotary_pos_emb(pixels[:1, 0, 0, :1], get_vision_position_ids(grid, merge))
    cut = pixels.unfold(2, side, side).unfold(3, side, side)  # [batch, channel, row, column, y, x]
    blocks = cut.unflatten(3, (-1, merge)).unflatten(2, (-1, merge)).permute(0, 2, 4, 3, 5, 1, 6, 7)
    hidden = F.linear(blocks.flatten(5).flatten(1, 4), tower.patch_embed.proj.weight.flatten(1))
    for block in tower.blocks:
        hidden = hidden + _attend(block.attn, block.norm1(hidden), rotations)
        hidden = hidden + block.mlp(block.norm2(hidden))
    return tower.merger(hidden).unflatten(0, (len(pixels), -1))


def see_llava(model: Any, pixels: Pixels) -> Features:
    """One image token per patch."""
    tower = model.model.vision_tower
    cut = pixels.unfold(2, tower.patch_size, tower.patch_size).unfold(3, tower.patch_size, tower.patch_size)
    patches = F.linear(cut.permute(0, 2, 3, 1, 4, 5).flatten(3), tower.patch_conv.weight.flatten(1))
    rows, columns = (grid.flatten() for grid in torch.meshgrid(*map(torch.arange, patches.shape[1:3]), indexing="ij"))
    hidden = tower.ln_pre(patches.flatten(1, 2))
    rotations = tower.patch_positional_embedding(hidden, torch.stack([rows, columns], -1).to(hidden.device))
    hidden = tower.transformer(hidden, position_embeddings=rotations).last_hidden_state
    return model.model.multi_modal_projector(hidden)


def see_gemma3(model: Any, pixels: Pixels) -> Features:
    """Patches pooled two by two."""
    return model.model.get_image_features(pixels).pooler_output


def think_qwen2_vl(model: Any, embedded: Tensor, ids: Int[Tensor, "batch pos"]) -> Tensor:
    """The decoder's last hidden states; positions are those of the first row, as pictures stand at the same place in all."""
    config = model.config
    kinds = (ids[:1] == config.image_token_id).int()
    side = round(int(kinds.sum()) ** 0.5) * config.vision_config.spatial_merge_size
    grid = torch.tensor([[1, side, side]], device=ids.device) if side else None
    positions = model.model.get_rope_index(ids[:1], kinds, grid)[0].expand(3, len(ids), -1)
    return model.model(inputs_embeds=embedded, position_ids=positions, use_cache=False).last_hidden_state


def think_llava(model: Any, embedded: Tensor, ids: Int[Tensor, "batch pos"]) -> Tensor:
    """The decoder's last hidden states."""
    return model.model(inputs_embeds=embedded, use_cache=False).last_hidden_state


def think_gemma3(model: Any, embedded: Tensor, ids: Int[Tensor, "batch pos"]) -> Tensor:
    """The decoder's last hidden states; the tokens of a picture, at the same place in all rows, see each other both ways."""
    picture = ids[0] == model.config.image_token_id
    seen = (
        torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril() | picture[:, None] & picture
    )
    mask = torch.zeros_like(seen, dtype=embedded.dtype).masked_fill(~seen, torch.finfo(embedded.dtype).min)[None, None]
    masks = {"full_attention": mask, "sliding_attention": mask}
    return model.model(inputs_embeds=embedded, attention_mask=masks, use_cache=False).last_hidden_state


def _attend(attention: Any, hidden: Tensor, rotations: tuple[Tensor, Tensor]) -> Tensor:
    query, key, value = attention.qkv(hidden).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    query, key = apply_rotary_pos_emb_vision(query, key, *rotations)
    scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) * attention.scaling  # [batch, head, patch, patch]
    mixed = scores.softmax(-1).to(value.dtype) @ value.transpose(1, 2)
    return attention.proj(mixed.transpose(1, 2).flatten(2))
