"""How a run tells what it is doing: bars on a terminal, lines elsewhere. All on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tqdm import tqdm

Told = Callable[[int], object]
"""Called after each unit with how many are done."""

Progress = Callable[[str, int, int], AbstractContextManager[Told]]
"""Opened with a stage, the units of it that are stored already and their total; closed when it is done or has failed."""


@contextmanager
def silent(stage: str, done: int, total: int) -> Iterator[Told]:
    """Tell nothing."""
    yield lambda now: None


@contextmanager
def bars(stage: str, done: int, total: int) -> Iterator[Told]:
    """A bar with the rate and the time left, which leave out what was stored; only for terminals."""
    with tqdm(desc=stage, total=total, initial=done, unit="unit", file=sys.stderr) as bar:
        yield lambda now: bar.update(now - bar.n)


@contextmanager
def lines(stage: str, done: int, total: int) -> Iterator[Told]:
    """A line when the stage is finished: how many units, how many of them were stored before, and the rate."""
    start = time.monotonic()

    def tell(now: int) -> None:
        if now == total:
            rate = f", {(now - done) / (time.monotonic() - start):.1f} per second" if now > done else ""
            print(f"{stage}: {total} units, {done} from the store{rate}", file=sys.stderr, flush=True)

    tell(done)
    yield tell


def for_terminal() -> Progress:
    """Bars if stderr is a terminal, else nothing: a log file wants no bars."""
    return bars if sys.stderr.isatty() else silent
