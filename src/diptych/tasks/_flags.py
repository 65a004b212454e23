"""A flag, letter-boxed on grey."""

import random

from PIL import Image

from diptych.tasks._countries import COUNTRIES
from diptych.tasks._draw import SIZE, Box, Mark
from diptych.tasks._sprites import Sheet, tile

GREY = (128, 128, 128)
SHEET = Sheet(
    file="flags/flags.png",
    sha256="45eb785641adcfe9e35dacea6e183058920af7edcff850e2cba3b9903e235a50",
    width=208,
    height=156,
    names=tuple(COUNTRIES),
)


def place_flag(code: str, seed: int) -> list[Mark]:
    """The one mark of a flag, named after its country: 168 to 216 pixels wide, 4 : 3, anywhere in the picture."""
    chance = random.Random(seed)
    width = 4 * chance.randint(42, 54)
    height = 3 * width // 4
    left, top = chance.randint(0, SIZE - width), chance.randint(0, SIZE - height)
    return [Mark(COUNTRIES[code].name, Box(left, top, left + width, top + height))]


def draw_flag(code: str, seed: int) -> Image.Image:
    """The flag of a country (ISO 3166 code, lower case), as an RGB picture of 224 × 224 pixels."""
    left, top, right, bottom = (round(edge) for edge in place_flag(code, seed)[0].box)
    picture = Image.new("RGB", (SIZE, SIZE), GREY)
    picture.paste(tile(SHEET, code, right - left, bottom - top), (left, top))
    return picture
