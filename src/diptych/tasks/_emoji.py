"""Drawn emoji: objects in a grid of cells, and a scene of faces among props."""

import random

from PIL import Image, ImageDraw

from diptych.tasks._draw import BACKGROUND, CELLS, SIZE, Box, Mark
from diptych.tasks._sprites import Sheet, tile

OBJECTS = ("apple", "ball", "banana", "bell", "boat", "car", "cat", "dog", "duck", "flower", "key", "tree")
PROPS = ("balloon", "bicycle", "cake", "gift", "guitar", "house")
FACES = (
    *("grinning", "laughing", "smiling"),
    *("crying", "frowning", "sobbing"),
    *("fuming", "scowling", "shouting"),
    *("screaming", "sweating", "trembling"),
)
SHEET = Sheet(
    file="emoji/emoji.png",
    sha256="9e66437401b7f56f803fec90269d61f5252d713a08fad0a8bf411c008834374b",
    width=72,
    height=72,
    names=tuple(sorted(OBJECTS + PROPS + FACES)),
)
SKY, LAWN = (232, 241, 250), (205, 228, 186)
HORIZON = 84  # pixels from the top


def place_emoji(kinds: list[str], seed: int) -> list[Mark]:
    """Marks of the objects `kinds`, one per randomly chosen cell, in reading order; jittered, never overlapping."""
    return _place(kinds, random.Random(seed), 0.36, 0.46)


def place_faces(faces: list[str], props: list[str], seed: int) -> list[Mark]:
    """Marks of the faces, in reading order, then of the props, in reading order, each in a cell of its own."""
    chance = random.Random(seed)
    order = [True] * len(faces) + [False] * len(props)
    chance.shuffle(order)
    names = {True: iter(faces), False: iter(props)}
    marks = _place([next(names[is_face]) for is_face in order], chance, 0.42, 0.48)
    return [mark for wanted in (True, False) for mark, is_face in zip(marks, order, strict=True) if is_face == wanted]


def draw_emoji(kinds: list[str], seed: int) -> Image.Image:
    """The objects `kinds` in reading order, as an RGB picture of 224 × 224 pixels."""
    return _paint(Image.new("RGB", (SIZE, SIZE), BACKGROUND), place_emoji(kinds, seed))


def draw_faces(faces: list[str], props: list[str], seed: int) -> Image.Image:
    """The faces and props on a lawn under the sky, as an RGB picture of 224 × 224 pixels."""
    scene = Image.new("RGB", (SIZE, SIZE), SKY)
    ImageDraw.Draw(scene).rectangle((0, HORIZON, SIZE, SIZE), fill=LAWN)
    return _paint(scene, place_faces(faces, props, seed))


def _place(names: list[str], chance: random.Random, smallest: float, largest: float) -> list[Mark]:
    """One mark per cell, in whole pixels; the radius is a share of the cell."""
    side = SIZE // CELLS
    marks = []
    for name, cell in zip(names, sorted(chance.sample(range(CELLS * CELLS), len(names))), strict=True):
        width = round(2 * side * chance.uniform(smallest, largest))
        left, top = (side * index + chance.randint(0, side - width) for index in (cell % CELLS, cell // CELLS))
        marks.append(Mark(name, Box(left, top, left + width, top + width)))
    return marks


def _paint(picture: Image.Image, marks: list[Mark]) -> Image.Image:
    for mark in marks:
        left, top, right, bottom = (round(edge) for edge in mark.box)
        sprite = tile(SHEET, mark.name, right - left, bottom - top)
        picture.paste(sprite, (left, top), sprite)
    return picture
