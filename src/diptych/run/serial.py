"""The executor that works in this process, one unit after the other."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from diptych.run.unit import Unit, Values, Work

if TYPE_CHECKING:
    from diptych.models import VLM


def in_process(work: Work, units: Iterable[Unit], load: "Callable[[], VLM]") -> Iterator[tuple[Unit, Values]]:
    """Do the units in their order; the model is loaded for the first, if there is one."""
    for unit in units:
        yield unit, work(load(), unit.payload)
