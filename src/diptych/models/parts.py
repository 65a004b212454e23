"""Parts: the positions of what an item names in its text, its query and its picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from diptych.batch import Inputs
from diptych.errors import InputError
from diptych.items import Item
from diptych.layout import segment_of
from diptych.locate import Range, overlapping, picture_cells, picture_grid
from diptych.models.chat import locate


def text_parts(item: Item, tokens: Sequence[Range], where: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Span name → positions of the tokens that hold its characters.

    `tokens`: the characters of each token; `where`: the place in the prompt of each character, and of the end, of the
    data, of the query, or of both.
    """
    found: dict[str, list[int]] = {}
    for name, start, stop in item.spans:
        places = where.get(segment_of(name))
        if places is not None:
            found.setdefault(name, []).extend(overlapping(tokens, (places[start], places[stop])))
    return found


def picture_parts(item: Item, held: Sequence[int], inputs: Inputs) -> dict[str, list[int]]:
    """The cells of the picture at positions `held`, if the item asks for more than one.

    Height and width may be any two (or the last two of three) whole numbers that the processor gives for the picture.
    """
    if item.cells == (1, 1):
        return {}
    return picture_cells(held, token_grid(held, inputs), item.cells)


def token_grid(held: Sequence[int], inputs: Inputs) -> tuple[int, int]:
    """Rows and columns of the positions that hold one picture; raises `InputError` if they form no grid."""
    sizes = [value[0] for value in inputs.values() if not value.is_floating_point() and value.shape in ((1, 2), (1, 3))]
    return picture_grid(held, [(int(size[-2]), int(size[-1])) for size in sizes])


def drawn_grid(item: Item, held: Sequence[int], inputs: Inputs, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns in which the positions of an item's one picture lie over it; `size` is its height and width.

    Raises `InputError` for several pictures, and for positions that form no grid of the picture's shape, as tiles do.
    """
    if len(item.pictures) != 1:
        raise InputError(
            f"Item '{item.id}' has {len(item.pictures)} pictures; positions are drawn over a picture that stands alone."
        )
    (rows, columns), (height, width) = token_grid(held, inputs), size
    # rows and columns are each rounded by up to half a token
    if rows != columns and abs(rows * width - columns * height) > max(height, width):
        raise InputError(
            f"The positions of the picture of item '{item.id}' lie in {rows} rows and {columns} columns, which is not the "
            f"shape of its {height} × {width} pixels. The model cuts it into tiles: they cannot be drawn over it."
        )
    return rows, columns


def query_parts(item: Item, rendered: str, found: Mapping[str, Any], tokens: list[int]) -> dict[str, list[int]]:
    """The named parts of the query behind a picture, counted from the right.

    `found`: ids and characters (`offset_mapping`) of the rendered prompt, whose picture is one mark; `tokens`: the prompt
    as the model receives it, where the picture takes more positions.
    """
    where, ids = locate(rendered, item.query), found["input_ids"]
    parts = text_parts(item, found["offset_mapping"], {"query": where} if where else {})
    first, longer = min((min(places, default=0) for places in parts.values()), default=0), len(tokens) - len(ids)
    if where is None or ids[first:] != tokens[first + longer :]:
        raise InputError(
            f"The query of item '{item.id}' is not found behind its picture as it was given. Leave out its 'query' spans."
        )
    return {name: [place + longer for place in places] for name, places in parts.items()}
