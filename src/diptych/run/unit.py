"""Units of work: the seam between a run and whatever executes it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from diptych.models import VLM


@dataclass(frozen=True)
class Unit:
    """A piece of an experiment that is stored by itself: an id, unique in its map, and what the work needs."""

    id: str
    payload: Any


Values = dict[str, "Tensor"]
"""Named tensors: what one unit yields."""

AT_ONCE = "at_once"
"""The name by which a unit tells how many prompts it did at once, if memory was too short for all of them."""

Work = Callable[["VLM", Any], Values]
"""A unit's work, given the model and the payload. A module-level function or a `partial` of one, so that it pickles."""

Executor = Callable[[Work, Iterable[Unit], Callable[[], "VLM"]], Iterator[tuple[Unit, Values]]]
"""Does the work on all units, each once, and yields them as they finish, in any order. The last argument loads the model.

Units are taken one by one as workers are free: what another driver has stored by then is not among them any more.
"""
