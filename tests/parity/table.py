"""The parity table: family × quantity → largest difference, tolerance, largest golden value."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diptych.paper_compat import PAPER_A

from . import backpatching, circuits, nodes
from .golden import Golden, sets
from .quantity import Quantity

PARTS = (nodes, circuits, backpatching)
HEADER = ("set", "kernel", "quantity", "max |difference|", "tolerance", "max |golden|", "values", "")


def parity(golden: Golden) -> Iterator[Quantity]:
    """Every quantity of one set, computed with all of Paper A's departures."""
    with PAPER_A.opened(golden.vlm):
        for part in PARTS:
            yield from part.quantities(golden)


def rows(folder: Path, attention: str) -> Iterator[tuple[Golden, Quantity]]:
    """All sets below a folder."""
    for golden in sets(folder, attention):
        for quantity in parity(golden):
            yield golden, quantity


def cells(golden: Golden, found: Quantity) -> Sequence[str]:
    """A row as text."""
    name = "/".join(golden.folder.parts[-2:])
    numbers = (f"{found.difference:.1e}", str(found.tolerance), f"{found.largest:.3g}", str(found.values))
    return (name, golden.attention, found.name, *numbers, "" if found.passed else "BEYOND TOLERANCE")
