"""Load a model by name: a Hugging Face id, a local folder, or an organism shipped with diptych."""

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from diptych.errors import InputError
from diptych.models.processor import load_processor
from diptych.models.vlm import VLM

ORGANISM = "organism/"
LOADING_ERRORS = (OSError, ValueError, RuntimeError, ImportError, SafetensorError, AssertionError)
"""What Hugging Face and torch raise for a model that cannot be had; the last one for a CUDA that is not there."""
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


def organisms() -> dict[str, Path]:
    """The shipped organisms: name → folder."""
    root = Path(str(resources.files("diptych"))) / "data" / "organisms"
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {ORGANISM + folder.name: folder for folder in folders if (folder / "config.json").is_file()}


def locate(name: str) -> str:
    """The folder of an organism or a local model, or the name itself if it is a hub id."""
    if name.startswith(ORGANISM):
        if name not in organisms():
            raise InputError(f"No organism named '{name}'. Known: {', '.join(organisms()) or 'none'}.")
        return str(organisms()[name])
    path = Path(name)
    is_path = path.exists() or name.startswith((".", "/", "~"))
    if is_path and not (path / "config.json").is_file():
        raise InputError(
            f"'{name}' holds no config.json. Expected a folder made by `save_pretrained`, a hub id, "
            f"or an organism ({', '.join(organisms())})."
        )
    return name


def load(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device_map: str | None = None,
    attention: str = "sdpa",
    verify: bool = True,
) -> VLM:
    """The model as a `VLM`, proven to be read rightly (`verify`) or refused.

    `dtype` is float32, float64, bfloat16 or float16; `device_map` goes to accelerate; `attention` is sdpa or eager.
    Raises `InputError` if it cannot be found, `UnsupportedModel` or `ModelCheckFailed` if it cannot be read.
    """
    import transformers

    if dtype not in DTYPES:
        raise InputError(f"No dtype named '{dtype}'. Known: {', '.join(DTYPES)}.")
    path = locate(name)
    try:
        config = transformers.AutoConfig.from_pretrained(path, revision=revision)
        loader: Any = transformers.AutoModelForImageTextToText  # its stubs do not know the pair that it returns
        model, found = loader.from_pretrained(
            path,
            revision=revision,
            dtype=DTYPES[dtype],
            device_map=device_map,
            attn_implementation=attention,
            output_loading_info=True,
        )
    except LOADING_ERRORS as error:
        raise InputError(
            f"'{name}' cannot be loaded as an image-text-to-text model: {str(error).strip().splitlines()[0]} "
            f"Expected a hub id, a folder with config.json and whole weights, or an organism ({', '.join(organisms())})."
        ) from error
    _require_all_weights(name, found)
    vlm = VLM(
        model,
        load_processor(path, config, revision=revision),
        name=name,
        revision=revision,
        digest=config_digest(config),
    )
    if verify:
        from diptych.models.check import require_proof

        require_proof(vlm)
    return vlm


def _require_all_weights(name: str, found: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that lacks weights: Hugging Face fills them in at random, differently at each load."""
    wrong = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if wrong:
        raise InputError(
            f"The checkpoint '{name}' lacks {len(wrong)} weights or has them in another shape, such as {wrong[0]}. "
            f"They would be random. Download or save the model again."
        )


def config_digest(config: Any) -> str:
    """12 hex digits of the model's configuration, without what loading adds to it."""
    plain = {k: v for k, v in config.to_dict().items() if k not in ("transformers_version", "_name_or_path", "dtype")}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:12]
