"""Sketches of architectures that take whole pictures, as CLIP and SigLIP do, and of those that cannot be built."""

from diptych.models.pictures import (
    SIDE,
    anyres,
    fixed,
    frames,
    masked_tiles,
    one_tile,
    questioned,
    sized,
    tiled,
    two_resolutions,
    with_local_view,
)
from diptych.models.sketches import (
    DENSE_SPARSE,
    EXPERTS,
    INDEXED,
    KOSMOS,
    LATENT,
    SLIDING_FULL,
    Sketch,
    text,
    under,
    vision,
)
from diptych.models.vocabulary import TOKENS

SAM = {"global_attn_indexes": [1], "window_size": 2, "mlp_dim": 64, "output_channels": 16}
TWO_ENCODERS = under("vision_config.sam_config", **SAM, patch_size=4, downsample_channels=[24, 32])
WIDE_OR_HIGH = [[32, 64], [64, 32]]
QFORMER = under("qformer_config", hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
QFORMER |= under("qformer_config", intermediate_size=64, encoder_hidden_size=32) | {"num_query_tokens": 4}
OPT = text(ffn_dim=96, word_embed_proj_dim=64)
CODEC = under("vq_config", base_channels=32, channel_multiplier=[1, 1, 1, 1], num_res_blocks=1)
DIGITS = "ABCDEFGHIJ"
CODES = {"IMGIMG" + "".join(DIGITS[int(digit)] for digit in str(code)) + "Z": TOKENS["84"] + code for code in range(16)}
VISUAL = {f"<|visual token {code:06d}|>": TOKENS["84"] + code for code in range(16)}
SCALED = {"embedding_multiplier": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.25, "logits_scaling": 4.0}
SIGLIP = {"model_type": "siglip_vision_model", "num_hidden_layers": 2, "num_attention_heads": 2}
SIGLIP |= {"hidden_size": 32, "intermediate_size": 64, "image_size": SIDE, "patch_size": 8}
PIXTRAL = SIGLIP | {"model_type": "pixtral", "head_dim": 16}
STAND_IN = SIGLIP | {"hidden_size": 16}  # as wide as there are patches: FastVLM swaps the two


WHOLE: dict[str, Sketch] = {
    "aria": Sketch(
        text(moe_num_experts=4, moe_topk=2)
        | {"projector_patch_to_query_dict": {"16": 4}, "max_value_projector_patch_to_query_dict": 4}
    ),
    "aya_vision": Sketch(),
    "blip": Sketch({}, fixed, places="<image>"),
    "blip-2": Sketch(QFORMER | OPT | {"image_token_index": 4}),
    "chameleon": Sketch(
        CODEC
        | under("vq_config", embed_dim=4, num_embeddings=16, latent_channels=16, resolution=32)
        | {"vocabulary_map": {"<image>": 4} | CODES, "image_token_id": 4}
    ),
    "cohere2_vision": Sketch(text(layer_types=SLIDING_FULL, sliding_window=8) | {"alignment_intermediate_size": 64}),
    "deepseek_ocr2": Sketch(
        TWO_ENCODERS | text(**EXPERTS, **DENSE_SPARSE) | {"vision_config.encoder_config.num_key_value_heads": 1}
    ),
    "deepseek_vl": Sketch(),
    "deepseek_vl_hybrid": Sketch(under("high_res_vision_config", **SAM, image_size=64, patch_size=16), two_resolutions),
    "emu3": Sketch(
        CODEC
        | under("vq_config", codebook_size=16, hidden_size=32)
        | {"vocabulary_map": {"<image>": 4, "<|extra_200|>": 9} | VISUAL, "image_token_id": 4},
        sized,
    ),
    "evolla": Sketch(),
    "fast_vlm": Sketch(tower=STAND_IN),
    "florence2": Sketch(),
    "gemma3": Sketch({"mm_tokens_per_image": 4}, fixed, "token_type_ids"),
    "gemma3n": Sketch(
        text(
            num_hidden_layers=6,
            num_kv_shared_layers=2,
            layer_types=[*SLIDING_FULL, *SLIDING_FULL[:2]],
            sliding_window=8,
            hidden_size_per_layer_input=8,
            vocab_size_per_layer_input=160,
            laurel_rank=8,
            activation_sparsity_pattern=[0.95, 0.95, 0.0, 0.0, 0.0, 0.0],
            intermediate_size=96,
        )
        | under("audio_config", hidden_size=32, conf_num_hidden_layers=1, conf_num_attention_heads=2, vocab_offset=200)
        | {"vision_soft_tokens_per_image": 16},
        token_types="token_type_ids",
        tower=STAND_IN | {"rms_norm_eps": 1e-06, "vocab_offset": 160, "vocab_size": 40},
    ),
    "git": Sketch({}, fixed, places="<image>"),
    "got_ocr2": Sketch(vision(**SAM, patch_size=4)),
    "granite4_vision": Sketch(
        text(**SCALED, num_hidden_layers=6)
        | vision(hidden_size=64)
        | under("qformer_config", num_hidden_layers=1)
        | {
            "downsample_rate": "1/2",
            "deepstack_layer_map": [[-2, 1], [-1, 0]],
            "spatial_target_layers": [2, 3, 4, 5],
            "image_grid_pinpoints": WIDE_OR_HIGH,
        },
        anyres,
        places="<image>" * 10,  # two by two of the whole picture, and two by two with a break behind each row
    ),
    "granite_docling": Sketch(
        text(**SCALED) | vision(out_hidden_size=64, scale_factor=2, deepstack_visual_indexes=[0, 1]), masked_tiles
    ),
    "idefics": Sketch({}, tiled, places="<image>"),
    "idefics2": Sketch(
        under("perceiver_config", resampler_n_latents=4, resampler_depth=1, resampler_n_heads=2, resampler_head_dim=16),
        tiled,
    ),
    "idefics3": Sketch({}, tiled),
    "instructblip": Sketch(QFORMER | OPT | {"image_token_index": 4}, questioned),
    "instructblipvideo": Sketch(
        QFORMER | OPT | {"video_token_index": 4},
        frames,
        "",
        "<image>" * 8,
    ),
    "internvl": Sketch(),
    "janus": Sketch(
        vision(num_image_tokens=16, projection_dim=64)
        | under(
            "vq_config",
            base_channels=32,
            num_embeddings=16,
            latent_channels=16,
            channel_multiplier=[1, 1],
            num_res_blocks=1,
            num_patches=4,
            projection_dim=64,
            image_token_embed_dim=64,
        )
    ),
    "kosmos-2": Sketch(
        KOSMOS,
        fixed,
        "image_embeds_position_mask",
        "<image>" * 4,
    ),
    "lighton_ocr": Sketch({}, sized),
    "llama4": Sketch(
        vision(vision_output_dim=64, projector_input_dim=64, projector_output_dim=64, intermediate_size=128)
        | text(
            num_local_experts=4,
            moe_layers=[1, 3],
            interleave_moe_layer_step=2,
            intermediate_size_mlp=96,
            intermediate_size=32,
            attention_chunk_size=8,
            no_rope_layers=[1, 0, 1, 0],
            layer_types=["chunked_attention", "full_attention"] * 2,
        )
    ),
    "llava": Sketch(),
    "llava+siglip": Sketch(
        text(model_type="qwen2") | {"vision_config": SIGLIP, "vision_feature_select_strategy": "full"}
    ),
    "llava+pixtral": Sketch(
        text(model_type="mistral")
        | {"vision_config": PIXTRAL, "vision_feature_select_strategy": "full", "vision_feature_layer": -1},
        sized,
    ),
    "llava_next": Sketch({"image_grid_pinpoints": WIDE_OR_HIGH}, anyres),
    "llava_next_video": Sketch({"image_grid_pinpoints": WIDE_OR_HIGH}, anyres),
    "llava_onevision": Sketch({"image_grid_pinpoints": WIDE_OR_HIGH}, anyres),
    "mistral3": Sketch({}, sized),
    "mistral4": Sketch(EXPERTS | LATENT | {"first_k_dense_replace": 1}),
    "mistral_large4": Sketch(
        text(
            **EXPERTS,
            **LATENT,
            **INDEXED,
            **DENSE_SPARSE,
            indexer_types=["full", "full", "shared", "full"],
            kv_source_layers=[0, 1, 0, 3],
        ),
        sized,
    ),
    "mllama": Sketch(
        text(cross_attention_layers=[1, 3])
        | vision(
            num_global_layers=1,
            attention_heads=2,
            max_num_tiles=2,
            intermediate_layers_indices=[0, 1],
            vision_output_dim=96,
            supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
        ),
        one_tile,
        places="<image>",
    ),
    "ovis2": Sketch(vision(vocab_size=40)),
    "paligemma": Sketch(vision(projection_dim=64) | {"projection_dim": 64}, fixed, "token_type_ids"),
    "perception_lm": Sketch({"vision_use_cls_token": False}, tiled, tower=STAND_IN | {"model_args": {"embed_dim": 16}}),
    "pi0": Sketch({}, fixed, places="<image>"),
    "pix2struct": Sketch(),
    "pp_chart2table": Sketch(vision(**SAM)),
    "pp_formulanet": Sketch(
        vision(
            **SAM,
            post_conv_in_channels=16,
            post_conv_mid_channels=24,
            post_conv_out_channels=32,
            decoder_hidden_size=64,
        )
        | text(
            d_model=64,
            encoder_layers=2,
            encoder_attention_heads=4,
            decoder_layers=2,
            decoder_attention_heads=4,
            decoder_ffn_dim=96,
        ),
        places="<image>",
    ),
    "qianfan_ocr": Sketch(vision(image_size=[SIDE, SIDE], patch_size=[8, 8]), fixed),
    "shieldgemma2": Sketch({"mm_tokens_per_image": 4}, fixed, "token_type_ids"),
    "smolvlm": Sketch({}, tiled),
    "step3p7": Sketch(
        text(
            **EXPERTS,
            **DENSE_SPARSE,
            share_expert_dim=32,
            layer_types=SLIDING_FULL,
            sliding_window=8,
            num_sliding_attention_heads=2,
            per_layer_config={n: {"num_attention_heads": 2} for n in (0, 2)},
        )
        | vision(patch_size=4),
        with_local_view,
    ),
    "t5gemma2": Sketch(),
    "udop": Sketch(),
    "unlimited_ocr": Sketch(TWO_ENCODERS | text(**EXPERTS, **DENSE_SPARSE, num_key_value_heads=4, sliding_window=8)),
    "video_llava": Sketch(),
    "vipllava": Sketch({"vision_feature_layer": [-2, -1]}),
    "vision-encoder-decoder": Sketch(),
}
