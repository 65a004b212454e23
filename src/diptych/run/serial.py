"""The executor that works in this process, one unit after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from diptych.run.unit import Unit, Values, Work

if TYPE_CHECKING:
    from diptych.models import VLM


def in_process(work: Work, units: Sequence[Unit], load: "Callable[[], VLM]") -> Iterator[tuple[Unit, Values]]:
    """Do the units in their order; the model is loaded before the first."""
    if units:
        vlm = load()
        for unit in units:
            yield unit, work(vlm, unit.payload)
