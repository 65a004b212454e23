"""Random models: `random:<architecture>` is a tiny model of any architecture, built offline, every parameter random."""

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from diptych.errors import InputError
from diptych.models.processor import PlainProcessor, first_line
from diptych.models.readable import require_decoder_only, supported_kernel
from diptych.models.vocabulary import TOKENS as TOKENS
from diptych.models.vocabulary import tokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

Features = dict[str, Tensor]
Pictures = Callable[[Tensor, Any], Features]
"""Pixels [batch, 3, side, side] and the model's configuration → the tensors a picture is to this architecture."""

RANDOM = "random:"
SIDE = 32

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
class Sketch:
    """What makes one architecture tiny: changes to its default configuration, and what a picture is to it.

    `config`: dotted path → value, on top of the general small sizes. `token_types`: the argument that tells which
    positions are pictures, for architectures that want it. `places`: the text that stands for one picture, where the
    model does not tell how many features it makes of one.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    pictures: Pictures | None = None
    token_types: str = ""
    places: str = ""


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


def fixed(pixels: Tensor, config: Any) -> Features:
    """One square picture, as CLIP and SigLIP take it."""
    return {"pixel_values": pixels}


def sized(pixels: Tensor, config: Any) -> Features:
    """A square picture and its size in pixels, as Pixtral takes it."""
    return {"pixel_values": pixels, "image_sizes": torch.tensor([[SIDE, SIDE]] * len(pixels))}


def tiled(pixels: Tensor, config: Any) -> Features:
    """A picture as one tile of several possible: [batch, tile, 3, side, side]."""
    return {"pixel_values": pixels[:, None]}


def patched(pixels: Tensor, config: Any) -> Features:
    """Flattened patches of all pictures one behind the other, and each picture's grid, as Qwen2-VL takes it."""
    vision = config.vision_config
    patch, frames = vision.patch_size, getattr(vision, "temporal_patch_size", 1)
    rows = SIDE // patch
    cut = pixels.unfold(2, patch, patch).unfold(3, patch, patch)  # [batch, 3, row, column, patch, patch]
    flat = cut.permute(0, 2, 3, 1, 4, 5)[:, :, :, :, None].expand(-1, -1, -1, -1, frames, -1, -1)
    grid = torch.tensor([[1, rows, rows]] * len(pixels))
    return {"pixel_values": flat.flatten(0, 2).flatten(1), "image_grid_thw": grid}


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
    from diptych.models.sketches import every_sketch

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
    for recipe in ("random.py", "pictures.py", "sketches.py", "sketches_more.py"):
        digest.update((Path(__file__).parent / recipe).read_bytes())
    return digest.hexdigest()[:12]


def tiny_config(architecture: str, sketch: Sketch) -> Any:
    """The architecture's default configuration with small sizes, our vocabulary, and the sketch's changes."""
    import transformers

    plain = transformers.AutoConfig.for_model(architecture).to_dict()
    small = _shrink(plain, TEXT)
    for path, value in sketch.config.items():
        *parents, last = path.split(".")
        place = small
        for parent in parents:
            place = place[parent]
        place[last] = value
    small.pop("model_type", None)
    return transformers.AutoConfig.for_model(architecture, **small)


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
