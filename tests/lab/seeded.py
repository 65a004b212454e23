"""An experiment for tests that takes a seed, and fails if it is told to."""

from diptych.errors import InputError
from diptych.run import Finding, Run

VERSION = 1


def seeded(run: Run, *, seed: int = 0, fail: str = "") -> Finding:
    if fail == "input":
        raise InputError("The data cannot be used. Give other data.")
    if fail == "fault":
        raise ZeroDivisionError("a fault of the program")
    return Finding(summary=f"Seed {seed}.", rows=[{"seed": seed}], conditions={})
