"""Sketches: what makes each architecture of transformers' image-text-to-text mapping tiny."""

from typing import Any

from diptych.models.pictures import (
    anyres,
    frames,
    merged_patches,
    numbered_patches,
    one_tile,
    placed_patches,
    pooled_crops,
    questioned,
    raw_patches,
    shaped_patches,
    square_patches,
    two_resolutions,
)
from diptych.models.random import Sketch, fixed, patched, sized, tiled
from diptych.models.vocabulary import TOKENS

TOKEN_TYPES = "mm_token_type_ids"
MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
HALF_MROPE = MROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}
DEEP = {
    "vision_config.out_hidden_size": 64,
    "vision_config.deepstack_visual_indexes": [0, 1],
    "vision_config.num_position_embeddings": 16,
}
DELTA = {"linear_key_head_dim": 8, "linear_value_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
EXPERTS = {"moe_intermediate_size": 32, "num_experts_per_tok": 2}
LATENT = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}
ALTERNATING = ["sliding_attention", "full_attention"] * 2


def under(parent: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values of one part of a configuration, by dotted path."""
    return {f"{parent}.{name}": value for name, value in values.items()}


SAM = {"global_attn_indexes": [1], "window_size": 2, "mlp_dim": 64, "output_channels": 16}
WINDOWED = {
    "vision_config.out_hidden_size": 64,
    "vision_config.window_size": 16,
    "vision_config.fullatt_block_indexes": [1],
}
AUDIO = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "output_dim": 64}
QFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "encoder_hidden_size": 32,
}
OPT = {"ffn_dim": 96, "word_embed_proj_dim": 64}
DIGITS = "ABCDEFGHIJ"
CODES = {"IMGIMG" + "".join(DIGITS[int(digit)] for digit in str(code)) + "Z": TOKENS["84"] + code for code in range(16)}
VISUAL = {f"<|visual token {code:06d}|>": TOKENS["84"] + code for code in range(16)}

STAND_IN = {
    "model_type": "siglip_vision_model",
    "hidden_size": 16,  # as many as patches: FastVLM swaps the two
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}

SKETCHES: dict[str, Sketch] = {
    "aria": Sketch(
        {"projector_patch_to_query_dict": {"16": 4}, "max_value_projector_patch_to_query_dict": 4}
        | under("text_config", {"moe_num_experts": 4, "moe_topk": 2})
    ),
    "aya_vision": Sketch(),
    "cohere2_vision": Sketch(
        {"alignment_intermediate_size": 64, "text_config.layer_types": ALTERNATING, "text_config.sliding_window": 8}
    ),
    "deepseek_vl": Sketch(),
    "gemma3": Sketch({"mm_tokens_per_image": 4}, fixed, "token_type_ids"),
    "gemma4": Sketch(
        {
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
        | under(
            "text_config",
            {
                "num_hidden_layers": 6,
                "num_kv_shared_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"] * 3,
                "sliding_window": 8,
                "per_layer_config": {n: {"head_dim": 32} for n in (1, 3, 5)},
                "hidden_size_per_layer_input": 8,
                "vocab_size_per_layer_input": 160,
                "use_double_wide_mlp": True,
                "use_bidirectional_attention": "vision",
            },
        ),
        placed_patches,
        TOKEN_TYPES,
    ),
    "glm46v": Sketch({"vision_config.out_hidden_size": 64, "text_config.rope_parameters": MROPE}, patched, TOKEN_TYPES),
    "glm4v": Sketch({"vision_config.out_hidden_size": 64, "text_config.rope_parameters": MROPE}, patched, TOKEN_TYPES),
    "idefics2": Sketch(
        under(
            "perceiver_config",
            {"resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 16},
        ),
        tiled,
    ),
    "idefics3": Sketch({}, tiled),
    "internvl": Sketch(),
    "lfm2_vl": Sketch(
        {
            "vision_config.num_patches": 16,
            "projector_hidden_size": 64,
            "text_config.layer_types": ["conv", "full_attention"] * 2,
            "text_config.full_attn_idxs": None,
        },
        shaped_patches,
    ),
    "llava": Sketch(),
    "llava_next": Sketch({"image_grid_pinpoints": [[32, 64], [64, 32]]}, anyres),
    "llava_next_video": Sketch({"image_grid_pinpoints": [[32, 64], [64, 32]]}, anyres),
    "llava_onevision": Sketch({"image_grid_pinpoints": [[32, 64], [64, 32]]}, anyres),
    "mistral3": Sketch({}, sized),
    "mllama": Sketch(
        {"text_config.cross_attention_layers": [1, 3]}
        | under(
            "vision_config",
            {
                "num_global_layers": 1,
                "attention_heads": 2,
                "max_num_tiles": 2,
                "intermediate_layers_indices": [0, 1],
                "vision_output_dim": 96,
                "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
            },
        ),
        one_tile,
        places="<image>",
    ),
    "ovis2": Sketch({"vision_config.vocab_size": 40}),
    "paligemma": Sketch({"vision_config.projection_dim": 64, "projection_dim": 64}, fixed, "token_type_ids"),
    "qwen2_vl": Sketch({"vision_config.hidden_size": 64, "text_config.rope_parameters": MROPE}, patched, TOKEN_TYPES),
    "qwen2_5_vl": Sketch(
        {"vision_config.out_hidden_size": 64, "text_config.rope_parameters": MROPE}, patched, TOKEN_TYPES
    ),
    "qwen3_5": Sketch(
        {
            "vision_config.out_hidden_size": 64,
            "vision_config.num_position_embeddings": 16,
            "text_config.rope_parameters": HALF_MROPE,
        }
        | under("text_config", DELTA),
        patched,
        TOKEN_TYPES,
    ),
    "qwen3_5_moe": Sketch(
        {
            "vision_config.out_hidden_size": 64,
            "vision_config.num_position_embeddings": 16,
            "text_config.rope_parameters": HALF_MROPE,
        }
        | under("text_config", DELTA | EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 32}),
        patched,
        TOKEN_TYPES,
    ),
    "qwen3_vl": Sketch(DEEP | {"text_config.rope_parameters": MROPE}, patched, TOKEN_TYPES),
    "qwen3_vl_moe": Sketch(
        DEEP | {"text_config.rope_parameters": MROPE} | under("text_config", EXPERTS | {"num_local_experts": 4}),
        patched,
        TOKEN_TYPES,
    ),
    "shieldgemma2": Sketch({"mm_tokens_per_image": 4}, fixed, "token_type_ids"),
    "smolvlm": Sketch({}, tiled),
    "video_llava": Sketch(),
    "vipllava": Sketch({"vision_feature_layer": [-2, -1]}),
    "blip-2": Sketch(
        {"num_query_tokens": 4, "image_token_index": 4} | under("qformer_config", QFORMER) | under("text_config", OPT)
    ),
    "chameleon": Sketch(
        {"vocabulary_map": {"<image>": 4} | CODES, "image_token_id": 4}
        | under(
            "vq_config",
            {
                "embed_dim": 16,
                "num_embeddings": 16,
                "latent_channels": 16,
                "resolution": 32,
                "base_channels": 32,
                "channel_multiplier": [1, 1, 1, 1],
                "num_res_blocks": 1,
            },
        )
    ),
    "deepseek_vl_hybrid": Sketch(
        under("high_res_vision_config", SAM | {"image_size": 64, "patch_size": 16}), two_resolutions
    ),
    "emu3": Sketch(
        {"vocabulary_map": {"<image>": 4, "<|extra_200|>": 9} | VISUAL, "image_token_id": 4}
        | under(
            "vq_config",
            {
                "codebook_size": 16,
                "base_channels": 32,
                "channel_multiplier": [1, 1, 1, 1],
                "num_res_blocks": 1,
                "hidden_size": 32,
            },
        ),
        sized,
    ),
    "ernie4_5_vl_moe": Sketch(
        {"text_config.rope_parameters": MROPE | {"mrope_section": [3, 3, 2]}}
        | under(
            "text_config",
            {
                "moe_intermediate_size": [32, 16],
                "moe_k": 2,
                "moe_num_experts": 4,
                "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
            },
        ),
        patched,
        TOKEN_TYPES,
    ),
    "fuyu": Sketch({"patch_size": 8, "image_size": 32}, raw_patches),
    "gemma4_unified": Sketch(
        {
            "vision_config": {
                "patch_size": 4,
                "pooling_kernel_size": 2,
                "mm_embed_dim": 64,
                "mm_posemb_size": 16,
                "output_proj_dims": 64,
            }
        }
        | under(
            "text_config",
            {
                "num_hidden_layers": 6,
                "num_kv_shared_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"] * 3,
                "sliding_window": 8,
                "per_layer_config": {n: {"head_dim": 32} for n in (1, 3, 5)},
                "use_double_wide_mlp": True,
            },
        ),
        merged_patches,
        TOKEN_TYPES,
    ),
    "glm4v_moe": Sketch(
        {"vision_config.out_hidden_size": 64, "text_config.rope_parameters": HALF_MROPE}
        | under("text_config", EXPERTS | {"n_routed_experts": 4, "first_k_dense_replace": 1}),
        patched,
        TOKEN_TYPES,
    ),
    "got_ocr2": Sketch(under("vision_config", SAM | {"patch_size": 4})),
    "instructblip": Sketch(
        {"num_query_tokens": 4, "image_token_index": 4} | under("qformer_config", QFORMER) | under("text_config", OPT),
        questioned,
    ),
    "janus": Sketch(
        under("vision_config", {"num_image_tokens": 16, "projection_dim": 64})
        | under(
            "vq_config",
            {
                "base_channels": 32,
                "num_embeddings": 16,
                "latent_channels": 16,
                "channel_multiplier": [1, 1],
                "num_res_blocks": 1,
                "num_patches": 4,
                "projection_dim": 64,
                "image_token_embed_dim": 64,
            },
        )
    ),
    "kimi_k25": Sketch(
        {"projection_hidden_size": 32}
        | under("vision_config", {"pos_emb_height": 4, "pos_emb_width": 4})
        | under(
            "text_config",
            EXPERTS
            | LATENT
            | {
                "n_routed_experts": 4,
                "num_key_value_heads": 4,
                "n_group": 2,
                "topk_group": 1,
                "first_k_dense_replace": 1,
                "head_dim": 8,
            },
        ),
        square_patches,
    ),
    "kosmos-2": Sketch(
        {"latent_query_num": 4}
        | under("text_config", {"embed_dim": 64, "layers": 4, "ffn_dim": 96, "attention_heads": 4}),
        fixed,
        "image_embeds_position_mask",
        "<image>" * 4,
    ),
    "llama4": Sketch(
        under(
            "vision_config",
            {"vision_output_dim": 64, "projector_input_dim": 64, "projector_output_dim": 64, "intermediate_size": 128},
        )
        | under(
            "text_config",
            {
                "num_local_experts": 4,
                "moe_layers": [1, 3],
                "interleave_moe_layer_step": 2,
                "intermediate_size_mlp": 96,
                "intermediate_size": 32,
                "attention_chunk_size": 8,
                "no_rope_layers": [1, 0, 1, 0],
                "layer_types": ["chunked_attention", "full_attention"] * 2,
            },
        )
    ),
    "molmo2": Sketch(
        {"image_patch_id": 4}
        | under("vision_config", {"image_size": [32, 32], "num_position_embeddings": 16, "num_key_value_heads": 2})
        | under(
            "adapter_config",
            {
                "vision_feature_layer": [1, 0],
                "hidden_size": 32,
                "num_attention_heads": 2,
                "head_dim": 16,
                "intermediate_size": 64,
                "text_hidden_size": 64,
            },
        )
        | {"text_config.additional_vocab_size": 8},
        pooled_crops,
        TOKEN_TYPES,
    ),
    "paddleocr_vl": Sketch({"text_config.rope_parameters": MROPE}, square_patches, TOKEN_TYPES),
    "qwen2_5_omni_thinker": Sketch(
        WINDOWED | {"text_config.rope_parameters": MROPE, "vision_start_token_id": 5} | under("audio_config", AUDIO),
        patched,
    ),
    "qwen3_omni_moe_thinker": Sketch(
        DEEP
        | {"text_config.rope_parameters": MROPE, "vision_start_token_id": 5}
        | under("audio_config", AUDIO | {"downsample_hidden_size": 8})
        | under("text_config", EXPERTS | {"num_experts": 4, "head_dim": 16}),
        patched,
    ),
    "kosmos-2.5": Sketch(
        {"latent_query_num": 4}
        | under("text_config", {"embed_dim": 64, "layers": 4, "ffn_dim": 96, "attention_heads": 4})
        | under("vision_config", {"patch_embed_hidden_size": 192, "max_num_patches": 16}),
        numbered_patches,
        "image_embeds_position_mask",
        "<image>" * 4,
    ),
    "instructblipvideo": Sketch(
        {"num_query_tokens": 4, "video_token_index": 4} | under("qformer_config", QFORMER) | under("text_config", OPT),
        frames,
        "",
        "<image>" * 8,
    ),
    "idefics": Sketch({}, tiled, places="<image>"),
    "blip": Sketch({}, fixed, places="<image>"),
    "git": Sketch({}, fixed, places="<image>"),
    "pi0": Sketch({}, fixed, places="<image>"),
    "evolla": Sketch(),
    "fast_vlm": Sketch(tower=STAND_IN),
    "florence2": Sketch(),
    "gemma3n": Sketch(
        {"vision_soft_tokens_per_image": 16}
        | under(
            "text_config",
            {
                "num_hidden_layers": 6,
                "num_kv_shared_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"] * 3,
                "sliding_window": 8,
                "hidden_size_per_layer_input": 8,
                "vocab_size_per_layer_input": 160,
                "laurel_rank": 8,
                "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0, 0.0, 0.0],
                "intermediate_size": 96,
            },
        )
        | under(
            "audio_config",
            {"hidden_size": 32, "conf_num_hidden_layers": 1, "conf_num_attention_heads": 2, "vocab_offset": 200},
        ),
        tower=STAND_IN | {"rms_norm_eps": 1e-6, "vocab_offset": 160, "vocab_size": 40},
    ),
    "perception_lm": Sketch(
        {"vision_use_cls_token": False}, tiled, tower=STAND_IN | {"model_args": {"embed_dim": 16}}
    ),
    "pix2struct": Sketch(),
    "t5gemma2": Sketch(),
    "udop": Sketch(),
    "vision-encoder-decoder": Sketch(),
}


def every_sketch() -> dict[str, Sketch]:
    """The sketches of all architectures, by name."""
    from diptych.models.sketches_more import SKETCHES_MORE

    return dict(sorted((SKETCHES | SKETCHES_MORE).items()))
