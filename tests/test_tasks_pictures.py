"""The drawn panels: read back from their pixels, inside the picture, and the same on every machine."""

import hashlib
import random

import numpy as np
import pytest
from PIL import Image

from diptych.errors import InputError
from diptych.items import Item
from diptych.tasks import _draw, _emoji, _flags, _print, _row, arithmetic, counting, factual_recall, ordering, sentiment
from diptych.tasks._draw import Box, Mark
from diptych.tasks._marks import marks
from diptych.tasks._sprites import Sheet, tiles

TASKS = {
    "arithmetic": arithmetic.arithmetic(per_split=20),
    "arithmetic strokes": arithmetic.arithmetic(per_split=20, style="strokes"),
    "counting": counting.counting(per_split=20),
    "counting shapes": counting.counting(per_split=20, style="shapes"),
    "factual_recall": factual_recall.factual_recall(),
    "ordering": ordering.ordering(per_split=20),
    "sentiment": sentiment.sentiment(per_split=20),
}
EACH = pytest.mark.parametrize("name", TASKS)


def picture_of(item: Item) -> Image.Image:
    assert item.image is not None
    return item.image.open()


def cut(item: Item, mark: Mark) -> Image.Image:
    left, top, right, bottom = (round(edge) for edge in mark.box)
    return picture_of(item).crop((left, top, right, bottom))


PIXELS = {
    "arithmetic": ("25-plus-23", "c60a94ccab0d9815c03f7974239d55a33987c5e8d32b5f63395a23f20c5797c7"),
    "arithmetic strokes": ("25-plus-23", "85ce3a3d07b91f8e83a0ebcd1ad01c7846582b64e38b55a243bea8e993cbc326"),
    "counting": (
        "apples-in-apple-duck-duck-duck-duck-duck-bell-duck",
        "14a94f74b20348be441ce2a64b2f1df47db385b213e237699a4480e602ecec75",
    ),
    "counting shapes": (
        "circles-in-circle-star-star-star-star-star-moon-star",
        "8d5e4c2ebe0f7a1ed889500604ef3ae6f96fda92e2514372d947c9c4f2cd0983",
    ),
    "factual_recall": ("ad-continent", "d46dfecca5a23f0ed6382a9351f38d5e9d51fb5c84104978503f97b709760db8"),
    "ordering": (
        "first-from-left-in-black-cylinder-white-ball-green-cube-red-ball",
        "0b53e2c32643623762e94de8e9a06598e62574c98e65554d3e59ad2cc7bcb088",
    ),
    "sentiment": (
        "laughing-smiling-fuming-laughing-by-house-bicycle",
        "f8322fa0f0ec8dfc364e9b44e7a0ef3d4970f937c9199fff2557d8fc73af2494",
    ),
}
"""By task and style: the first item, and the digest of the pixels of the first ten."""


@EACH
def test_pictures_have_the_recorded_pixels(name: str) -> None:
    images = [picture_of(item) for item in TASKS[name].items[:10]]
    digest = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()

    assert {(image.mode, image.size) for image in images} == {("RGB", (224, 224))}
    assert (TASKS[name].items[0].id, digest) == PIXELS[name]


@EACH
def test_the_same_item_is_drawn_the_same_twice_and_another_otherwise(name: str) -> None:
    one, other = TASKS[name].items[:5:4]

    assert picture_of(one).tobytes() == picture_of(one).tobytes() != picture_of(other).tobytes()


@EACH
def test_marks_stay_inside_the_picture_and_apart(name: str) -> None:
    for item in TASKS[name].items:
        boxes = [mark.box for mark in marks(item)]
        assert all(min(box) >= 0 and max(box) <= 224 for box in boxes)
        assert not any(overlap(a, b) for a in boxes for b in boxes if a is not b)


def overlap(a: Box, b: Box) -> bool:
    apart = a.right <= b.left + 1e-9 or b.right <= a.left + 1e-9 or a.bottom <= b.top + 1e-9 or b.bottom <= a.top + 1e-9
    return not apart


@pytest.mark.parametrize("name", ["arithmetic", "arithmetic strokes", "counting", "counting shapes"])
def test_ink_lies_in_the_boxes_and_nowhere_else(name: str) -> None:
    for item in TASKS[name].items[:10]:
        ink = (np.asarray(picture_of(item)) != 255).any(axis=-1)
        for mark in marks(item):
            left, top, right, bottom = (
                int(mark.box.left),
                int(mark.box.top),
                round(mark.box.right),
                round(mark.box.bottom),
            )
            assert ink[top : bottom + 2, left : right + 2].any()
            ink[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3] = False  # strokes are thick
        assert not ink.any()


def most_like(seen: Image.Image, sheet: Sheet, ground: tuple[int, int, int]) -> str:
    """The tile that is most like what was cut out of a picture, in front of a plain ground."""

    def distance(tile: Image.Image) -> float:
        shown = Image.new("RGB", tile.size, ground)
        shown.paste(tile, mask=tile if tile.mode == "RGBA" else None)
        return float(np.abs(np.subtract(shown.resize(seen.size), seen, dtype=float)).mean())

    return min(tiles(sheet), key=lambda name: distance(tiles(sheet)[name]))


@pytest.mark.parametrize(("name", "ground"), [("counting", (255, 255, 255)), ("sentiment", _emoji.LAWN)])
def test_emoji_can_be_read_from_the_pixels(name: str, ground: tuple[int, int, int]) -> None:
    for item in TASKS[name].items[:8]:
        for mark in marks(item):
            assert most_like(cut(item, mark), _emoji.SHEET, ground) == mark.name


def test_flags_can_be_read_from_the_pixels() -> None:
    for item in TASKS["factual_recall"].items[::90]:
        (mark,) = marks(item)
        assert most_like(cut(item, mark), _flags.SHEET, _flags.GREY) == item.cluster


def test_printed_characters_can_be_read_from_the_pixels() -> None:
    for item in TASKS["arithmetic"].items[:10]:
        for mark in marks(item):
            ink = np.asarray(cut(item, mark).convert("L"))
            seen = Image.fromarray((255.0 * (255 - ink) / (255 - ink.min())).astype(np.uint8)).convert("RGB")
            assert most_like(seen, _print.SHEET, (0, 0, 0)) == mark.name


def test_colours_can_be_read_from_the_pixels_from_left_to_right() -> None:
    for item in TASKS["ordering"].items:
        pixels = np.asarray(picture_of(item)).astype(float)
        seen = []
        for mark in sorted(marks(item), key=lambda mark: mark.box.left):
            x, y = round((mark.box.left + mark.box.right) / 2) - 3, round(0.35 * mark.box.top + 0.65 * mark.box.bottom)
            seen.append(ink_of(pixels[y, x]))
        assert seen == [mark.name.split()[0] for mark in marks(item)]


def ink_of(pixel: np.ndarray) -> str:
    """The colour that gives this pixel in some light."""
    lights = np.linspace(0.4, 1, 20)[:, None]
    return min(_row.COLOURS, key=lambda name: np.abs(pixel - lights * np.array(_row.COLOURS[name])).sum(axis=-1).min())


def test_what_is_far_is_small_and_high_and_without_depth_all_stand_on_one_line() -> None:
    colours, solids = ["red", "blue", "green", "pink"], ["ball"] * 4
    deep = [mark.box for seed in range(50) for mark in _row.place_row(colours, solids, 1.0, seed)]
    flat = [mark.box for seed in range(50) for mark in _row.place_row(colours, solids, 0.0, seed)]

    standing = sorted((box.bottom, box.right - box.left) for box in deep)

    assert [width for _, width in standing] == sorted(width for _, width in standing)
    assert standing[-1][0] - standing[0][0] > 70
    assert len({box.bottom for box in flat}) == 1


def test_every_object_and_character_looks_different() -> None:
    pictures = {
        "shapes": [_draw.draw_shapes([kind], 0) for kind in _draw.SHAPES],
        "strokes": [_draw.draw_expression(glyph, 0) for glyph in _draw.GLYPHS],
        "emoji": [_emoji.draw_emoji([name], 0) for name in _emoji.SHEET.names],
        "print": [_print.draw_print(glyph, 0) for glyph in _print.SHEET.names],
        "solids": [_row.draw_row([colour], [solid], 1.0, 0) for colour in _row.COLOURS for solid in _row.SOLIDS],
    }

    for drawn in pictures.values():
        assert len({image.tobytes() for image in drawn}) == len(drawn)


def test_objects_take_every_cell() -> None:
    boxes = [mark.box for seed in range(100) for mark in _emoji.place_emoji(["cat", "dog"], seed)]

    assert {(int(box.left) // 56, int(box.top) // 56) for box in boxes} == {(x, y) for x in range(4) for y in range(4)}


def test_shapes_of_any_list_stay_apart() -> None:
    for seed in range(200):
        names = counting.sample("star", 3, random.Random(seed), "shapes", objects=16, others=3)
        boxes = [mark.box for mark in _draw.place_shapes(names, seed)]
        assert not any(overlap(a, b) for a in boxes for b in boxes if a is not b)


def test_an_item_without_a_drawing_has_no_marks() -> None:
    with pytest.raises(InputError, match="Item 'a' has no drawing of a shipped task. Only drawings know what is where"):
        marks(Item("a", "text", None, "Why?", "yes"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("emoji/emoji.png", "expected 000000000000…: pictures would not be the recorded ones"),
        ("none.png", "cannot be read"),
    ],
)
def test_another_sheet_than_the_expected_one_is_refused(file: str, message: str) -> None:
    with pytest.raises(InputError, match=f"{file}.*{message}.*Install diptych again"):
        tiles(Sheet(file, "0" * 64, 72, 72, ("apple",)))
