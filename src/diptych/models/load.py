"""Load a model by name: a Hugging Face id, a local folder, an organism shipped with diptych, or a random model."""

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from diptych.errors import InputError
from diptych.models.digest import model_digest
from diptych.models.processor import first_line, load_processor
from diptych.models.random import RANDOM, build, parse, tiny_config
from diptych.models.readable import require_decoder_only, supported_kernel
from diptych.models.sketches import every_sketch
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
    """The folder of an organism or a local model, or the name itself if it is a hub id or a random model."""
    if name.startswith(RANDOM):
        parse(name)
        return name
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

    `name` is a hub id, a folder, `organism/<name>` or `random:<architecture>`, with `:<seed>` if it is not to be 0.
    `dtype` is float32, float64, bfloat16 or float16; `device_map` goes to accelerate; `attention` is sdpa or eager.
    Raises `InputError` if it cannot be found, `UnsupportedModel` or `ModelCheckFailed` if it cannot be read.
    """
    if dtype not in DTYPES:
        raise InputError(f"No dtype named '{dtype}'. Known: {', '.join(DTYPES)}.")
    path = locate(name)
    if name.startswith(RANDOM):
        architecture, seed = parse(name)
        sketch = every_sketch()[architecture]
        config = tiny_config(architecture, sketch)
        model, processor = build(architecture, sketch, attention=attention, dtype=DTYPES[dtype], seed=seed)
    else:
        options = {"revision": revision, "dtype": DTYPES[dtype], "device_map": device_map}
        config, model, processor = _pretrained(name, path, attention, options)
    vlm = VLM(model, processor, name=name, revision=revision, digest=config_digest(config))
    vlm.digest = model_digest(vlm.digest, locate(name), getattr(vlm.model.config, "_commit_hash", None) or revision)
    if verify:
        from diptych.models.check import require_proof

        require_proof(vlm)
    return vlm


def _pretrained(name: str, path: str, attention: str, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(path, revision=options["revision"])
        require_decoder_only(config)
        loader: Any = transformers.AutoModelForImageTextToText  # its stubs do not know the pair that it returns
        kernel = supported_kernel(config, attention)
        model, found = loader.from_pretrained(path, attn_implementation=kernel, output_loading_info=True, **options)
    except LOADING_ERRORS as error:
        raise InputError(
            f"'{name}' cannot be loaded as an image-text-to-text model: {first_line(error)} "
            f"Expected a hub id, a folder with config.json and whole weights, or an organism ({', '.join(organisms())})."
        ) from error
    _require_all_weights(name, found)
    return config, model, load_processor(path, config, revision=options["revision"])


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
