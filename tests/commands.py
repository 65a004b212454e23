"""The command line as a test calls it: `command` (a fixture) runs one and gives what it printed."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """Exit status of a command, and what it printed."""

    status: int | str | None
    out: str
    err: str


Command = Callable[..., Said]
