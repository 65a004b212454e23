"""Quantised weights: projections in 8 or 4 bits by bitsandbytes, where that package is installed."""

from importlib.util import find_spec
from typing import Any

import torch

from diptych.errors import InputError

PACKAGE = "bitsandbytes"
QUANTISATIONS: dict[str, dict[str, Any]] = {
    "int8": {"load_in_8bit": True},
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}
"""Name → what bitsandbytes is asked for. A checkpoint that is quantised already needs no name."""


def require_quantisation(name: str | None) -> None:
    """Raise `InputError` for a name that is not known, or if the package is not installed."""
    if name is None:
        return
    if name not in QUANTISATIONS:
        raise InputError(f"No quantisation named '{name}'. Known: {', '.join(QUANTISATIONS)}.")
    if find_spec(PACKAGE) is None:
        raise InputError(
            f"Quantisation '{name}' needs the package {PACKAGE}, which is not installed. Install it "
            f'(`pip install {PACKAGE}`), or load with dtype="bfloat16" or device_map="auto" to save memory.'
        )


def quantisation_options(name: str | None, dtype: torch.dtype | str) -> dict[str, Any]:
    """What `from_pretrained` takes for it; products are computed in `dtype`, scores are summed in float32 as ever."""
    require_quantisation(name)
    if name is None:
        return {}
    from transformers import BitsAndBytesConfig

    compute = {"bnb_4bit_compute_dtype": dtype} if name == "nf4" and isinstance(dtype, torch.dtype) else {}
    return {"quantization_config": BitsAndBytesConfig(**QUANTISATIONS[name], **compute)}
