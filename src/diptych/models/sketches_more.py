"""Sketches of further architectures: what makes each tiny, and what a picture is to it."""

from typing import Any

import torch
from torch import Tensor

from diptych.models.pictures import anyres, placed_patches
from diptych.models.random import SIDE, TOKENS, Features, Sketch, fixed, patched, sized
from diptych.models.sketches import MROPE, TOKEN_TYPES


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


def under(parent: str, **values: Any) -> dict[str, Any]:
    """The values of one part of a configuration, by dotted path."""
    return {f"{parent}.{name}": value for name, value in values.items()}


def text(**values: Any) -> dict[str, Any]:
    return under("text_config", **values)


def vision(**values: Any) -> dict[str, Any]:
    return under("vision_config", **values)


IMAGE = TOKENS["<image>"]
MARKS = {"image_start_id": TOKENS["<image_start>"], "image_end_id": TOKENS["<image_end>"]}
SLIDING_FULL = ["sliding_attention", "full_attention"] * 2
INDEXED_SLIDING = ["indexed_attention", "sliding_attention"] * 2
FULL_SPARSE = ["full_attention", "minimax_m3_sparse"] * 2
DENSE_SPARSE = {"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]}
FEWER_HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2}
EXPERTS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LATENT = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}
LATENT |= {"qk_head_dim": 16, "num_key_value_heads": 4}
INDEXED = {"index_topk": 8, "index_head_dim": 16, "index_n_heads": 2}
SLIDING_HEADS = {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 16}
RELATIVE = {"d_rel": 4, "rel_extent": 16, "sliding_window_size": 8}
DELTA = {"linear_key_head_dim": 8, "linear_value_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
SPARK_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "moe_hidden_size": 32}
MINIMAX_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "dense_intermediate_size": 96}
MINIMAX_EXPERTS |= {"shared_intermediate_size": 32}
BLOCKS = {"index_n_heads": 2, "index_head_dim": 16, "index_block_size": 4, "index_topk_blocks": 3}
HYPER = {"hc_count": 2, "hc_lowrank": 16}
NGRAMS = {"ple_layer_ids": [1], "ple_embed_dim": 32, "heads_per_ngram": 2, "eos_token_id": TOKENS["</s>"]}
NGRAMS |= {"ngram_vocab_size_base": 64, "split_ngram_parts": 1, "number_of_conv_states": 3}
INDEXER = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16}
INDEXER |= {"indexer_budget": 8, "indexer_compress_ratio": 4}
MAMBA = {"ssm_state_size": 8, "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 2, "chunk_size": 8}
SCALED = {"embedding_multiplier": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.25, "logits_scaling": 4.0}

DEEP = vision(out_hidden_size=64, deepstack_visual_indexes=[0, 1], num_position_embeddings=16)
WINDOWED = vision(out_hidden_size=64, window_size=16, fullatt_block_indexes=[1])
MUSE = vision(pos_emb_height=2, pos_emb_width=2) | {"out_hidden_size": 128, "projector_hidden_size": 64}
SAM = {"global_attn_indexes": [1], "window_size": 2, "mlp_dim": 64, "output_channels": 16}
TWO_ENCODERS = under("vision_config.sam_config", **SAM, patch_size=4, downsample_channels=[24, 32])

SKETCHES_MORE: dict[str, Sketch] = {
    "cohere_compass": Sketch(
        DEEP
        | text(layer_types=SLIDING_FULL, sliding_window=8, logit_scale=0.25)
        | text(rope_parameters={"sliding_attention": MROPE, "full_attention": None}),
        patched,
        TOKEN_TYPES,
    ),
    "cosmos3_edge": Sketch(
        text(rope_parameters=MROPE) | vision(num_patches=16) | {"projector_hidden_size": 64}, patched, TOKEN_TYPES
    ),
    "cosmos3_omni": Sketch(DEEP | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "deepseek_ocr2": Sketch(
        TWO_ENCODERS | {"vision_config.encoder_config.num_key_value_heads": 1} | text(**EXPERTS, **DENSE_SPARSE)
    ),
    "diffusion_gemma": Sketch(
        text(num_experts=4, top_k_experts=2, moe_intermediate_size=32, sliding_window=8)
        | text(per_layer_config={1: {"head_dim": 32}, 3: {"head_dim": 32}})
        | vision(position_embedding_size=64, num_key_value_heads=2, pooling_kernel_size=2)
        | {"canvas_length": 8},
        placed_patches,
        TOKEN_TYPES,
        places="<image>" * 4,
    ),
    "dots3_note": Sketch(
        text(**EXPERTS, **LATENT, **INDEXED, **DENSE_SPARSE, layer_types=INDEXED_SLIDING, sliding_window=8)
        | text(per_layer_config={1: FEWER_HEADS, 3: FEWER_HEADS}, shared_experts_intermediate_size=32)
        | vision(mlp_layer_types=["dense", "sparse"], moe_intermediate_size=32, num_local_experts=4)
        | vision(per_layer_config={}, adapter_in_dim=32, adapter_out_dim=64)
        | under("audio_config", adapter_out_dim=64, adapter_input_size=64)
        | under("audio_config", downsample_hidden_size=8, conv_output_size=128),
        patched,
    ),
    "exaone4_5": Sketch(WINDOWED | vision(num_key_value_heads=1) | text(sliding_window=8), patched),
    "glm5_next": Sketch(
        text(**EXPERTS, **INDEXED, **(LATENT | {"qk_rope_head_dim": 0, "qk_head_dim": 8}), index_kpool=4)
        | text(linear_head_dim=16, linear_num_heads=4)
        | vision(out_hidden_size=64, projection_intermediate_size=64),
        patched,
    ),
    "glm_ocr": Sketch(vision(out_hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "glmga": Sketch(vision(out_hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "granite4_vision": Sketch(
        text(**SCALED, num_hidden_layers=6)
        | {"vision_config.hidden_size": 64, "qformer_config.num_hidden_layers": 1, "downsample_rate": "1/2"}
        | {"deepstack_layer_map": [[-2, 1], [-1, 0]], "spatial_target_layers": [2, 3, 4, 5]}
        | {"image_grid_pinpoints": [[32, 64], [64, 32]]},
        anyres,
        places="<image>" * 10,  # two by two of the whole picture, and two by two with a break behind each row
    ),
    "granite_docling": Sketch(
        text(**SCALED) | vision(out_hidden_size=64, scale_factor=2, deepstack_visual_indexes=[0, 1]), masked_tiles
    ),
    "hunyuan_vl": Sketch(
        text(head_dim=16, rope_parameters=MROPE | {"mrope_section": [2, 2, 2, 2]})
        | vision(out_hidden_size=64, text_hidden_size=64, max_image_size=SIDE),
        patched,
        TOKEN_TYPES,
    ),
    "hyperclovax_vision_v2": Sketch(WINDOWED, patched),
    "inkling2": Sketch(
        text(**EXPERTS, **SLIDING_HEADS, **RELATIVE, unpadded_vocab_size=120, n_layers_per_attn_res_block=2)
        | vision(text_hidden_size=64, projection_hidden_dim=64, posemb_grid_size=4),
        merged_squares,
    ),
    "inkling_mm_model": Sketch(
        text(**EXPERTS, **DENSE_SPARSE, **SLIDING_HEADS, **RELATIVE)
        | vision(text_hidden_size=64, n_layers=2)
        | under("audio_config", text_hidden_size=64, n_mel_bins=4),
        space_time_patches,
    ),
    "lfm3_vl": Sketch(
        text(layer_types=["conv", "full_attention", "conv", "sliding_attention"], sliding_window=8, conv_L_cache=3)
        | vision(num_key_value_heads=1)
        | {"projector_hidden_size": 64},
        patched,
    ),
    "lighton_ocr": Sketch({}, sized),
    "minicpm_ocr": Sketch(text(**DELTA) | {"image_token_id": IMAGE, "insert_layer_id": 0}, strip),
    "minicpmv4_6": Sketch(text(**DELTA) | {"image_token_id": IMAGE, "insert_layer_id": 0}, strip),
    "minicpmv4_7": Sketch(
        text(**DELTA, rope_parameters=MROPE) | MARKS | {"image_token_id": IMAGE, "insert_layer_id": 0},
        strip,
        TOKEN_TYPES,
    ),
    "minimax_m3_vl": Sketch(
        text(**MINIMAX_EXPERTS, **BLOCKS, **DENSE_SPARSE, layer_types=FULL_SPARSE, rotary_dim=8)
        | {"projector_hidden_size": 64},
        patched,
    ),
    "mistral4": Sketch(EXPERTS | LATENT | {"first_k_dense_replace": 1}),
    "mistral_large4": Sketch(
        text(**EXPERTS, **LATENT, **INDEXED, **DENSE_SPARSE)
        | text(indexer_types=["full", "full", "shared", "full"], kv_source_layers=[0, 1, 0, 3]),
        sized,
    ),
    "muse_glimmer": Sketch(MUSE | text(sliding_window=8), paired),
    "muse_spark": Sketch(
        MUSE
        | text(**SPARK_EXPERTS, **DENSE_SPARSE, sliding_window=8)
        | under("audio_config", hidden_sizes=[8, 16, 32, 64], out_hidden_size=64),
        paired,
    ),
    "nemotron_h_omni": Sketch(
        text(**EXPERTS, **MAMBA, moe_shared_expert_intermediate_size=32)
        | vision(max_img_size=64)
        | {"image_token_id": IMAGE, "vision_hidden_size": 32, "projector_hidden_size": 64},
        patched_rows,
    ),
    "pp_chart2table": Sketch(vision(**SAM)),
    "pp_formulanet": Sketch(
        vision(**SAM, post_conv_in_channels=16, post_conv_mid_channels=24, post_conv_out_channels=32)
        | vision(decoder_hidden_size=64)
        | text(d_model=64, encoder_layers=2, encoder_attention_heads=4)
        | text(decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=96),
        places="<image>",
    ),
    "qianfan_ocr": Sketch(vision(image_size=[SIDE, SIDE], patch_size=[8, 8]), fixed),
    "qwen4_exp": Sketch(
        text(**DELTA, **HYPER, **NGRAMS, **INDEXER, rope_parameters=MROPE, num_experts=4, num_experts_per_tok=2)
        | text(moe_intermediate_size=32, shared_expert_intermediate_size=32)
        | vision(out_hidden_size=64, num_position_embeddings=16),
        patched,
        TOKEN_TYPES,
    ),
    "step3p7": Sketch(
        text(**EXPERTS, **DENSE_SPARSE, share_expert_dim=32, layer_types=SLIDING_FULL, sliding_window=8)
        | text(num_sliding_attention_heads=2, per_layer_config={n: {"num_attention_heads": 2} for n in (0, 2)})
        | vision(patch_size=4),
        with_local_view,
    ),
    "unlimited_ocr": Sketch(TWO_ENCODERS | text(**EXPERTS, **DENSE_SPARSE, num_key_value_heads=4, sliding_window=8)),
    "video_llama_3": Sketch({}, merged_by),
}
