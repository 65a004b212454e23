"""Sums in printed characters (DejaVu Sans Bold)."""

import random

from PIL import Image

from diptych.tasks._draw import BACKGROUND, INKS, SIZE, Box, Mark
from diptych.tasks._sprites import Sheet, tile

SHEET = Sheet(
    file="font/glyphs.png",
    sha256="400ec913187fdbb777e75d04f0c936c8076e76a6fba87770c7ea9aea9fbe8f30",
    width=100,
    height=112,
    names=tuple("0123456789+-×÷"),
)


def place_print(text: str, seed: int) -> list[Mark]:
    """Marks of the characters of `text` (digits and + - × ÷) on one line, in one ink, at a random place and size."""
    chance = random.Random(seed)
    width = round(SIZE / max(len(text), 2) * chance.uniform(0.84, 0.96))
    height = round(width * SHEET.height / SHEET.width)
    left, top = chance.randint(2, SIZE - 2 - width * len(text)), chance.randint(4, SIZE - 4 - height)
    ink = chance.choice(INKS)
    edges = [left + width * place for place in range(len(text))]
    return [Mark(name, Box(edge, top, edge + width, top + height), ink) for name, edge in zip(text, edges, strict=True)]


def draw_print(text: str, seed: int) -> Image.Image:
    """The characters of `text` on one line, as an RGB picture of 224 × 224 pixels."""
    picture = Image.new("RGB", (SIZE, SIZE), BACKGROUND)
    for mark in place_print(text, seed):
        left, top, right, bottom = (round(edge) for edge in mark.box)
        picture.paste(mark.ink, (left, top), tile(SHEET, mark.name, right - left, bottom - top))
    return picture
