"""Small pictures cut from the shipped sheets; no fonts and no vector graphics at run time, so pixels are the same anywhere."""

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from diptych.errors import InputError

DATA = Path(__file__).parent.parent / "data"
COLUMNS = 14  # tiles per row of a sheet, as in scripts/build_data.py


@dataclass(frozen=True)
class Sheet:
    """A picture of equally large tiles, row by row. Its SHA-256 stands in the code that draws, so that a change shows."""

    file: str
    sha256: str
    width: int
    height: int
    names: tuple[str, ...]


@cache
def tiles(sheet: Sheet) -> dict[str, Image.Image]:
    """Each tile of the sheet by its name. Raises `InputError` if the file is missing or not the expected one."""
    with Image.open(io.BytesIO(_checked(sheet))) as image:
        whole = image.convert("RGB") if image.mode == "P" else image.copy()
    corners = [(place % COLUMNS * sheet.width, place // COLUMNS * sheet.height) for place in range(len(sheet.names))]
    return {
        name: whole.crop((left, top, left + sheet.width, top + sheet.height))
        for name, (left, top) in zip(sheet.names, corners, strict=True)
    }


@cache
def tile(sheet: Sheet, name: str, width: int, height: int) -> Image.Image:
    """One tile, scaled."""
    return tiles(sheet)[name].resize((width, height), Image.Resampling.LANCZOS)


def _checked(sheet: Sheet) -> bytes:
    path = DATA / sheet.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}. Install diptych again.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sheet.sha256:
        raise InputError(
            f"'{path}' has SHA-256 {found[:12]}…, expected {sheet.sha256[:12]}…: pictures would not be the recorded ones. "
            f"Install diptych again."
        )
    return content
