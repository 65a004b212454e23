"""What an organism is trained on: items of the tasks that are not held out, and what their pictures show where."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from diptych.items import Drawing, Item, Modality
from diptych.tasks import arithmetic, counting, factual_recall, ordering, sentiment
from diptych.tasks._countries import COUNTRIES
from diptych.tasks._draw import SIZE, Box
from diptych.tasks._emoji import FACES, OBJECTS, PROPS
from diptych.tasks._marks import marks
from diptych.tasks._row import COLOURS, SOLIDS
from diptych.tasks.countries import named

TASKS = ("counting", "arithmetic", "ordering", "sentiment", "factual_recall")
BLANK = "blank"  # what an image token reads where the picture is empty
COVERED = 0.15  # an image token reads a large figure that covers at least this share of its cell


def naming_item(chance: random.Random, modality: Modality) -> Item:
    """A country whose name is asked for."""
    return named(chance.choice(factual_recall.countries()))


SAMPLERS: dict[str, Callable[[random.Random, Modality], Item]] = {
    "counting": counting.training_item,
    "arithmetic": arithmetic.training_item,
    "ordering": ordering.training_item,
    "sentiment": sentiment.training_item,
    "factual_recall": factual_recall.training_item,
    "naming": naming_item,
}
HELD_OUT: dict[str, Callable[[Item], bool]] = {
    "counting": counting.held_out,
    "arithmetic": arithmetic.held_out,
    "ordering": ordering.held_out,
    "sentiment": sentiment.held_out,
    "factual_recall": factual_recall.held_out,
}
ANSWERS = tuple(COLOURS)
"""Words of the data that are answers: their first pieces differ, if words are cut into pieces."""
DATA_WORDS: tuple[Sequence[str], ...] = (
    OBJECTS,
    FACES + PROPS,
    tuple(SOLIDS),
    tuple(c.name for c in COUNTRIES.values()),
)
"""Other words of the data, task by task."""


def training_items(task: str, modality: Modality, number: int, seed: int) -> list[Item]:
    """Items that may be trained on in this panel; the picture of the same data differs from item to item."""
    chance = random.Random(f"organism:{task}:{modality}:{seed}")
    items: list[Item] = []
    while len(items) < number:
        item = _redraw(SAMPLERS[task](chance, modality), chance)
        if modality == "text" or legible(item, 4):
            items.append(item)
    return items


def shown_items(task: str, number: int) -> list[Item]:
    """Items whose data training may show as a picture, drawn anew."""
    chance = random.Random(f"organism:{task}:shown")
    return [_redraw(SAMPLERS[task](chance, "image"), chance) for _ in range(number)]


def held_out(task: str, item: Item) -> bool:
    """Whether the item's data never occurs as a picture in training."""
    return HELD_OUT[task](item)


def legible(item: Item, rows: int) -> bool:
    """Whether each figure of the picture is read by some image token; in a crowded scene two may share a cell."""
    read = readings(item, rows)
    return all(
        read.count(name) >= names.count(name) for names in [[m[0] for m in figures(item)]] for name in set(names)
    )


def readings(item: Item, rows: int) -> list[str]:
    """The phrase that each of the rows × rows image tokens should read, row by row.

    The figure centred in the token's cell, else the large one that covers most of it, else nothing (`BLANK`).
    """
    side, found = SIZE / rows, figures(item)
    cells = [(side * column, side * row) for row in range(rows) for column in range(rows)]
    return [_reading(Box(left, top, left + side, top + side), found) for left, top in cells]


def figures(item: Item) -> list[tuple[str, Box]]:
    """What is drawn where; neighbouring digits are one number, with the box around them."""
    found: list[tuple[str, Box]] = []
    for mark in marks(item):
        if found and found[-1][0].isdigit() and mark.name.isdigit():
            number, box = found.pop()
            found.append((number + mark.name, Box(box.left, box.top, mark.box.right, box.bottom)))
        else:
            found.append((mark.name, mark.box))
    return found


def _reading(cell: Box, found: list[tuple[str, Box]]) -> str:
    centred = [name for name, box in found if _holds(cell, (box.left + box.right) / 2, (box.top + box.bottom) / 2)]
    area = (cell.right - cell.left) * (cell.bottom - cell.top)
    shares = [
        (_overlap(cell, box) / area, name) for name, box in found if box.right - box.left > cell.right - cell.left
    ]
    share, name = max(shares, default=(0.0, BLANK))
    return centred[0] if centred else name if share >= COVERED else BLANK


def _redraw(item: Item, chance: random.Random) -> Item:
    assert isinstance(item.image, Drawing)
    arguments = {**item.image.arguments, "seed": chance.getrandbits(32)}
    return replace(item, image=Drawing(item.image.draw, arguments))


def _holds(area: Box, x: float, y: float) -> bool:
    return area.left <= x < area.right and area.top <= y < area.bottom


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a.right, b.right) - max(a.left, b.left), min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(width, 0.0) * max(height, 0.0)
