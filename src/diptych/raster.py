"""Rasters: pictures of any mode as red, green and blue, upright, as a person would see them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diptych.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Modes of grey between 0 and 65535; Pillow's own conversion would cut them off at 255."""


def as_rgb(image: "Image") -> "Image":
    """The picture turned as its camera noted it, its transparent parts on white, its 16-bit greys scaled to 8 bits.

    Raises `InputError` for greys outside 0 to 65535, and for numbers without a known white.
    """
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in SIXTEEN_BITS:
        return _eight_bits(upright).convert("RGB")
    if upright.mode == "F":
        raise InputError("its pixels are floating-point numbers, which have no known white")
    if upright.has_transparency_data:
        opaque = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return upright.convert("RGB")


def side_by_side(images: "Sequence[Image]") -> "Image":
    """The pictures in one row on white, eight pixels apart; a single one as it is."""
    from PIL import Image

    if len(images) == 1:
        return images[0]
    row = Image.new("RGB", (sum(i.width + 8 for i in images) - 8, max(i.height for i in images)), "white")
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + 8
    return row


def _eight_bits(image: "Image") -> "Image":
    import numpy as np
    from PIL import Image

    greys = np.asarray(image).astype(np.int64)
    if greys.min() < 0 or greys.max() > 65535:
        raise InputError(f"its greys reach from {greys.min()} to {greys.max()}, not from 0 to 65535")
    return Image.fromarray(((greys + 128) // 257).astype(np.uint8))
