"""A row of shaded solids on a floor, seen from the front, each at a distance of its own."""

import random
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from diptych.tasks._draw import SIZE, Box, Mark

COLOURS = {
    "black": (38, 38, 42),
    "blue": (30, 80, 215),
    "green": (25, 145, 55),
    "pink": (250, 140, 190),
    "purple": (120, 40, 165),
    "red": (210, 25, 30),
    "white": (250, 250, 250),
    "yellow": (250, 210, 20),
}
SOLIDS = {"ball": 1.0, "cone": 1.15, "cube": 1.0, "cylinder": 1.15}
"""Height of each solid, in its widths."""
WALL, FLOOR = (168, 180, 192), (146, 138, 128)
HORIZON, FAR, NEAR = 96, 116, 208  # pixels from the top: the end of the floor, and where things stand on it
SIDE = 96  # pixels of a tile, both sides

Values = np.ndarray[Any, np.dtype[np.float64]]
Inside = np.ndarray[Any, np.dtype[np.bool_]]


def place_row(colours: list[str], solids: list[str], depth: float, seed: int) -> list[Mark]:
    """Marks named 'red ball' from left to right, with their colour as ink; no two overlap or share a column.

    `depth`: 0 puts all at the same middle distance, 1 uses the whole floor; what is far is small and stands high.
    """
    chance = random.Random(seed)
    column = SIZE / len(colours)
    marks = []
    for place, (colour, solid) in enumerate(zip(colours, solids, strict=True)):
        distance = 0.5 + depth * chance.uniform(-0.5, 0.5)
        width = round(min(0.92 * column, 58) * (1 - 0.3 * distance))
        height, bottom = round(width * SOLIDS[solid]), round(NEAR + (FAR - NEAR) * distance)
        left = round(column * place + chance.uniform(0, column - width - 1))
        box = Box(left, bottom - height, left + width, bottom)
        marks.append(Mark(f"{colour} {solid}", box, COLOURS[colour]))
    return marks


def draw_row(colours: list[str], solids: list[str], depth: float, seed: int) -> Image.Image:
    """The row from left to right, as an RGB picture of 224 × 224 pixels."""
    picture = _room().copy()
    for mark in sorted(place_row(colours, solids, depth, seed), key=lambda mark: mark.box.bottom):
        left, top, right, bottom = (round(edge) for edge in mark.box)
        width = right - left
        shadow = _shadow(width + width // 5, width // 4)
        picture.paste((60, 56, 52), (left - width // 10, bottom - shadow.height // 2 - 2), shadow)
        solid = _solid(*mark.name.split(), width, bottom - top)
        picture.paste(solid, (left, top), solid)
    return picture


@cache
def _room() -> Image.Image:
    """A wall, and a floor that gets lighter towards the viewer."""
    room = Image.new("RGB", (SIZE, SIZE), WALL)
    for row in range(HORIZON, SIZE):
        light = (row - HORIZON) // 4
        room.paste((FLOOR[0] + light, FLOOR[1] + light, FLOOR[2] + light), (0, row, SIZE, row + 1))
    return room


@cache
def _shadow(width: int, height: int) -> Image.Image:
    x, y = _grid()
    strength = np.clip(1 - (2 * x - 1) ** 2 - (2 * y - 1) ** 2, 0, 1)
    return Image.fromarray(np.rint(170 * strength).astype(np.uint8)).resize((width, height))


@cache
def _solid(colour: str, solid: str, width: int, height: int) -> Image.Image:
    return _tile(colour, solid).resize((width, height), Image.Resampling.LANCZOS)


@cache
def _tile(colour: str, solid: str) -> Image.Image:
    light, inside = _SHADING[solid](*_grid())
    shaded = np.clip(np.array(COLOURS[colour]) * np.minimum(light, 1)[..., None], 0, 255)
    shaded += (255 - shaded) * np.clip(light - 1, 0, 1)[..., None]  # more light than all is a highlight
    pixels = np.concatenate([shaded, 255.0 * inside[..., None]], axis=-1)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _grid() -> tuple[Values, Values]:
    """x and y of the pixels of a tile, in the unit square, y downwards."""
    along = (np.arange(SIDE) + 0.5) / SIDE
    x, y = np.meshgrid(along, along)
    return x, y


def _ball(x: Values, y: Values) -> tuple[Values, Inside]:
    across, down = 2 * x - 1, 2 * y - 1
    inside = across**2 + down**2 <= 1
    towards = np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))
    facing = np.clip(-0.48 * across - 0.6 * down + 0.64 * towards, 0, 1)
    return 0.45 + 0.6 * facing + 0.7 * np.clip(20 * facing - 19, 0, 1), inside


def _cube(x: Values, y: Values) -> tuple[Values, Inside]:
    """The front, and by a quarter of it the top and the right side."""
    edge = 0.24
    top = (y < edge) & (x >= edge - y) & (x <= 1 - y)
    right = (x > 1 - edge) & (y >= 1 - x) & (y <= 2 - edge - x) & ~top
    front = (x <= 1 - edge) & (y >= edge)
    return np.select([front, top, right], [0.82, 1.1, 0.5], 0.0), front | top | right


def _cylinder(x: Values, y: Values) -> tuple[Values, Inside]:
    across = 2 * x - 1
    arc = 0.13 * np.sqrt(np.clip(1 - across**2, 0, 1))  # half the height of the lid in each column
    lid = np.abs(y - 0.13) <= arc
    inside = (y >= 0.13 - arc) & (y <= 0.87 + arc)
    return np.where(lid, 1.12, _round(across)), inside


def _cone(x: Values, y: Values) -> tuple[Values, Inside]:
    half = np.clip(0.5 * y / 0.87, 1e-9, 0.5)  # half the width in each row
    across = np.clip((x - 0.5) / half, -1, 1)
    foot = 0.87 + 0.13 * np.sqrt(np.clip(1 - (2 * x - 1) ** 2, 0, 1))
    return _round(across), (np.abs(x - 0.5) <= half) & (y <= foot)


def _round(across: Values) -> Values:
    """Light on an upright round wall, from the left edge (−1) to the right (1)."""
    facing = np.clip(-0.6 * across + 0.8 * np.sqrt(np.clip(1 - across**2, 0, 1)), 0, 1)
    return np.asarray(0.4 + 0.62 * facing)


_SHADING = {"ball": _ball, "cone": _cone, "cube": _cube, "cylinder": _cylinder}
