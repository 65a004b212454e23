"""Sketches of architectures to which a picture is something of their own."""

from diptych.models.pictures import (
    merged_by,
    merged_patches,
    merged_squares,
    numbered_patches,
    paired,
    patched_rows,
    placed_patches,
    pooled_crops,
    raw_patches,
    shaped_patches,
    space_time_patches,
    square_patches,
    strip,
)
from diptych.models.sketches import (
    DENSE_SPARSE,
    EXPERTS,
    KOSMOS,
    LATENT,
    MROPE,
    SLIDING_FULL,
    TOKEN_TYPES,
    Sketch,
    text,
    under,
    vision,
)
from diptych.models.vocabulary import TOKENS

IMAGE = TOKENS["<image>"]
MINICPM = {"image_token_id": IMAGE, "insert_layer_id": 0}
MARKS = {"image_start_id": TOKENS["<image_start>"], "image_end_id": TOKENS["<image_end>"]}
SLIDING_HEADS = {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 16}
RELATIVE = {"d_rel": 4, "rel_extent": 16, "sliding_window_size": 8}
DELTA = {"linear_key_head_dim": 8, "linear_value_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
SPARK_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "moe_hidden_size": 32}
MAMBA = {"ssm_state_size": 8, "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 2, "chunk_size": 8}
MUSE = vision(pos_emb_height=2, pos_emb_width=2) | {"out_hidden_size": 128, "projector_hidden_size": 64}
GEMMA4 = text(
    num_hidden_layers=6,
    num_kv_shared_layers=2,
    layer_types=[*SLIDING_FULL, *SLIDING_FULL[:2]],
    sliding_window=8,
    per_layer_config={n: {"head_dim": 32} for n in (1, 3, 5)},
    hidden_size_per_layer_input=8,
    vocab_size_per_layer_input=160,
    use_double_wide_mlp=True,
    use_bidirectional_attention="vision",
) | {
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "patch_size": 8,
        "pooling_kernel_size": 2,
        "position_embedding_size": 16,
    }
}
GEMMA4_EXPERTS = text(enable_moe_block=True, num_experts=4, top_k_experts=2, moe_intermediate_size=32)

FORMS: dict[str, Sketch] = {
    "diffusion_gemma": Sketch(
        text(
            num_experts=4,
            top_k_experts=2,
            moe_intermediate_size=32,
            sliding_window=8,
            per_layer_config={1: {"head_dim": 32}, 3: {"head_dim": 32}},
        )
        | vision(position_embedding_size=64, num_key_value_heads=2, pooling_kernel_size=2)
        | {"canvas_length": 8},
        placed_patches,
        TOKEN_TYPES,
        places="<image>" * 4,
    ),
    "fuyu": Sketch({"patch_size": 8, "image_size": 32}, raw_patches),
    "gemma4": Sketch(GEMMA4, placed_patches, TOKEN_TYPES),
    "gemma4+experts": Sketch(GEMMA4 | GEMMA4_EXPERTS, placed_patches, TOKEN_TYPES),
    "gemma4_unified": Sketch(
        text(
            num_hidden_layers=6,
            num_kv_shared_layers=2,
            layer_types=[*SLIDING_FULL, *SLIDING_FULL[:2]],
            sliding_window=8,
            per_layer_config={n: {"head_dim": 32} for n in (1, 3, 5)},
            use_double_wide_mlp=True,
        )
        | {
            "vision_config": {
                "patch_size": 4,
                "pooling_kernel_size": 2,
                "mm_embed_dim": 64,
                "mm_posemb_size": 16,
                "output_proj_dims": 64,
            }
        },
        merged_patches,
        TOKEN_TYPES,
    ),
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
    "kimi_k25": Sketch(
        vision(pos_emb_height=4, pos_emb_width=4)
        | text(
            **EXPERTS,
            **LATENT,
            n_group=2,
            topk_group=1,
            first_k_dense_replace=1,
            head_dim=8,
        )
        | {"projection_hidden_size": 32},
        square_patches,
    ),
    "kosmos-2.5": Sketch(
        KOSMOS | vision(patch_embed_hidden_size=192, max_num_patches=16),
        numbered_patches,
        "image_embeds_position_mask",
        "<image>" * 4,
    ),
    "lfm2_vl": Sketch(
        vision(num_patches=16)
        | text(layer_types=["conv", "full_attention"] * 2, full_attn_idxs=None)
        | {"projector_hidden_size": 64},
        shaped_patches,
    ),
    "minicpm_ocr": Sketch(text(**DELTA) | MINICPM, strip),
    "minicpmv4_6": Sketch(text(**DELTA) | MINICPM, strip),
    "minicpmv4_7": Sketch(
        MARKS | text(**DELTA, rope_parameters=MROPE) | MINICPM,
        strip,
        TOKEN_TYPES,
    ),
    "molmo2": Sketch(
        vision(image_size=[32, 32], num_position_embeddings=16, num_key_value_heads=2)
        | under(
            "adapter_config",
            vision_feature_layer=[1, 0],
            hidden_size=32,
            num_attention_heads=2,
            head_dim=16,
            intermediate_size=64,
            text_hidden_size=64,
        )
        | text(additional_vocab_size=8)
        | {"image_patch_id": 4},
        pooled_crops,
        TOKEN_TYPES,
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
    "paddleocr_vl": Sketch(text(rope_parameters=MROPE), square_patches, TOKEN_TYPES),
    "video_llama_3": Sketch({}, merged_by),
}
