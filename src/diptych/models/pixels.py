"""The pixel budget: how many pixels a picture may have before it becomes image tokens."""

import math
from typing import TYPE_CHECKING, Any

from diptych.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = tuple[int, int]
"""Fewest and most pixels (width × height) of a picture."""


def require_budget(pixels: Pixels) -> None:
    """Raise `InputError` unless the budget is two numbers of pixels, the smaller first."""
    low, high = pixels
    if not 1 <= low <= high:
        raise InputError(
            f"The pixel budget is {low} to {high}; expected the fewest and the most pixels of a picture, such as "
            f"(50176, 200704). Both are width × height."
        )


def set_budget(processor: Any, pixels: Pixels) -> None:
    """Give the budget to an image processor that keeps one itself; pictures of others are resized by `fitted`."""
    require_budget(pixels)
    if keeps_budget(processor):
        pictures = processor.image_processor
        pictures.size = type(pictures.size)(shortest_edge=pixels[0], longest_edge=pixels[1])


def keeps_budget(processor: Any) -> bool:
    """Whether the image processor counts pixels, as Qwen2-VL's does: its "edges" are areas."""
    known = getattr(getattr(processor, "image_processor", None), "valid_kwargs", None)
    return {"min_pixels", "max_pixels"} <= set(getattr(known, "__annotations__", ()))


def fitted(image: "Image", pixels: Pixels) -> "Image":
    """The picture within the budget, its aspect ratio kept as well as whole pixels allow; itself if it is within.

    Where no whole number of pixels lies between both ends, it has fewer than asked for, never more.
    """
    low, high = pixels
    area = image.width * image.height
    if low <= area <= high:
        return image
    scale = math.sqrt((high if area > high else low) / area)
    width, height = (max(1, math.ceil(side * scale)) for side in image.size)
    if width * height > high:
        width, height = (max(1, math.floor(side * scale)) for side in image.size)
    longest = high // min(width, height)  # of a picture that is one pixel wide
    return image.resize((min(width, longest), min(height, longest)), resample=3)  # bicubic


def described(processor: Any, pixels: Pixels | None) -> str:
    """How large a picture may be: as it was asked for, and as the image processor says it."""
    pictures: Any = getattr(processor, "image_processor", None)
    size = (pictures.to_dict().get("size") or {}) if hasattr(pictures, "to_dict") else {}
    own = ", ".join(f"{key} {value}" for key, value in size.items() if value is not None) or "as given"
    if pixels is None or keeps_budget(processor):
        return own
    return f"resized to {pixels[0]} to {pixels[1]} pixels, then {own}"
