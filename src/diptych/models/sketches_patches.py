"""Sketches of architectures that take flattened patches and a grid, as Qwen2-VL does."""

from diptych.models.pictures import SIDE, patched
from diptych.models.sketches import (
    DENSE_SPARSE,
    EXPERTS,
    FEW_EXPERTS,
    INDEXED,
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

HALF_MROPE = MROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}
DEEP = vision(out_hidden_size=64, deepstack_visual_indexes=[0, 1], num_position_embeddings=16)
WINDOWED = vision(out_hidden_size=64, window_size=16, fullatt_block_indexes=[1])
AUDIO = under(
    "audio_config", d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, output_dim=64
)
INDEXED_SLIDING = ["indexed_attention", "sliding_attention"] * 2
FULL_SPARSE = ["full_attention", "minimax_m3_sparse"] * 2
FEWER_HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2}
DELTA = {"linear_key_head_dim": 8, "linear_value_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
MINIMAX_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "dense_intermediate_size": 96}
MINIMAX_EXPERTS |= {"shared_intermediate_size": 32}
BLOCKS = {"index_n_heads": 2, "index_head_dim": 16, "index_block_size": 4, "index_topk_blocks": 3}
HYPER = {"hc_count": 2, "hc_lowrank": 16}
NGRAMS = {"ple_layer_ids": [1], "ple_embed_dim": 32, "heads_per_ngram": 2, "eos_token_id": TOKENS["</s>"]}
NGRAMS |= {"ngram_vocab_size_base": 64, "split_ngram_parts": 1, "number_of_conv_states": 3}
INDEXER = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16}
INDEXER |= {"indexer_budget": 8, "indexer_compress_ratio": 4}

PATCHES: dict[str, Sketch] = {
    "cohere_compass": Sketch(
        DEEP
        | text(
            layer_types=SLIDING_FULL,
            sliding_window=8,
            logit_scale=0.25,
            rope_parameters={"sliding_attention": MROPE, "full_attention": None},
        ),
        patched,
        TOKEN_TYPES,
    ),
    "cosmos3_edge": Sketch(
        text(rope_parameters=MROPE) | vision(num_patches=16) | {"projector_hidden_size": 64}, patched, TOKEN_TYPES
    ),
    "cosmos3_omni": Sketch(DEEP | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "dots3_note": Sketch(
        text(
            **EXPERTS,
            **LATENT,
            **INDEXED,
            **DENSE_SPARSE,
            layer_types=INDEXED_SLIDING,
            sliding_window=8,
            per_layer_config={1: FEWER_HEADS, 3: FEWER_HEADS},
            shared_experts_intermediate_size=32,
        )
        | vision(
            mlp_layer_types=["dense", "sparse"],
            moe_intermediate_size=32,
            num_local_experts=4,
            per_layer_config={},
            adapter_in_dim=32,
            adapter_out_dim=64,
        )
        | under(
            "audio_config", adapter_out_dim=64, adapter_input_size=64, downsample_hidden_size=8, conv_output_size=128
        ),
        patched,
    ),
    "ernie4_5_vl_moe": Sketch(
        text(
            rope_parameters=MROPE | {"mrope_section": [3, 3, 2]},
            moe_intermediate_size=[32, 16],
            moe_k=2,
            moe_num_experts=4,
            **DENSE_SPARSE,
        ),
        patched,
        TOKEN_TYPES,
    ),
    "exaone4_5": Sketch(WINDOWED | vision(num_key_value_heads=1) | text(sliding_window=8), patched),
    "glm46v": Sketch(vision(out_hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "glm4v": Sketch(vision(out_hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "glm4v_moe": Sketch(
        vision(out_hidden_size=64) | text(rope_parameters=HALF_MROPE, **EXPERTS, first_k_dense_replace=1),
        patched,
        TOKEN_TYPES,
    ),
    "glm5_next": Sketch(
        text(
            **EXPERTS,
            **INDEXED,
            **(LATENT | {"qk_rope_head_dim": 0, "qk_head_dim": 8}),
            index_kpool=4,
            linear_head_dim=16,
            linear_num_heads=4,
        )
        | vision(out_hidden_size=64, projection_intermediate_size=64),
        patched,
        TOKEN_TYPES,
    ),
    "glm_ocr": Sketch(vision(out_hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "glmga": Sketch(vision(out_hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "hunyuan_vl": Sketch(
        text(head_dim=16, rope_parameters=MROPE | {"mrope_section": [2, 2, 2, 2]})
        | vision(out_hidden_size=64, text_hidden_size=64, max_image_size=SIDE),
        patched,
        TOKEN_TYPES,
    ),
    "hyperclovax_vision_v2": Sketch(WINDOWED, patched),
    "lfm3_vl": Sketch(
        text(layer_types=["conv", "full_attention", "conv", "sliding_attention"], sliding_window=8, conv_L_cache=3)
        | vision(num_key_value_heads=1)
        | {"projector_hidden_size": 64},
        patched,
    ),
    "minimax_m3_vl": Sketch(
        text(**MINIMAX_EXPERTS, **BLOCKS, **DENSE_SPARSE, layer_types=FULL_SPARSE, rotary_dim=8)
        | {"projector_hidden_size": 64},
        patched,
    ),
    "qwen2_5_omni_thinker": Sketch(
        WINDOWED | text(rope_parameters=MROPE) | AUDIO | {"vision_start_token_id": TOKENS["<image_start>"]}, patched
    ),
    "qwen2_5_vl": Sketch(vision(out_hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "qwen2_vl": Sketch(vision(hidden_size=64) | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "qwen3_5": Sketch(
        vision(out_hidden_size=64, num_position_embeddings=16) | text(rope_parameters=HALF_MROPE, **DELTA),
        patched,
        TOKEN_TYPES,
    ),
    "qwen3_5_moe": Sketch(
        vision(out_hidden_size=64, num_position_embeddings=16)
        | text(rope_parameters=HALF_MROPE, **DELTA, **FEW_EXPERTS, num_experts=4, shared_expert_intermediate_size=32),
        patched,
        TOKEN_TYPES,
    ),
    "qwen3_omni_moe_thinker": Sketch(
        DEEP
        | text(rope_parameters=MROPE, **FEW_EXPERTS, num_experts=4, head_dim=16)
        | AUDIO
        | under("audio_config", downsample_hidden_size=8)
        | {"vision_start_token_id": TOKENS["<image_start>"]},
        patched,
    ),
    "qwen3_vl": Sketch(DEEP | text(rope_parameters=MROPE), patched, TOKEN_TYPES),
    "qwen3_vl_moe": Sketch(
        DEEP | text(rope_parameters=MROPE, **FEW_EXPERTS, num_local_experts=4), patched, TOKEN_TYPES
    ),
    "qwen4_exp": Sketch(
        text(
            **DELTA,
            **HYPER,
            **NGRAMS,
            **INDEXER,
            rope_parameters=MROPE,
            num_experts=4,
            **FEW_EXPERTS,
            shared_expert_intermediate_size=32,
        )
        | vision(out_hidden_size=64, num_position_embeddings=16),
        patched,
        TOKEN_TYPES,
    ),
}
