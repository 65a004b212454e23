"""Pictures of a page: each stands in it once, and is drawn from there wherever it is shown."""

import base64
import binascii
import struct
from dataclasses import dataclass, field

from diptych.figures import PNG


@dataclass(frozen=True)
class Stored:
    """A picture (PNG data URI) with its number on the page and its size in pixels."""

    number: int
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The pictures that a page has shown so far, in order of first appearance."""

    found: dict[str, Stored] = field(default_factory=dict)

    def stored(self, picture: str) -> Stored:
        """The picture's place; a new one is noted."""
        return self.found.setdefault(picture, Stored(len(self.found) + 1, picture, *_size(picture)))


def _size(picture: str) -> tuple[int, int]:
    """Width and height, which a PNG tells in its first 24 bytes; a square for what is none, which no browser shows."""
    try:
        head = base64.b64decode(picture.removeprefix(PNG)[:32], validate=True)
        width, height = struct.unpack(">II", head[16:24])
    except (binascii.Error, ValueError, struct.error):
        return 1, 1
    return max(1, width), max(1, height)
