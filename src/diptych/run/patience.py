"""Patience: how long no worker has been there to do anything, what is said of it, and when it is given up."""

import logging
import sys
from dataclasses import dataclass

from tqdm import tqdm

from diptych.errors import InputError

log = logging.getLogger(__name__)

TICK = 10.0
"""Seconds between two looks; the first is when the wait is told."""
TOLD = 60.0
"""Seconds until it is told again."""
GIVEN_UP = 600.0
"""Seconds without any node that could hold a worker; clouds that bring nodes on demand need minutes."""


@dataclass
class Patience:
    """The wait for a first worker of `size` (in words), or for one in the place of those that ended, in seconds.

    Where a node could hold a worker, others may be using it, and there is no end to the wait.
    """

    size: str
    waited: float = 0.0
    without_room: float = 0.0

    def tick(self, *, room: bool) -> None:
        """Wait on for `TICK`; raises `InputError` if no node has had room for `GIVEN_UP` seconds."""
        self.waited += TICK
        self.without_room = 0.0 if room else self.without_room + TICK
        if self.without_room >= GIVEN_UP:
            raise InputError(
                f"No node has had room for a worker of {self.size} for {self.without_room:.0f} s: those that had it have "
                f"ended. Start nodes, or ask for less, and give the same command again: what is finished is kept."
            )
        if self.waited == TICK or self.waited % TOLD < TICK:
            self._tell()

    def _tell(self) -> None:
        why = (
            f"no node has room for it; given up at {GIVEN_UP:.0f} s"
            if self.without_room
            else "it is starting, or others use the nodes"
        )
        with tqdm.external_write_mode(file=sys.stderr):  # above any bars
            log.warning("Waiting for a worker of %s, for %.0f s so far: %s.", self.size, self.waited, why)
