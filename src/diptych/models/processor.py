"""Processors: from chat messages and pictures to the model's input tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diptych.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class PlainProcessor:
    """An image processor and a tokenizer, for families whose own processor class needs torchvision.

    `expand(features, index)` is the text that stands for picture `index`: as many placeholders as the model puts
    features. `token_types`: the argument that tells the model which positions are pictures, if it wants one.
    """

    image_processor: Any
    tokenizer: Any
    image_token: str
    expand: Callable[[dict[str, Any], int], str]
    token_types: str = ""

    def __call__(
        self, *, text: Sequence[str], images: "Sequence[Image] | None" = None, **options: Any
    ) -> dict[str, Tensor]:
        features = dict(self.image_processor(images=list(images), return_tensors="pt")) if images else {}
        places = iter(range(len(images or ())))
        pieces = [prompt.split(self.image_token) for prompt in text]
        expanded = ["".join(_interleave(piece, lambda: self.expand(features, next(places)))) for piece in pieces]
        tokens = dict(self.tokenizer(expanded, return_tensors="pt", add_special_tokens=options["add_special_tokens"]))
        tokens.pop("token_type_ids", None)
        if self.token_types:
            image_id = self.tokenizer.convert_tokens_to_ids(self.image_token)
            tokens[self.token_types] = (tokens["input_ids"] == image_id).to(torch.int64)
        return tokens | features


def qwen2_vl(image_processor: Any, tokenizer: Any, config: Any) -> PlainProcessor:
    """One placeholder per merged patch."""

    def expand(features: dict[str, Any], index: int) -> str:
        return "<|image_pad|>" * int(features["image_grid_thw"][index].prod() // image_processor.merge_size**2)

    return PlainProcessor(image_processor, tokenizer, "<|image_pad|>", expand, token_types="mm_token_type_ids")


def pixtral(image_processor: Any, tokenizer: Any, config: Any) -> PlainProcessor:
    """Rows: one placeholder per patch, a break after each row, an end after the last."""
    patch = int(config.vision_config.patch_size)

    def expand(features: dict[str, Any], index: int) -> str:
        height, width = (int(side) // patch for side in features["image_sizes"][index])
        return "[IMG_BREAK]".join(["[IMG]" * width] * height) + "[IMG_END]"

    return PlainProcessor(image_processor, tokenizer, "[IMG]", expand)


PLAIN: dict[str, Callable[[Any, Any, Any], PlainProcessor]] = {
    "qwen2_vl_vision": qwen2_vl,
    "qwen2_5_vl_vision": qwen2_vl,
    "pixtral": pixtral,
}
"""Vision tower's model type → its plain processor."""


def load_processor(path: str, config: Any, *, revision: str | None = None) -> Any:
    """The model's own processor, or its image processor and tokenizer where the class cannot be constructed here."""
    import transformers

    try:
        return transformers.AutoProcessor.from_pretrained(path, revision=revision)
    except (ImportError, AttributeError, ValueError, OSError) as error:
        tower = getattr(getattr(config, "vision_config", None), "model_type", None)
        if tower not in PLAIN:
            raise InputError(
                f"The processor of '{path}' cannot be constructed: {first_line(error)} "
                f"If torchvision is missing, install it; diptych itself does not need it."
            ) from error
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, revision=revision)
    image_processor = transformers.AutoImageProcessor.from_pretrained(path, revision=revision, backend="pil")
    return PLAIN[tower](image_processor, tokenizer, config)


def pixel_budget(processor: Any) -> str:
    """How large a picture may be, as the image processor says it."""
    plain = processor.image_processor.to_dict()
    size = plain.get("size") or {}
    return ", ".join(f"{key} {value}" for key, value in size.items() if value is not None) or "as given"


def _interleave(pieces: list[str], between: Callable[[], str]) -> list[str]:
    joined = [pieces[0]]
    for piece in pieces[1:]:
        joined += [between(), piece]
    return joined


def first_line(error: Exception) -> str:
    """What an error says, without the lines behind."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
