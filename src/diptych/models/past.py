"""Past: keys and values of earlier positions, with which a run computes some later positions alone (decision 0024)."""

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from diptych.models.calls import rebuild
from diptych.models.hooks import replaced_forward
from diptych.models.knockout import CACHE, MASK
from diptych.models.resume import Forms, returned, stream, with_stream
from diptych.models.vlm import VLM

Forward = Callable[..., Any]
Both = tuple[Float[Tensor, "batch head pos width"], Float[Tensor, "batch head pos value"]]
"""Keys and values."""


@dataclass(frozen=True, eq=False)
class Past:
    """Keys and values that layers keep of the positions from the first on, by layer."""

    layers: dict[int, Both] = field(default_factory=dict)

    def until(self, position: int) -> "Past":
        """Of the positions before this one."""
        return self._each(lambda kept: kept[:, :, :position])

    def take(self, prompts: Sequence[int]) -> "Past":
        """Of the given prompts, in the given order (repeats allowed)."""
        index = torch.tensor(list(prompts))  # several times as fast as a list is
        return self._each(lambda kept: kept.index_select(0, index.to(kept.device)))

    def shared(self, prompts: int) -> "Past":
        """Of one prompt, as that of so many: nothing is copied."""
        return self._each(lambda kept: kept.expand(prompts, -1, -1, -1))

    @classmethod
    def joined(cls, pasts: Sequence["Past"]) -> "Past":
        """Of the prompts of several, in their order."""
        sides = {layer: [past.layers[layer] for past in pasts] for layer in pasts[0].layers}
        return cls(
            {layer: (torch.cat([k for k, _ in both]), torch.cat([v for _, v in both])) for layer, both in sides.items()}
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Past":
        return Past({layer: (change(keys), change(values)) for layer, (keys, values) in self.layers.items()})


class _KeysTaken(Exception):
    """Ends a layer of which its keys and values are all that is wanted."""


class _Cache(DynamicCache):
    """The cache that one layer is called with: keys and values of the past, then those of the call."""

    def __init__(self, past: Both | None, keep: Callable[[Both], None]) -> None:
        super().__init__()
        self.past, self.keep = past, keep

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Both:
        both = key_states, value_states
        if self.past is not None:
            both = torch.cat([self.past[0], key_states], 2), torch.cat([self.past[1], value_states], 2)
        self.keep(both)
        return both


@contextmanager
def alone(
    vlm: VLM, past: Past, positions: slice, start: int = 0, *, keys_only: Collection[int] = (), keep: bool = True
) -> Iterator[Past]:
    """While open, layers from `start` on compute `positions` alone; those before have their keys and values in `past`.

    In what enters and leaves a layer all positions are there, so that whatever edits layers still fits; at the others,
    a layer leaves the stream as it is. A layer in `keys_only` computes its keys and values and leaves the whole stream so.
    Gives the past of all positions up to the end of `positions`, filled by a run if it is to `keep` it. Raises whatever a model raises that
    cannot be run so: see `models.trace`.
    """
    found = Past()
    with ExitStack() as stack:
        for index in range(start, len(vlm.layers)):
            layer = vlm.layers[index]
            part = _Part(
                index, past.layers.get(index), positions, index in keys_only, vlm.forms, found if keep else None
            )
            stack.enter_context(replaced_forward(layer, part.of(layer.forward)))
        yield found


@dataclass(frozen=True, eq=False)
class _Part:
    """Some positions of one layer."""

    layer: int
    past: Both | None
    positions: slice
    keys_only: bool
    forms: Forms
    found: Past | None

    def of(self, own: Forward) -> Forward:
        """The layer's forward, given and giving all positions, and computing these alone."""
        names = list(inspect.signature(own).parameters)

        def forward(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(names, args, strict=False)) | kwargs
            hidden: Tensor = given.pop(names[0])
            mask = self._mask(given.pop(MASK, None), hidden)
            given = {name: rebuild(value, name, self._cut(hidden.shape[1])) for name, value in given.items()}
            cache = _Cache(self.past, self._keep)
            try:
                output = own(hidden[:, self.positions], **given | {MASK: mask, CACHE: cache})
            except _KeysTaken:
                return returned(self.forms, self.layer, hidden)  # what follows overwrites it, or nobody reads it
            before, behind = hidden[:, : self.positions.start], hidden[:, self.positions.stop :]
            return with_stream(output, torch.cat([before, stream(output), behind], 1))

        return forward

    def _keep(self, both: Both) -> None:
        if self.found is not None:
            self.found.layers[self.layer] = both
        if self.keys_only and self.layer in self.forms:
            raise _KeysTaken

    def _mask(self, mask: Tensor | None, hidden: Tensor) -> Tensor | None:
        """The rows of these positions, and the columns up to the last of them."""
        start, stop = self.positions.start, self.positions.stop
        if mask is not None:
            return mask[..., self.positions, :stop]
        if start == 0:
            return None  # causal: sdpa's shorthand holds of the first positions alone as of all
        asking, asked = (torch.arange(first, stop, device=hidden.device) for first in (start, 0))
        return (asked <= asking[:, None])[None, None]

    def _cut(self, length: int) -> Callable[[str, Any], Any]:
        return lambda path, leaf: of_positions(leaf, length, self.positions)


def of_positions(leaf: Any, length: int, positions: slice) -> Any:
    """What a layer or a decoder is given, at some positions: the last dimension of whole numbers, else the last but one.

    As it is if that dimension is not `length`.
    """
    if not isinstance(leaf, Tensor):
        return leaf
    dim = leaf.ndim - (2 if leaf.is_floating_point() or leaf.is_complex() else 1)
    if dim < 0 or leaf.shape[dim] != length:
        return leaf
    return leaf.narrow(dim, positions.start, positions.stop - positions.start)
