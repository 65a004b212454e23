"""Means: the average value of every node at every position of one layout, over prompts that align with it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.activations import Activations
from diptych.errors import InputError
from diptych.layout import Layout


@dataclass(frozen=True, eq=False)
class Means:
    """Sums of node values over tokens, per layer [pos, ...], and how many `tokens` each position of `layout` stands for.

    Where a span is one position, its tokens are averaged together: each token weighs alike, whatever its prompt.
    """

    totals: Activations
    tokens: Float[Tensor, " pos"]
    layout: Layout

    @classmethod
    def of(cls, values: Activations, source: Layout, layout: Layout) -> "Means":
        """Those of a batch of prompts of the layout `source`; the batch is one prompt in `totals`."""
        index = source.onto(layout)

        def gather(nodes: Tensor) -> Tensor:
            wide = nodes if nodes.dtype == torch.float64 else nodes.float()
            totals = wide.new_zeros(1, layout.length, *nodes.shape[2:])
            return totals.index_add_(1, index.to(nodes.device), wide.sum(0, keepdim=True)).cpu()

        tokens = torch.bincount(index, minlength=layout.length).float() * values.heads[0].shape[0]
        return cls(_each(gather, values), tokens, layout)

    def __add__(self, other: "Means") -> "Means":
        """Of the prompts of both, which have one layout."""
        heads, neurons = (
            tuple(map(torch.add, ours, theirs))
            for ours, theirs in zip(
                (self.totals.heads, self.totals.neurons), (other.totals.heads, other.totals.neurons), strict=True
            )
        )
        return Means(Activations(heads, neurons), self.tokens + other.tokens, self.layout)

    def on(self, layout: Layout) -> Activations:
        """The mean of every node at the positions of a prompt's own layout, as a batch of one.

        Raises `InputError` for positions that were never seen.
        """
        if not bool(self.tokens.all()):
            raise InputError("Some positions were never seen, so they have no mean. Take the mean over more prompts.")
        index = layout.onto(self.layout)

        def mean(totals: Tensor) -> Tensor:
            return (totals / self.tokens.to(totals).view(1, -1, *[1] * (totals.ndim - 2)))[:, index]

        return _each(mean, self.totals)

    def tensors(self) -> dict[str, Tensor]:
        """Named tensors to store; `from_tensors` reads them. Means are [pos, node] or [pos, head, d_head] per layer."""
        kinds = {"heads": self.totals.heads, "neurons": self.totals.neurons}
        named = {f"{kind}.{layer}": nodes for kind, layers in kinds.items() for layer, nodes in enumerate(layers)}
        return named | {"tokens": self.tokens}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], layout: Layout) -> "Means":
        """The means that `tensors` gave."""
        layers = range((len(tensors) - 1) // 2)
        heads, neurons = (tuple(tensors[f"{kind}.{layer}"] for layer in layers) for kind in ("heads", "neurons"))
        return cls(Activations(heads, neurons), tensors["tokens"], layout)


def _each(function: Callable[[Tensor], Tensor], values: Activations) -> Activations:
    return Activations(tuple(map(function, values.heads)), tuple(map(function, values.neurons)))
