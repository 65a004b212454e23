"""Locating: which positions of a prompt hold its data, its query, and the parts of them that an item names (methods §2)."""

import math
from collections.abc import Iterable, Mapping, Sequence

from diptych.errors import InputError
from diptych.layout import Layout, segment_of

Range = tuple[int, int]
"""First character, and the one behind the last."""


def text_layout(tokens: Sequence[Range], data: Range) -> Layout:
    """The segments of a text prompt: the data are the tokens that hold a character of it.

    `tokens`: the characters of each token.
    """
    held = overlapping(tokens, data)
    if not held:
        raise InputError(
            f"No token of the prompt holds its data (characters {data[0]} to {data[1]}). Expected data that the tokenizer "
            f"does not drop."
        )
    return Layout.of((held[0], held[-1] + 1), len(tokens))


def image_layout(held: Sequence[int], length: int) -> Layout:
    """The segments of an image prompt: the data reach from the first to the last position that holds a picture.

    Row breaks between them are data; marks before the first and behind the last are not.
    """
    return Layout.of((held[0], held[-1] + 1), length)


def overlapping(tokens: Sequence[Range], characters: Range) -> list[int]:
    """Positions of the tokens that hold any of the characters."""
    start, stop = characters
    return [t for t, (first, last) in enumerate(tokens) if first < stop and last > start and last > first]


def name_parts(layout: Layout, parts: Mapping[str, Iterable[int]]) -> Layout:
    """The layout with the named parts as spans of their own; a position of two parts goes to the first.

    Positions outside their segment are left alone; the rest of a segment keeps the segment's name.
    """
    labels = layout.labels
    for name, positions in parts.items():
        own = [position for position in positions if labels[position] == segment_of(name)]
        if not own:
            raise InputError(
                f"Span '{name}' has no token of its own: its characters lie in tokens of another span. Name a longer part."
            )
        for position in own:
            labels[position] = name
    return Layout.labelled(labels)


def picture_grid(held: Sequence[int], sides: Iterable[tuple[int, int]] = ()) -> tuple[int, int]:
    """Rows and columns of the positions that hold one picture.

    Rows are told by the breaks between them; else by `sides`, height and width of the picture in any unit that is a whole
    multiple of a token; else the picture is a square.
    """
    starts = [i for i, position in enumerate(held) if i == 0 or held[i - 1] != position - 1]
    widths = {b - a for a, b in zip(starts, [*starts[1:], len(held)], strict=True)}
    if len(starts) > 1 and len(widths) == 1:
        return len(starts), widths.pop()
    square = math.isqrt(len(held))
    for height, width in [*sides, (square, square)]:
        unit = math.isqrt(height * width // len(held))
        if len(starts) == 1 and unit and height * width == unit**2 * len(held) and not (height % unit or width % unit):
            return height // unit, width // unit
    raise InputError(
        f"The {len(held)} positions of the picture form no grid of rows and columns, so it has no cells. "
        f"Use items without `cells` with this model."
    )


def picture_cells(held: Sequence[int], grid: tuple[int, int], cells: tuple[int, int]) -> dict[str, list[int]]:
    """The positions of each cell, if the picture is cut into `cells` (rows, columns): `data.cell_0_0`, `data.cell_0_1`, ..."""
    if cells[0] > grid[0] or cells[1] > grid[1]:
        raise InputError(
            f"The picture has {grid[0]} × {grid[1]} positions and cannot be cut into {cells[0]} × {cells[1]} cells. "
            f"Ask for fewer cells or give a larger picture."
        )
    found: dict[str, list[int]] = {}
    for index, position in enumerate(held):
        row, column = divmod(index, grid[1])
        name = f"data.cell_{row * cells[0] // grid[0]}_{column * cells[1] // grid[1]}"
        found.setdefault(name, []).append(position)
    return found
