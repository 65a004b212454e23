"""Cuts: attention between two segments forbidden in sets of layers, one set after the other (methods §12)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.errors import InputError
from diptych.layout import SEGMENTS, Layout
from diptych.models.calls import DecoderCall
from diptych.models.past import alone
from diptych.models.trace import Trace, trace
from diptych.models.vlm import VLM

LayerSets = Literal["sliding", "prefix", "suffix", "complement"]
WIDEST = 9


@dataclass(frozen=True)
class Cut:
    """No attention to the positions of one segment (`columns`) from those of one or several that follow it (`rows`)."""

    columns: str
    rows: tuple[str, ...]

    @classmethod
    def named(cls, name: str) -> "Cut":
        """`data:query` cuts the way from the data to the query, `data:query+generation` that to all that follows."""
        columns, _, rows = name.partition(":")
        cut = cls(columns, tuple(rows.split("+")))
        order = [SEGMENTS.index(segment) for segment in (columns, *cut.rows) if segment in SEGMENTS]
        if len(order) <= len(cut.rows) or order[0] > order[1] or order[1:] != list(range(order[1], order[-1] + 1)):
            raise InputError(
                f"A cut cannot be '{name}'. Expected where information comes from and where it goes, as in 'data:query' "
                f"or 'data:query+generation', out of {', '.join(SEGMENTS)} in their order."
            )
        return cut

    def __str__(self) -> str:
        return f"{self.columns} to {' and '.join(self.rows)}"

    def slices(self, layout: Layout) -> tuple[slice, slice]:
        """Rows and columns in a prompt."""
        rows = [layout.segment(segment) for segment in self.rows]
        return slice(rows[0].start, rows[-1].stop), layout.segment(self.columns)


def default_window(layers: int) -> int:
    """9 layers in a model of at least 24 (methods §12); about a third of a shallower one, an odd number."""
    return min(WIDEST, 2 * (layers // 6) + 1)


def layer_sets(kind: LayerSets, layers: int, window: int) -> list[tuple[int, ...]]:
    """One set of layers per layer l.

    sliding: range(max(0, l − window // 2), min(L, l + ceil(window / 2))); prefix: 0 to l; suffix: l to L − 1;
    complement: all but the sliding window.
    """
    every = range(layers)
    windows = [range(max(0, l - window // 2), min(layers, l + (window + 1) // 2)) for l in every]  # noqa: E741
    sets: Mapping[LayerSets, Callable[[int], Sequence[int]]] = {
        "sliding": lambda layer: windows[layer],
        "prefix": lambda layer: range(layer + 1),
        "suffix": lambda layer: range(layer, layers),
        "complement": lambda layer: [other for other in every if other not in windows[layer]],
    }
    return [tuple(sets[kind](layer)) for layer in every]


@torch.no_grad()
def cut_off(
    vlm: VLM,
    call: DecoderCall,
    places: tuple[slice, slice],
    sets: Sequence[Sequence[int]],
    heads: Mapping[int, Sequence[int]] | None = None,
    own: Trace | None = None,
) -> Iterator[Float[Tensor, "batch vocab"]]:
    """Last-position logits with attention from the first to the second of `places` forbidden in each set of layers.

    `heads`: as in `VLM.knockout`. `own`: the plain run's trace that ends, among others, where the first place starts; it
    is made if not given. Layers below the first one of a set are not run again, and, where the model allows it, nor are
    positions before the first place, which no cut changes: cost ≤ F + Σ_sets (L − first)/L · F.
    """
    length = call.input_ids.shape[1]
    start = places[0].indices(length)[0]
    own = trace(vlm, call, (start,)) if own is None else own
    for layers in sets:
        if not layers:
            yield own.logits
            continue
        first = min(layers)
        with ExitStack() as stack:
            stack.enter_context(own.resumed(vlm, first))
            if own.past is not None:
                stack.enter_context(alone(vlm, own.past.until(start), slice(start, length), first))
            stack.enter_context(vlm.knockout(*places, layers, heads))
            yield vlm.run(call)
