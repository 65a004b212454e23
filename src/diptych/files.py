"""Files that are whole or absent: written under a temporary name, synced and renamed, also if the process is killed."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
TEMPORARY = re.compile(r"\..+\.(?P<host>[A-Za-z0-9-]+)\.(?P<process>\d+)\.tmp")


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then give it its name; nothing is left behind on an error."""
    temporary = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # safetensors makes files that only their owner can read
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, whole or absent."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def is_temporary(path: Path) -> bool:
    """Whether a file is one that `write_whole` has not renamed yet."""
    return TEMPORARY.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove temporary files of processes that have ended; those of other machines may still be written."""
    for path in folder.rglob(".*.tmp"):
        match = TEMPORARY.fullmatch(path.name)
        if match and match["host"] == HOST and not _is_writing(int(match["process"])):
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_writing(process: int) -> bool:
    if process == os.getpid():
        return False  # this process is sweeping: what it left is of an earlier process with the same number
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
