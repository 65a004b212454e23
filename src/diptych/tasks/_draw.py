"""Flat drawings: coloured shapes in a grid of cells, and sums in glyphs made of strokes; no fonts, no files.

Every random choice comes from a seeded `random.Random`, so the same arguments give the same pixels. Where each mark
ends up is decided first (`place_*`) and painted second (`draw_*`): a trainer can thus read labels off the placement.
"""

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw

SIZE = 224  # pixels, both sides
CELLS = 4  # shapes live in a grid of 4 × 4 cells
SMOOTH = 2  # marks are painted at twice the size and averaged down
BACKGROUND = (255, 255, 255)
BLACK = (0, 0, 0)
INKS = ((200, 30, 40), (20, 90, 190), (20, 130, 60), (230, 120, 10), (120, 50, 150), (60, 60, 60))

Point = tuple[float, float]  # x and y in the unit square, y downwards


class Box(NamedTuple):
    """A rectangle in pixels of the finished picture."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Mark:
    """One figure of the picture: what it is called, where it is, and its ink, if it has no colours of its own."""

    name: str
    box: Box
    ink: tuple[int, int, int] = BLACK


def _arc(x: float, y: float, radius: float, start: float, stop: float, steps: int = 32) -> list[Point]:
    """Points on a circle around (x, y), from `start` to `stop` degrees; 0 is to the right, 90 is down."""
    angles = [math.radians(start + (stop - start) * step / steps) for step in range(steps + 1)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _star() -> list[Point]:
    corners = [(0.5 if i % 2 == 0 else 0.2, math.radians(36 * i - 90)) for i in range(10)]
    return [(0.5 + radius * math.cos(angle), 0.53 + radius * math.sin(angle)) for radius, angle in corners]


SHAPES: dict[str, list[Point]] = {
    "circle": _arc(0.5, 0.5, 0.5, 0, 360, 64),
    "heart": [*_arc(0.25, 0.3, 0.25, 155, 360), *_arc(0.75, 0.3, 0.25, 180, 385), (0.5, 1.0)],
    "moon": [*_arc(0.45, 0.5, 0.5, 60, 300), *_arc(0.7, 0.5, 0.433, 270, 90)],
    "square": [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)],
    "star": _star(),
    "triangle": [(0.5, 0.02), (1.0, 0.94), (0.0, 0.94)],
}

_BOWL = 0.24  # radius of the round parts of digits, whose box is 0.6 wide and 1 high
GLYPHS: dict[str, list[list[Point]]] = {
    "0": [[*_arc(0.3, 0.3, 0.25, 180, 360), *_arc(0.3, 0.7, 0.25, 0, 180), (0.05, 0.3)]],
    "1": [[(0.1, 0.25), (0.34, 0.05), (0.34, 0.95)]],
    "2": [[*_arc(0.3, 0.3, 0.25, 190, 390), (0.05, 0.95), (0.55, 0.95)]],
    "3": [[*_arc(0.28, 0.27, 0.22, 200, 450), *_arc(0.28, 0.71, _BOWL, 270, 520)]],
    "4": [[(0.42, 0.95), (0.42, 0.05), (0.03, 0.68), (0.57, 0.68)]],
    "5": [[(0.52, 0.05), (0.1, 0.05), (0.07, 0.46), *_arc(0.3, 0.68, 0.26, 230, 510)]],
    "6": [[(0.45, 0.05), (0.09, 0.58), *_arc(0.3, 0.7, 0.25, 200, 560)]],
    "7": [[(0.05, 0.05), (0.55, 0.05), (0.2, 0.95)]],
    "8": [_arc(0.3, 0.27, 0.21, 0, 360), _arc(0.3, 0.71, _BOWL, 0, 360)],
    "9": [[(0.15, 0.95), (0.51, 0.42), *_arc(0.3, 0.3, 0.25, 20, -340)]],
    "+": [[(0.05, 0.55), (0.55, 0.55)], [(0.3, 0.3), (0.3, 0.8)]],
    "-": [[(0.05, 0.55), (0.55, 0.55)]],
    "×": [[(0.1, 0.35), (0.5, 0.75)], [(0.5, 0.35), (0.1, 0.75)]],
    "÷": [[(0.05, 0.55), (0.55, 0.55)], [(0.3, 0.3), (0.3, 0.31)], [(0.3, 0.79), (0.3, 0.8)]],
}


def place_shapes(kinds: list[str], seed: int) -> list[Mark]:
    """Marks of the shapes `kinds`, one per randomly chosen cell, in reading order; jittered, never overlapping."""
    chance = random.Random(seed)
    side = SIZE / CELLS
    marks = []
    for kind, cell in zip(kinds, sorted(chance.sample(range(CELLS * CELLS), len(kinds))), strict=True):
        radius = side * chance.uniform(0.25, 0.34)
        x, y = (
            side * (index + 0.5) + chance.uniform(radius - side / 2, side / 2 - radius)
            for index in (cell % CELLS, cell // CELLS)
        )
        marks.append(Mark(kind, Box(x - radius, y - radius, x + radius, y + radius), chance.choice(INKS)))
    return marks


def place_expression(text: str, seed: int) -> list[Mark]:
    """Marks of the characters of `text` (digits and + - × ÷) on one line, in one ink, at a random place and size."""
    chance = random.Random(seed)
    pitch = SIZE / len(text) * chance.uniform(0.86, 0.94)  # from one glyph's left edge to the next
    width, height = 0.8 * pitch, 0.8 * pitch / 0.6
    left = chance.uniform(4, SIZE - 4 - pitch * len(text) + pitch - width)
    top = chance.uniform(8, SIZE - 8 - height)
    ink = chance.choice(INKS)
    edges = [left + pitch * place for place in range(len(text))]
    return [Mark(name, Box(edge, top, edge + width, top + height), ink) for name, edge in zip(text, edges, strict=True)]


def draw_shapes(kinds: list[str], seed: int) -> Image.Image:
    """The shapes `kinds` in reading order, as an RGB picture of 224 × 224 pixels."""
    return _paint(place_shapes(kinds, seed))


def draw_expression(text: str, seed: int) -> Image.Image:
    """The characters of `text` (digits and + - × ÷) on one line, as an RGB picture of 224 × 224 pixels."""
    return _paint(place_expression(text, seed))


def _paint(marks: list[Mark]) -> Image.Image:
    large = Image.new("RGB", (SIZE * SMOOTH, SIZE * SMOOTH), BACKGROUND)
    pen = ImageDraw.Draw(large)
    for mark in marks:
        if mark.name in SHAPES:
            pen.polygon(_scale(SHAPES[mark.name], mark.box, 1.0), fill=mark.ink)
        else:
            _write(pen, mark)
    return large.reduce(SMOOTH)


def _write(pen: ImageDraw.ImageDraw, mark: Mark) -> None:
    """Paint a glyph's strokes with round ends and corners."""
    radius = round(SMOOTH * 0.07 * (mark.box.bottom - mark.box.top))
    for stroke in GLYPHS[mark.name]:
        points = _scale(stroke, mark.box, 0.6)
        pen.line(points, fill=mark.ink, width=2 * radius)
        for x, y in points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=mark.ink)


def _scale(points: list[Point], box: Box, width: float) -> list[tuple[int, int]]:
    """Points of a figure `width` wide and 1 high, in whole pixels of the large picture."""
    across, down = (box.right - box.left) / width, box.bottom - box.top
    return [(round(SMOOTH * (box.left + across * x)), round(SMOOTH * (box.top + down * y))) for x, y in points]
