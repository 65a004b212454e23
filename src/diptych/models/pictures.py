"""What a picture is to an architecture: the tensors that its own image processor would make of square pixels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SIDE = 32
Features = dict[str, Tensor]
Pictures = Callable[[Tensor, Any], Features]
"""Pixels [batch, 3, side, side] and the model's configuration → the tensors a picture is to this architecture."""


def fixed(pixels: Tensor, config: Any) -> Features:
    """One square picture, as CLIP and SigLIP take it."""
    return {"pixel_values": pixels}


def sized(pixels: Tensor, config: Any) -> Features:
    """A square picture and its size in pixels, as Pixtral takes it."""
    return {"pixel_values": pixels, "image_sizes": torch.tensor([[SIDE, SIDE]] * len(pixels))}


def tiled(pixels: Tensor, config: Any) -> Features:
    """A picture as one tile of several possible: [batch, tile, 3, side, side]."""
    return {"pixel_values": pixels[:, None]}


def patched(pixels: Tensor, config: Any) -> Features:
    """Flattened patches of all pictures one behind the other, and each picture's grid, as Qwen2-VL takes it."""
    vision = config.vision_config
    patch, frames = vision.patch_size, getattr(vision, "temporal_patch_size", 1)
    rows = SIDE // patch
    cut = pixels.unfold(2, patch, patch).unfold(3, patch, patch)  # [batch, 3, row, column, patch, patch]
    flat = cut.permute(0, 2, 3, 1, 4, 5)[:, :, :, :, None].expand(-1, -1, -1, -1, frames, -1, -1)
    grid = torch.tensor([[1, rows, rows]] * len(pixels))
    return {"pixel_values": flat.flatten(0, 2).flatten(1), "image_grid_thw": grid}


def anyres(pixels: Tensor, config: Any) -> Features:
    """The whole picture, then its two halves, and its size in pixels, as LLaVA-NeXT takes it."""
    tiles = torch.stack([pixels, pixels.flip(-1), pixels.flip(-2)], dim=1)  # [batch, tile, 3, side, side]
    return {"pixel_values": tiles, "image_sizes": torch.tensor([[SIDE, SIDE]] * len(pixels))}


def one_tile(pixels: Tensor, config: Any) -> Features:
    """One tile of several possible, its shape's number and which tiles are real, as Mllama takes it."""
    count, tiles = len(pixels), config.vision_config.max_num_tiles
    mask = torch.zeros(count, 1, tiles, dtype=torch.long)
    mask[..., 0] = 1
    values = torch.zeros(count, 1, tiles, *pixels.shape[1:])
    values[:, 0, 0] = pixels
    return {
        "pixel_values": values,
        "aspect_ratio_ids": torch.ones(count, 1, dtype=torch.long),
        "aspect_ratio_mask": mask,
    }


def placed_patches(pixels: Tensor, config: Any) -> Features:
    """Patches between 0 and 1 with their columns and rows, as Gemma 4 takes them."""
    vision = config.vision_config
    patch = vision.patch_size
    flat = _rows_of_patches(pixels / 2 + 0.5, patch)
    return {"pixel_values": flat, "image_position_ids": _places(SIDE // patch, len(pixels))}


def merged_patches(pixels: Tensor, config: Any) -> Features:
    """Patches of `pooling_kernel_size` squared patches each, with columns and rows, as Gemma 4 unified takes them."""
    vision = config.vision_config
    patch = vision.patch_size * vision.pooling_kernel_size
    flat = _rows_of_patches(pixels / 2 + 0.5, patch)
    return {"pixel_values": flat, "image_position_ids": _places(SIDE // patch, len(pixels))}


def shaped_patches(pixels: Tensor, config: Any) -> Features:
    """Patches, the numbers of rows and columns, and which patches are real, as SigLIP 2 takes them."""
    patch = config.vision_config.patch_size
    flat = _rows_of_patches(pixels, patch)
    return {
        "pixel_values": flat,
        "spatial_shapes": torch.tensor([[SIDE // patch, SIDE // patch]] * len(pixels)),
        "pixel_attention_mask": torch.ones(flat.shape[:2], dtype=torch.long),
    }


def square_patches(pixels: Tensor, config: Any) -> Features:
    """Patches [n, 3, patch, patch] of all pictures one behind the other, and each picture's grid, as Kimi takes them."""
    features = patched(pixels, config)
    patch = config.vision_config.patch_size
    return features | {"pixel_values": features["pixel_values"].unflatten(-1, (3, patch, patch))}


def raw_patches(pixels: Tensor, config: Any) -> Features:
    """Flattened patches of each picture, without a grid, as Fuyu takes them."""
    return {"pixel_values": _rows_of_patches(pixels, config.patch_size)}


def pooled_crops(pixels: Tensor, config: Any) -> Features:
    """One crop's patches, and which of them each image token pools: squares of two by two, as Molmo 2 takes them."""
    patch = config.vision_config.patch_size
    rows, count = SIDE // patch, len(pixels)
    flat = _rows_of_patches(pixels, patch)  # [batch, patch, 3 · patch²]
    numbers = torch.arange(rows * rows).view(rows // 2, 2, rows // 2, 2).permute(0, 2, 1, 3).reshape(-1, 4)
    offsets = torch.arange(count) * rows * rows
    return {
        "pixel_values": flat,
        "image_token_pooling": (numbers + offsets[:, None, None]).flatten(0, 1),
        "image_grids": torch.tensor([[rows // 2, rows // 2, 0, 0]] * count),
        "image_num_crops": torch.ones(count, dtype=torch.long),
    }


def two_resolutions(pixels: Tensor, config: Any) -> Features:
    """The picture small and large, as DeepSeek-VL's hybrid takes it."""
    large = config.high_res_vision_config.image_size
    return {
        "pixel_values": pixels,
        "high_res_pixel_values": torch.nn.functional.interpolate(pixels, size=(large, large)),
    }


def questioned(pixels: Tensor, config: Any) -> Features:
    """The picture, and a question for the query former, as InstructBLIP takes it."""
    ids = torch.arange(4).expand(len(pixels), -1)
    return fixed(pixels, config) | {"qformer_input_ids": ids, "qformer_attention_mask": torch.ones_like(ids)}


def frames(pixels: Tensor, config: Any) -> Features:
    """A film of two frames, and a question for the query former, as InstructBLIP-Video takes it."""
    return questioned(pixels, config) | {"pixel_values": pixels[:, None].repeat(1, 2, 1, 1, 1)}


def numbered_patches(pixels: Tensor, config: Any) -> Features:
    """Patches with row and column in front, and the picture's size, as Kosmos-2.5 takes them."""
    patch = 8
    flat, count = _rows_of_patches(pixels, patch), len(pixels)
    return {
        "flattened_patches": torch.cat([_places(SIDE // patch, count).flip(-1).to(flat.dtype), flat], -1),
        "width": torch.tensor([SIDE] * count),
        "height": torch.tensor([SIDE] * count),
    }


def paired(pixels: Tensor, config: Any) -> Features:
    """Flattened patches of a frame shown `patch_temporal` times, and grids, as Muse takes them."""
    features = patched(pixels, config)
    return features | {"pixel_values": features["pixel_values"].repeat(1, config.vision_config.patch_temporal)}


def merged_by(pixels: Tensor, config: Any) -> Features:
    """Flattened patches, grids, and by how much each picture's grid is merged, as VideoLLaMA 3 takes them."""
    return patched(pixels, config) | {"image_merge_sizes": torch.tensor([2] * len(pixels))}


def patched_rows(pixels: Tensor, config: Any) -> Features:
    """Flattened patches and each picture's rows and columns, as RADIO takes them."""
    features = patched(pixels, config)
    return {"pixel_values": features["pixel_values"], "image_grid_hw": features["image_grid_thw"][:, 1:]}


def strip(pixels: Tensor, config: Any) -> Features:
    """The patches of all pictures side by side in one strip [1, 3, patch, n · patch], as MiniCPM-V takes them."""
    patch = config.vision_config.patch_size
    rows = SIDE // patch
    cut = pixels.unfold(2, patch, patch).unfold(3, patch, patch)  # [batch, 3, row, column, patch, patch]
    line = cut.permute(1, 4, 0, 2, 3, 5).flatten(2)
    return {"pixel_values": line[None], "target_sizes": torch.tensor([[rows, rows]] * len(pixels))}


def masked_tiles(pixels: Tensor, config: Any) -> Features:
    """A picture as two tiles, and which tiles are real, as Granite Docling takes it."""
    tiles = torch.stack([pixels, pixels.flip(-1)], dim=1)  # [batch, tile, 3, side, side]
    return {"pixel_values": tiles, "pixel_attention_mask": torch.ones(tiles.shape[:2], dtype=torch.bool)}


def with_local_view(pixels: Tensor, config: Any) -> Features:
    """The whole picture and one local view of it, as Step 3.7 takes it."""
    views = torch.ones(len(pixels), dtype=torch.long)
    return {"pixel_values": pixels, "pixel_values_local": pixels.flip(-1), "num_local_patches": views}


def merged_squares(pixels: Tensor, config: Any) -> Features:
    """Squares of `spatial_merge_size` squared patches, channels last, and their grid, as Inkling 2 takes them."""
    tower = config.vision_config
    square = tower.patch_size * tower.spatial_merge_size
    cut = pixels.unfold(2, square, square).unfold(3, square, square)  # [batch, 3, row, column, square, square]
    grid = torch.tensor([[1, *cut.shape[2:4]]] * len(pixels))
    return {"pixel_values": cut.permute(0, 2, 3, 4, 5, 1).flatten(0, 2), "image_grid_thw": grid}


def space_time_patches(pixels: Tensor, config: Any) -> Features:
    """Patches with time first and channels last, [patch, time, height, width, 3], as Inkling takes them."""
    tower = config.vision_config
    patch = tower.patch_size
    cut = pixels.unfold(2, patch, patch).unfold(3, patch, patch).permute(0, 2, 3, 4, 5, 1).flatten(0, 2)
    return {"pixel_values": cut[:, None].repeat(1, tower.temporal_patch_size, 1, 1, 1)}


def _rows_of_patches(pixels: Tensor, patch: int) -> Tensor:
    """[batch, 3, side, side] → [batch, patch, 3 · patch²], channels last, row by row."""
    cut = pixels.unfold(2, patch, patch).unfold(3, patch, patch)  # [batch, 3, row, column, patch, patch]
    return cut.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def _places(rows: int, count: int) -> Tensor:
    """Column and row of each patch: [picture, patch, 2]."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(rows), indexing="ij")
    return torch.stack([column.flatten(), row.flatten()], -1).expand(count, -1, -1).clone()
