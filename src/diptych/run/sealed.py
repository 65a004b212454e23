"""JSON files with a checksum of their own text as the last key, and of bounded size."""

import hashlib
import json
from pathlib import Path

from diptych.errors import Damaged, StoreError

CHECKSUM = "checksum"
LARGEST = 2**28
"""Bytes of a JSON file that is read; results hold tables and figures, and tensors lie beside them."""


def seal(text: str) -> str:
    """A JSON object of our indentation, with the checksum of its text."""
    return f'{text.removesuffix("}").rstrip()},\n "{CHECKSUM}": "{_checksum(text)}"\n}}\n'


def unseal(path: Path) -> str:
    """The text that was sealed; raises `Damaged` if it is another. Files of before there were checksums pass."""
    try:
        plain = json.loads(read_bounded(path))
        noted = plain.pop(CHECKSUM, None) if isinstance(plain, dict) else None
        text = json.dumps(plain, indent=1, allow_nan=False)
    except (ValueError, RecursionError) as error:  # of decoding too
        raise Damaged(f"Not a result: {error}. The file is damaged; give its run's command again.") from error
    if noted not in (None, _checksum(text)):
        raise Damaged("It holds another text than was written. Give its run's command again: it is computed anew.")
    return text


def read_bounded(path: Path, largest: int = LARGEST) -> str:
    """The text of a file; raises `StoreError` for one that is too large to be ours."""
    size = path.stat().st_size
    if size > largest:
        raise StoreError(f"{path} has {size} bytes; expected at most {largest}. It was not written by diptych.")
    return path.read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
