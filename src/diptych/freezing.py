"""Freezing: the picture's positions keep an early state through the layers that read them (methods §11)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.interventions import overwrite
from diptych.models.calls import DecoderCall
from diptych.models.entry import stopped_at
from diptych.models.past import Past, alone
from diptych.models.streams import edit_streams, require_all_in_stream
from diptych.models.trace import Trace, trace
from diptych.models.vlm import VLM, Edit


@torch.no_grad()
def freeze(
    vlm: VLM, call: DecoderCall, positions: slice, starts: Sequence[int], until: int
) -> Iterator[tuple[int, Float[Tensor, "batch vocab"]]]:
    """Last-position logits when what enters layer l at `positions` enters layers l + 1 to `until` there too.

    After layer `until` the positions evolve again. Nothing is held if l is `until` or more: the run is then the clean
    one. Layers up to l are not run again, nor, where the model allows it (`models.trace`), are positions before those
    held, and of these only their keys and values below `until`: cost ≤ 3F + Σ_l (L − l − 1)/L · F. Raises
    `UnsupportedModel` if layers learn of the picture beside the stream.
    """
    start, stop, _ = positions.indices(call.input_ids.shape[1])
    with require_all_in_stream(vlm):
        own = trace(vlm, call, (start, stop))
    run = _Frozen(vlm, call, slice(start, stop), own)
    for layer in starts:
        yield layer, run.logits(layer, until) if layer < until else own.logits


def holding(positions: slice, value: Tensor) -> Edit:
    """The edit that writes `value` at `positions`."""
    return lambda live: overwrite(live, positions, value)


@dataclass(frozen=True, eq=False)
class _Frozen:
    """Runs of some prompts with a state held at `positions`; `own`: their plain run."""

    vlm: VLM
    call: DecoderCall
    positions: slice
    own: Trace

    def logits(self, layer: int, until: int) -> Tensor:
        """With what enters `layer` held up to layer `until`."""
        hold = dict.fromkeys(range(layer + 1, until + 1), holding(self.positions, self.own.streams[layer]))
        frozen: AbstractContextManager[Any] = edit_streams(self.vlm, hold)
        if self.own.past is not None:
            follows = slice(self.positions.stop, self.call.input_ids.shape[1])
            frozen = alone(self.vlm, self._past(hold, self.own.past), follows, layer + 1)
        with self.own.resumed(self.vlm, layer + 1), frozen:
            return self.vlm.run(self.call)

    def _past(self, hold: Mapping[int, Edit], plain: Past) -> Past:
        """The past up to the end of `positions` under these edits, from the first layer edited on.

        What a layer leaves there that is then overwritten, or leaves the model, is not computed.
        """
        first, *others = hold
        unread = {*(layer - 1 for layer in others), len(self.vlm.layers) - 1}
        before = plain.until(self.positions.start)
        with (
            self.own.resumed(self.vlm, first),
            edit_streams(self.vlm, hold),
            alone(self.vlm, before, self.positions, first, keys_only=unread) as past,
            stopped_at(self.vlm.sites.unembedding),
        ):
            self.vlm.run(self.call)
        return past
