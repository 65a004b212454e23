"""Random models: `random:<architecture>` is a tiny model of any architecture, built offline, every parameter random."""

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from diptych.errors import InputError
from diptych.models.pictures import SIDE, Features, Pictures, fixed
from diptych.models.processor import PlainProcessor, first_line
from diptych.models.readable import require_decoder_only, supported_kernel
from diptych.models.sketches import Sketch, every_sketch
from diptych.models.vocabulary import TOKENS, tokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

RANDOM = "random:"

TEXT = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "sliding_window": 8,
    "attention_chunk_size": 8,
}
TOWER = {
    "hidden_size": 32,
    "embed_dim": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "depth": 2,
    "num_attention_heads": 2,
    "num_heads": 2,
    "head_dim": 16,
    "image_size": SIDE,
    "patch_size": 8,
}
NOT_OURS = ("architectures", "id2label", "label2id", "transformers_version", "_name_or_path", "dtype")
ROLES: tuple[tuple[str, str], ...] = (
    ("video", "<video>"),
    ("audio", "<audio>"),
    ("start", "<image_start>"),
    ("boi", "<image_start>"),
    ("end", "<image_end>"),
    ("eoi", "<image_end>"),
    ("image", "<image>"),
    ("pad", "<pad>"),
    ("bos", "<s>"),
)


@dataclass(frozen=True)
class Tiles:
    """An image processor for random models: pixels between −1 and 1, in the form the architecture takes."""

    pictures: Pictures
    config: Any

    def __call__(self, images: "Sequence[Image]", return_tensors: str = "pt") -> Features:
        small = [image.convert("RGB").resize((SIDE, SIDE)) for image in images]
        pixels = torch.stack([torch.from_numpy(np.array(image)) for image in small])
        return self.pictures(pixels.permute(0, 3, 1, 2) / 127.5 - 1, self.config)

    def to_dict(self) -> dict[str, Any]:
        return {"size": {"height": SIDE, "width": SIDE}}


def build(architecture: str, sketch: Sketch, *, attention: str, dtype: torch.dtype, seed: int) -> tuple[Any, Any]:
    """A random model of the architecture and its processor; raises `InputError` if it cannot be built here."""
    import transformers

    config = tiny_config(architecture, sketch)
    require_decoder_only(config)
    try:
        model = transformers.AutoModelForImageTextToText.from_config(
            config, attn_implementation=supported_kernel(config, attention)
        )
    except (ImportError, ValueError) as error:
        raise InputError(
            f"'{RANDOM}{architecture}' cannot be built here: {first_line(error)} Install what is missing, or choose "
            f"another architecture of docs/models.md."
        ) from error
    randomise(model, seed)
    made = processor(model.eval(), sketch)
    return model.to(dtype), made


def parse(name: str) -> tuple[str, int]:
    """`random:<architecture>` or `random:<architecture>:<seed>` → architecture and seed (0); raises `InputError`."""
    architecture, _, seed = name.removeprefix(RANDOM).partition(":")
    known = every_sketch()
    if architecture not in known:
        close = difflib.get_close_matches(architecture, known) or sorted(known)[:5]
        raise InputError(
            f"No architecture named '{architecture}'. Close to it: {', '.join(close)}. "
            f"docs/models.md lists all {len(known)}."
        )
    if seed and not seed.isdecimal():
        raise InputError(f"The seed of '{name}' is '{seed}'; expected a number, as in {RANDOM}{architecture}:1.")
    return architecture, int(seed or 0)


def fingerprint(name: str) -> str:
    """12 hex digits of what a random model is made from: its name, the recipes, and who runs them."""
    parse(name)
    digest = hashlib.sha256(name.encode())
    for package in ("torch", "transformers"):
        digest.update(version(package).encode())
    here = Path(__file__).parent
    for recipe in (Path(__file__), here / "pictures.py", here / "vocabulary.py", *sorted(here.glob("sketches*.py"))):
        digest.update(recipe.read_bytes())
    return digest.hexdigest()[:12]


def tiny_config(architecture: str, sketch: Sketch) -> Any:
    """The architecture's default configuration with small sizes, our vocabulary, and the sketch's changes.

    What is behind a "+" names a variant, and is told apart by its sketch alone.
    """
    import transformers

    architecture = architecture.partition("+")[0]
    plain = transformers.AutoConfig.for_model(architecture).to_dict()
    small = _shrink(plain, TEXT)
    for path, value in sketch.config.items():
        *parents, last = path.split(".")
        place = small
        for parent in parents:
            place = place[parent]
        place[last] = deepcopy(value)  # configurations fill in what is missing, in place
    small.pop("model_type", None)
    config = transformers.AutoConfig.for_model(architecture, **small)
    if sketch.tower:
        config.__dict__["vision_config"] = transformers.AutoConfig.for_model(**sketch.tower)  # past its type check
    return config


def processor(model: Any, sketch: Sketch) -> PlainProcessor:
    """Words and pictures to tensors; a picture is as many placeholders as the model makes features of it."""
    pictures = Tiles(sketch.pictures or fixed, model.config)
    ramp = torch.linspace(-1, 1, 3 * SIDE**2).view(1, 3, SIDE, SIDE)  # not zeros: some take those for padding
    some = pictures.pictures(ramp, model.config)
    places = sketch.places or "<image>" * _feature_count(model, some)
    return PlainProcessor(
        pictures, tokenizer(), "<image>", lambda features, index: places, token_types=sketch.token_types
    )


def randomise(model: nn.Module, seed: int) -> None:
    """Give every parameter (norms, gates, biases, zero-initialised ones) a random value of a useful scale."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        wide = 0.6 if "embed" in name or "lm_head" in name else parameter.shape[-1] ** -0.5 if parameter.ndim else 0.3
        parameter.data = noise * wide if parameter.ndim > 1 else 0.3 * noise
        if parameter.ndim == 1 and "norm" in name and name.endswith("weight"):
            parameter.data += 1


def _shrink(plain: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    layers = plain.get("num_hidden_layers")
    small: dict[str, Any] = {}
    for key, value in plain.items():
        if key in NOT_OURS:
            continue
        if isinstance(value, Mapping):
            small[key] = _shrink(value, TOWER if "vision" in key else sizes)
        elif key in sizes and isinstance(value, int):
            small[key] = sizes[key]
        elif isinstance(value, list) and len(value) == layers:
            small[key] = _fewer(value, sizes["num_hidden_layers"])
        elif "token" in str(key) and key.endswith(("_id", "_index")) and isinstance(value, int):
            small[key] = TOKENS[next((mark for role, mark in ROLES if role in key), "</s>")]
        else:
            small[key] = value
    return small


def _fewer(values: Sequence[Any], count: int) -> list[Any]:
    """A per-layer list for fewer layers, with every kind of layer in it: the kinds in turn."""
    kinds = list(dict.fromkeys(map(repr, values)))
    first = {kind: next(value for value in values if repr(value) == kind) for kind in kinds[:count]}
    return [list(first.values())[index % len(first)] for index in range(count)]


@torch.no_grad()
def _feature_count(model: Any, features: Features) -> int:
    """How many vectors the model puts in place of one picture."""
    owner = next((part for part in (model, getattr(model, "model", None)) if hasattr(part, "get_image_features")), None)
    if owner is None:
        raise InputError(
            f"{type(model).__name__} has no `get_image_features`, so it takes no pictures, or does not tell how many "
            f"features it makes of one. If it takes pictures, give its sketch `places`."
        )
    found = owner.get_image_features(**features, return_dict=True)
    merged = found.last_hidden_state if found.get("pooler_output") is None else found.pooler_output
    return sum(part.numel() // part.shape[-1] for part in (merged if isinstance(merged, list | tuple) else [merged]))
