"""Load a model by name: a Hugging Face id, a folder, a user's file, an organism shipped with diptych, or a random model."""

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
from diptych.models.file import from_file, is_file
from diptych.models.pixels import Pixels, set_budget
from diptych.models.processor import first_line, load_processor
from diptych.models.quantised import quantisation_options, require_quantisation
from diptych.models.random import RANDOM, build, fingerprint, parse, tiny_config
from diptych.models.readable import require_decoder_only, supported_kernel
from diptych.models.sketches import every_sketch
from diptych.models.vlm import VLM
from diptych.registry import user_file
from diptych.retries import told_once

ORGANISM = "organism/"
LOADING_ERRORS = (OSError, ValueError, RuntimeError, ImportError, SafetensorError, AssertionError)
"""What Hugging Face and torch raise for a model that cannot be had; the last one for a CUDA that is not there."""
ATTENTIONS = ("sdpa", "eager")
DTYPES: dict[str, Any] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "auto": "auto",
}
"""Name → what Hugging Face takes for it; `auto` is the dtype in which the checkpoint was saved."""


def organisms() -> dict[str, Path]:
    """The shipped organisms: name → folder."""
    root = Path(str(resources.files("diptych"))) / "data" / "organisms"
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {ORGANISM + folder.name: folder for folder in folders if (folder / "config.json").is_file()}


def locate(name: str) -> str:
    """The folder of an organism or a local model, or the name itself if it is a hub id, a random model or a file."""
    if name.startswith(RANDOM):
        parse(name)
        return name
    if is_file(name):
        user_file(name)
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


def require_hub(name: str, revision: str | None) -> None:
    """Raise `InputError` for a revision of what has none: a folder, an organism, a file, a random model."""
    if revision is None:
        return
    kinds = {"a random model": name.startswith(RANDOM), "a file": is_file(name)}
    what = next((kind for kind, holds in kinds.items() if holds), "a folder" if Path(locate(name)).is_dir() else None)
    if what:
        raise InputError(
            f"Revision '{revision}' cannot be chosen for '{name}', which is {what}: only models of the Hugging Face hub "
            f"have revisions. Leave it out, or give the hub's name of the model."
        )


def load(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device_map: str | dict[str, Any] | None = None,
    offload_folder: str | Path | None = None,
    quantisation: str | None = None,
    attention: str = "sdpa",
    pixels: Pixels | None = None,
    system: str | None = None,
    processor: Any = None,
    verify: bool = True,
) -> VLM:
    """The model as a `VLM`, proven to be read rightly (`verify`) or refused.

    `name` is a hub id, a folder, `organism/<name>`, `random:<architecture>`, with `:<seed>` if it is not to be 0, or the
    path of a `.py` file with a function of its name that returns a model and its processor (docs/guide/extending.md).
    `dtype` is float32, float64, bfloat16, float16 or auto (that of the checkpoint). `device_map` and `offload_folder` go
    to accelerate; `quantisation` is int8 or nf4 (bitsandbytes); `attention` is sdpa or eager. `pixels`: the fewest and
    the most pixels of a picture. `system`: a system prompt in place of the template's own. `processor`: one of your own,
    where the model's cannot be had. Raises `InputError` if the model cannot be found, `UnsupportedModel` or
    `ModelCheckFailed` if it cannot be read.
    """
    if dtype not in DTYPES:
        raise InputError(f"No dtype named '{dtype}'. Known: {', '.join(DTYPES)}.")
    if attention not in ATTENTIONS:
        raise InputError(f"No attention kernel named '{attention}'. Known: {', '.join(ATTENTIONS)}.")
    require_hub(name, revision)
    require_quantisation(quantisation)
    storage = {"device_map": device_map, "offload_folder": offload_folder}
    if name.startswith(RANDOM) or is_file(name):
        _require_none(name, storage | {"quantisation": quantisation})
        vlm = (_made if is_file(name) else _random)(name, attention, dtype, processor)
    else:
        options = storage | {"revision": revision, "dtype": DTYPES[dtype]}
        with told_once():
            vlm = _pretrained(name, attention, options, quantisation, processor)
    vlm.digest = model_digest(vlm.digest, locate(name), vlm.revision)
    vlm.pixels, vlm.system = pixels, system
    if pixels is not None:
        set_budget(vlm.processor, pixels)
    if verify:
        from diptych.models.check import require_proof

        require_proof(vlm)
    return vlm


def _random(name: str, attention: str, dtype: str, processor: Any) -> VLM:
    architecture, seed = parse(name)
    sketch = every_sketch()[architecture]
    wanted = DTYPES["float32" if dtype == "auto" else dtype]
    model, made = build(architecture, sketch, attention=attention, dtype=wanted, seed=seed)
    digest = config_digest(tiny_config(architecture, sketch))
    return VLM(model, processor or made, name=name, revision=fingerprint(name), digest=digest)


def _made(name: str, attention: str, dtype: str, processor: Any) -> VLM:
    model, made, revision = from_file(name, dtype, attention)
    return VLM(model, processor or made, name=name, revision=revision, digest=config_digest(model.config))


def _pretrained(name: str, attention: str, options: dict[str, Any], quantisation: str | None, processor: Any) -> VLM:
    import transformers

    path, revision = locate(name), options["revision"]
    options = options | quantisation_options(quantisation, options["dtype"])
    try:
        config = transformers.AutoConfig.from_pretrained(path, revision=revision)
        require_decoder_only(config)
        loader: Any = transformers.AutoModelForImageTextToText  # its stubs do not know the pair that it returns
        kernel = supported_kernel(config, attention)
        model, found = loader.from_pretrained(path, attn_implementation=kernel, output_loading_info=True, **options)
    except LOADING_ERRORS as error:
        raise InputError(
            f"'{name}' cannot be loaded as an image-text-to-text model: {first_line(error).rstrip('.')}. "
            f"Expected a hub id, a folder with config.json and whole weights, or an organism ({', '.join(organisms())})."
        ) from error
    _require_all_weights(name, found)
    made = processor or load_processor(path, config, revision=revision)
    config_file = transformers.utils.hub.cached_file(path, "config.json", revision=revision)
    commit = transformers.utils.hub.extract_commit_hash(config_file, None)  # of the hub's cache; a folder has none
    return VLM(model, made, name=name, revision=commit, digest=config_digest(config, quantisation))


def _require_none(name: str, given: Mapping[str, Any]) -> None:
    """Refuse options about stored weights for a model that is made: a random one, or one of a user's file."""
    wrong = [option for option, value in given.items() if value is not None]
    if wrong:
        raise InputError(
            f"'{name}' takes no {wrong[0]}: a random model is made small and on the CPU, and one from a file as the file "
            f"says. Leave it out, or load a model that is stored."
        )


def _require_all_weights(name: str, found: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that lacks weights: Hugging Face fills them in at random, differently at each load."""
    wrong = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if wrong:
        raise InputError(
            f"The checkpoint '{name}' lacks {len(wrong)} weights or has them in another shape, such as {wrong[0]}. "
            f"They would be random. Download or save the model again."
        )


def config_digest(config: Any, quantisation: str | None = None) -> str:
    """12 hex digits of the model's configuration, without what loading adds to it, and of how it is quantised."""
    plain = {k: v for k, v in config.to_dict().items() if k not in ("transformers_version", "_name_or_path", "dtype")}
    plain |= {"quantisation": quantisation} if quantisation else {}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:12]
