"""What is where in a drawn item: labels for those who train a model to see."""

from collections.abc import Callable

from diptych.errors import InputError
from diptych.items import Drawing, Item
from diptych.tasks import _draw, _emoji, _flags, _print, _row
from diptych.tasks._draw import Mark

PLACES: dict[Callable[..., object], Callable[..., list[Mark]]] = {
    _draw.draw_expression: _draw.place_expression,
    _draw.draw_shapes: _draw.place_shapes,
    _emoji.draw_emoji: _emoji.place_emoji,
    _emoji.draw_faces: _emoji.place_faces,
    _flags.draw_flag: _flags.place_flag,
    _print.draw_print: _print.place_print,
    _row.draw_row: _row.place_row,
}
"""The function that draws → the one that places, with the same arguments."""


def marks(item: Item) -> list[Mark]:
    """Names and boxes of what the item's picture shows, in the order of its text. Raises `InputError` if it is no drawing."""
    if not isinstance(item.image, Drawing) or item.image.draw not in PLACES:
        raise InputError(f"Item '{item.id}' has no drawing of a shipped task. Only drawings know what is where.")
    return PLACES[item.image.draw](**item.image.arguments)
