"""Sketches: what makes each architecture of transformers' image-text-to-text mapping tiny."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diptych.models.pictures import Pictures


@dataclass(frozen=True)
class Sketch:
    """What makes one architecture tiny: changes to its default configuration, and what a picture is to it.

    `config`: dotted path → value, on top of the general small sizes. `token_types`: the argument that tells which
    positions are pictures, for architectures that want it. `places`: the text that stands for one picture, where the
    model does not tell how many features it makes of one. `tower`: the configuration, `model_type` and all, of another
    vision tower that stands in for the architecture's own, which needs torchvision.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    pictures: Pictures | None = None
    token_types: str = ""
    places: str = ""
    tower: Mapping[str, Any] = field(default_factory=dict)


def under(parent: str, **values: Any) -> dict[str, Any]:
    """The values of one part of a configuration, by dotted path."""
    return {f"{parent}.{name}": value for name, value in values.items()}


def text(**values: Any) -> dict[str, Any]:
    return under("text_config", **values)


def vision(**values: Any) -> dict[str, Any]:
    return under("vision_config", **values)


MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
TOKEN_TYPES = "mm_token_type_ids"
SLIDING_FULL = ["sliding_attention", "full_attention"] * 2
DENSE_SPARSE = {"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]}
FEW_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
EXPERTS = FEW_EXPERTS | {"n_routed_experts": 4}
LATENT = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}
LATENT |= {"qk_head_dim": 16, "num_key_value_heads": 4}
INDEXED = {"index_topk": 8, "index_head_dim": 16, "index_n_heads": 2}
KOSMOS = text(embed_dim=64, layers=4, ffn_dim=96, attention_heads=4) | {"latent_query_num": 4}


def every_sketch() -> dict[str, Sketch]:
    """The sketches of all architectures and of their variants, by name."""
    from diptych.models.sketches_forms import FORMS
    from diptych.models.sketches_patches import PATCHES
    from diptych.models.sketches_whole import WHOLE

    return dict(sorted((FORMS | PATCHES | WHOLE).items()))
