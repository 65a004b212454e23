"""Where one thread spends its CPU time: its stack, looked at every few milliseconds from another thread."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Place = TypeVar("Place")

EVERY, SWITCH = 0.004, 0.0005
"""Seconds between two looks, and after which a thread in Python code makes room for the one that looks."""


@contextmanager
def sampled(place: Callable[[FrameType], Place]) -> Iterator[Counter[Place]]:
    """While open, CPU seconds of the calling thread by what `place` makes of its innermost frame.

    Each look counts as the CPU time since the one before, so waiting and the load of the machine count for nothing.
    """
    found: Counter[Place] = Counter()
    thread = threading.get_ident()
    clock = time.pthread_getcpuclockid(thread)
    ended = threading.Event()

    def look() -> None:
        before = time.clock_gettime(clock)
        while not ended.wait(EVERY):
            frame = sys._current_frames().get(thread)
            now = time.clock_gettime(clock)
            if frame is not None and now > before:
                found[place(frame)] += now - before
            before = now

    looker = threading.Thread(target=look, daemon=True)
    patience = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    looker.start()
    try:
        yield found
    finally:
        ended.set()
        looker.join()
        sys.setswitchinterval(patience)


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back
