"""Files that are whole or absent: written under a temporary name, synced and renamed, also if the process is killed."""

import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diptych.errors import InputError

HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
TEMPORARY = re.compile(r"\..+\.(?P<host>[A-Za-z0-9-]+)\.(?P<process>\d+)\.tmp")


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file in a temporary folder beside `path`, then move it there; nothing is left behind on an error.

    A folder, because safetensors writes a temporary file of its own beside the one that it is told to write.
    """
    folder = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.tmp")
    temporary = folder / "whole"
    try:
        _remove(folder)
        folder.mkdir()  # never through a link that lay there
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # safetensors makes files that only their owner can read
        _sync(temporary)
        temporary.replace(path)
    finally:
        _remove(folder)
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, whole or absent."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """While open, a path of the user's that cannot be written is an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be written: {error.strerror or error}. Choose a place where you may write."
        ) from error


def is_temporary(path: Path) -> bool:
    """Whether a file is one that `write_whole` has not renamed yet."""
    return TEMPORARY.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove what processes that have ended left half written; those of other machines may still be at it."""
    for base, folders, files in os.walk(folder):  # not glob, which fails where another process removes something
        for name in (*folders, *files):
            match = TEMPORARY.fullmatch(name)
            if match and match["host"] == HOST and not _is_writing(int(match["process"])):
                _remove(Path(base, name))


def _remove(path: Path) -> None:
    """A folder with all in it, a file or a link; nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
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
