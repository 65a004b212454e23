"""What every kind of figure requires of its parts."""

from collections.abc import Sequence
from typing import Any

from diptych.errors import InputError

PNG = "data:image/png;base64,"
"""How the address of a picture that lies in the page begins."""

Number = float | int | None


def require_png(owner: str, picture: str) -> None:
    if not picture.startswith(PNG):
        raise InputError(
            f"{owner} has a picture that begins with '{picture[:20]}'. Expected a PNG data URI ('{PNG}...'), so that "
            f"reports need no other file."
        )


def require_lengths(owner: str, expected: int, **parts: Sequence[Any] | None) -> None:
    for name, part in parts.items():
        if part is not None and len(part) != expected:
            raise InputError(f"{owner} has {len(part)} entries in {name}; expected {expected}.")
