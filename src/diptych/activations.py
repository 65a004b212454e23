"""Activations: the values of all head and neuron nodes for a batch of prompts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.errors import MismatchError


@dataclass(frozen=True)
class Activations:
    """Node values per layer: inputs of the attention and MLP output projections (methods §1)."""

    heads: tuple[Float[Tensor, "batch pos head d_head"], ...]
    neurons: tuple[Float[Tensor, "batch pos neuron"], ...]

    def __post_init__(self) -> None:
        if len(self.heads) != len(self.neurons):
            raise MismatchError(
                f"Activations of {len(self.heads)} head layers and {len(self.neurons)} neuron layers. Record both."
            )

    def __sub__(self, other: "Activations") -> "Activations":
        """Node-wise difference, in float32 whatever the model's dtype."""
        return Activations(_difference(self.heads, other.heads), _difference(self.neurons, other.neurons))

    def zeros(self) -> "Activations":
        """Zero at every node."""
        return Activations(tuple(map(torch.zeros_like, self.heads)), tuple(map(torch.zeros_like, self.neurons)))


def _difference(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if len(a) != len(b):
        raise MismatchError(f"Activations of {len(a)} and {len(b)} layers. Both must come from one model.")
    for layer, (x, y) in enumerate(zip(a, b, strict=True)):
        if x.shape != y.shape:
            raise MismatchError(
                f"Activations of different shapes: {list(x.shape)} and {list(y.shape)} in layer {layer}. "
                f"Both must come from prompts of one layout."
            )
    return tuple(_wide(x) - _wide(y) for x, y in zip(a, b, strict=True))


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
