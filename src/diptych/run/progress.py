"""How a run tells what it is doing: bars on a terminal, lines elsewhere. All on stderr."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

Progress = Callable[[str, int, int], None]
"""Called with the stage, the units done so far and their total: first before any is computed, then after each."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nothing."""


class Bars:
    """One bar per stage; only for terminals."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[None]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._bars:
            self._bars[stage] = tqdm(desc=stage, total=total, initial=done, unit="unit", file=sys.stderr)
        bar = self._bars[stage]
        bar.update(done - bar.n)
        if done == total:
            self._bars.pop(stage).close()


class Lines:
    """One line per finished stage: how many units, how many of them were stored before, and the rate."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, int]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        start, stored = self._begun.setdefault(stage, (time.monotonic(), done))
        if done == total:
            rate = f", {(done - stored) / (time.monotonic() - start):.1f} per second" if done > stored else ""
            print(f"{stage}: {total} units, {stored} from the store{rate}", file=sys.stderr, flush=True)
            del self._begun[stage]


def for_terminal() -> Progress:
    """Bars if stderr is a terminal, else nothing: a log file wants no bars."""
    return Bars() if sys.stderr.isatty() else silent
