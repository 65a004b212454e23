"""Pictures of items for figures: as PNG in the page, small enough for many, with the grid of their positions."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diptych.figures import PNG, Number, PictureMap
from diptych.models.encode import Prompt
from diptych.models.parts import drawn_grid
from diptych.models.vlm import VLM

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 224  # pixels of the longer side of a picture under a map


def data_uri(image: "Image") -> str:
    """The picture as a PNG that lies in the page."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return PNG + base64.b64encode(buffer.getvalue()).decode()


def picture_positions(vlm: VLM, prompt: Prompt) -> list[int]:
    """The positions that hold the picture: its data without row breaks."""
    held: list[int] = vlm.image_positions(prompt.inputs)[0].nonzero().flatten().tolist()
    return held


def map_over(vlm: VLM, prompt: Prompt) -> dict[str, Any]:
    """The picture of a prompt as its model sees it, and the rows and columns of its positions.

    Raises `InputError` where positions have no place in the picture.
    """
    image = _seen(vlm, prompt.item.pictures[0].open())
    rows, columns = drawn_grid(prompt.item, picture_positions(vlm, prompt), prompt.inputs, (image.height, image.width))
    image.thumbnail((SIDE, SIDE))
    return {"picture": data_uri(image), "rows": rows, "columns": columns}


def picture_map(label: str, drawn: dict[str, Any], values: Sequence[Number], words: Sequence[str] = ()) -> PictureMap:
    """A map of one value, and one word if there are any, per position of the picture, row by row."""
    starts = range(0, drawn["rows"] * drawn["columns"], drawn["columns"])
    cut = [values[start : start + drawn["columns"]] for start in starts]
    written = [words[start : start + drawn["columns"]] for start in starts] if words else []
    return PictureMap(label, drawn["picture"], cut, written)


def _seen(vlm: VLM, image: "Image") -> "Image":
    """The part of the picture that is left if the processor crops it around its centre."""
    pictures: Any = getattr(vlm.processor, "image_processor", None)
    if not getattr(pictures, "do_center_crop", False):
        return image.copy()
    crop = pictures.crop_size
    height, width = int(crop["height"]), int(crop["width"])
    scale = min(image.height / height, image.width / width)
    wide, high = scale * width, scale * height
    left, upper = (image.width - wide) / 2, (image.height - high) / 2
    return image.crop((round(left), round(upper), round(left + wide), round(upper + high)))
