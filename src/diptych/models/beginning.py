"""Beginning: what prompts begin with alike is computed once, and many runs compute what follows it alone (decision 0034)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diptych.models.calls import DecoderCall
from diptych.models.hooks import untouched
from diptych.models.once import Leaves, equal
from diptych.models.past import Past, alone, of_positions
from diptych.models.trace import keep_past
from diptych.models.vlm import VLM

LOST = 0.3
"""What runs of later positions lose to smaller matrices and copies, as a share of a whole run (benchmarks/prefix.py)."""

TRIED = 3
"""Forwards of one prompt that have to be saved: trying the model costs less than two, and its calls are short."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """Of the prompts of one layout, the positions before `start`: none where runs compute all positions.

    Nodes there have the same values in all prompts, so that no score and no ablation by values of such a run is lost.
    """

    vlm: VLM
    start: int = 0
    past: Past | None = None  # of one prompt

    @property
    def positions(self) -> slice:
        """What runs compute."""
        return slice(self.start, None)

    @contextmanager
    def behind(self, call: DecoderCall) -> Iterator[None]:
        """While open, runs of this call, or of as many prompts, compute the positions from `start` on alone."""
        if self.past is None:
            yield
            return
        with alone(self.vlm, self.past.shared(call.batch), slice(self.start, call.input_ids.shape[1]), keep=False):
            yield


@torch.no_grad()
def begin(vlm: VLM, calls: Sequence[DecoderCall], end: int, forwards: float) -> Beginning:
    """The beginning, up to `end`, of the prompts of some calls, if `forwards` runs behind it save more than it costs.

    And if all begin alike, nobody hooked the model, so that what is true of one prompt is of all, and it can compute later
    positions alone, which is tried with one prompt: that costs less than two forwards of it.
    """
    first, (count, length) = calls[0].take([0]), calls[0].input_ids.shape
    worth = (end / length - LOST) * forwards * count > TRIED
    if not worth or not untouched(vlm.model) or not all(_as(first, call, end) for call in calls):
        return Beginning(vlm)
    kept = keep_past(vlm, first, end)
    return Beginning(vlm) if kept is None else Beginning(vlm, end, kept[1].take([0]))


def _as(first: DecoderCall, call: DecoderCall, end: int) -> bool:
    """Whether all prompts of a call begin as the one of `first`, and see as much of what follows."""
    length = call.input_ids.shape[1]
    return equal(beginning(call, end, length), beginning(first.take([0] * call.batch), end, length))


def beginning(call: DecoderCall, end: int, seen: int) -> Leaves:
    """Token ids, then the arguments, of the positions before the end; as they are where they are of no positions.

    Of a mask, what these positions see of the first `seen`.
    """
    length = call.input_ids.shape[1]

    def before(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.shape[2:] == (length, length):  # a mask: who looks at whom
            return leaf[..., :end, :seen]
        return of_positions(leaf, length, slice(0, end))

    return {"input_ids": call.input_ids[:, :end]} | {name: before(leaf) for name, leaf in call.leaves().items()}
