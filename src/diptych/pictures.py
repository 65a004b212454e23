"""Pictures: opened late, from files or from bytes, as a person would see them; none is decoded before its size is known."""

import hashlib
import inspect
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from diptych.errors import InputError
from diptych.raster import as_rgb
from diptych.registry import source_digest

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What Pillow may read: no format whose reader starts another program, as that of EPS does."""


class Picture(Protocol):
    """An image that is opened late."""

    def open(self) -> "Image":
        """The picture as an RGB image."""
        ...

    def digest(self) -> str:
        """Identity of the content, without drawing it."""
        ...


@dataclass(frozen=True)
class ImageFile:
    """A picture in a file."""

    path: Path

    def open(self) -> "Image":
        """The picture as an RGB image, as seen."""
        return _decoded(f"Image '{self.path}'", Path(self.path))

    def digest(self) -> str:
        """Digest of the file's bytes; raises `InputError` if there is none."""
        try:
            return hashlib.sha256(Path(self.path).read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"Image '{self.path}' cannot be read: {error.strerror}. Check the path.") from error


@dataclass(frozen=True)
class ImageBytes:
    """A picture whose file's bytes are at hand; `name` says where it is from."""

    data: bytes = field(repr=False)
    name: str

    def open(self) -> "Image":
        """The picture as an RGB image, as seen."""
        return _decoded(f"The picture of {self.name}", io.BytesIO(self.data))

    def digest(self) -> str:
        """Digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Drawing:
    """A picture drawn by a function of a module from plain (JSON) arguments; the same arguments give the same pixels."""

    draw: Callable[..., "Image"]
    arguments: dict[str, Any]

    def __post_init__(self) -> None:
        name = getattr(self.draw, "__name__", repr(self.draw))
        if getattr(inspect.unwrap(self.draw), "__globals__", {}).get(name) is not self.draw:
            raise InputError(
                f"'{name}' is not a function of a module. Draw with one that is defined at the top of a file."
            )
        try:
            json.dumps(self.arguments)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The arguments of '{name}' are not plain: {error}. Give texts, numbers, lists."
            ) from error

    def open(self) -> "Image":
        """The picture, drawn anew."""
        return self.draw(**self.arguments)

    def digest(self) -> str:
        """Digest of the function's file and of the arguments; nothing is drawn."""
        return plain_digest([self.draw.__name__, source_digest(self.draw), self.arguments])

    def __hash__(self) -> int:
        return hash(plain_digest(self.arguments))


def plain_digest(value: Any) -> str:
    """SHA-256 of a plain (JSON) value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _decoded(title: str, source: Path | BinaryIO) -> "Image":
    """The picture as RGB, upright."""
    try:
        with _opened(source) as image:
            return as_rgb(image)
    except Exception as error:  # of a damaged file: OSError, SyntaxError, ValueError, or Pillow's own
        raise InputError(
            f"{title} cannot be opened: {str(error).rstrip('.')}. "
            f"Expected a picture that Pillow reads (PNG, JPEG, WebP). Replace the file or drop the item."
        ) from error


def _opened(source: Path | BinaryIO) -> "Image":
    """The picture with its header read alone; raises for more pixels than `PIL.Image.MAX_IMAGE_PIXELS`."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return Image.open(source, formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, so it is not decoded") from error
