"""The grid: one value per node. Scores are a grid of floats, a circuit is a grid of bools (design §2)."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diptych.errors import DiptychError, InputError, MismatchError, StoreError
from diptych.layout import Layout, require_same

KINDS = ("heads", "neurons")


@dataclass(frozen=True, eq=False)
class Grid:
    """One value per attention head and per MLP neuron at each layer and position of one layout.

    `model` is the digest of the model's configuration: grids of different models do not combine.
    """

    heads: Shaped[Tensor, "layer pos head"]
    neurons: Shaped[Tensor, "layer pos neuron"]
    layout: Layout
    model: str

    def __post_init__(self) -> None:
        for kind in KINDS:
            nodes: Tensor = getattr(self, kind)
            if nodes.ndim != 3 or nodes.shape[1] != self.layout.length:
                raise MismatchError(
                    f"A grid's {kind} have shape {list(nodes.shape)}; expected [layer, {self.layout.length}, ...] "
                    f"for a layout of {self.layout.length} positions."
                )
        if self.heads.dtype != self.neurons.dtype or self.heads.shape[0] != self.neurons.shape[0]:
            raise MismatchError(
                f"Heads are {self.heads.dtype} of {self.heads.shape[0]} layers, neurons {self.neurons.dtype} of "
                f"{self.neurons.shape[0]}. Both need one dtype and number of layers."
            )

    def __iter__(self) -> Iterator[Tensor]:
        """Heads, then neurons."""
        return iter((self.heads, self.neurons))

    def __add__(self, other: "Grid") -> "Grid":
        return self._with(torch.add, other)

    def __sub__(self, other: "Grid") -> "Grid":
        return self._with(torch.sub, other)

    def __mul__(self, factor: float) -> "Grid":
        return self.map(lambda nodes: nodes * factor)

    def __and__(self, other: "Grid") -> "Grid":
        return self._with(torch.logical_and, other)

    def __or__(self, other: "Grid") -> "Grid":
        return self._with(torch.logical_or, other)

    def __invert__(self) -> "Grid":
        return self.map(torch.logical_not)

    def equal(self, other: "Grid") -> bool:
        """Whether both grids belong together and hold the same values."""
        return self.model == other.model and self.layout == other.layout and all(map(torch.equal, self, other))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Grid":
        """Apply an elementwise function to heads and neurons."""
        return Grid(function(self.heads), function(self.neurons), self.layout, self.model)

    def count(self) -> tuple[int, int]:
        """Number of true heads and of true neurons of a circuit."""
        return int(self.heads.sum()), int(self.neurons.sum())

    def top(self, size: float) -> "Grid":
        """The circuit of the ⌊size·N⌋ highest-scoring heads and neurons, ranked apart; ties go to the lower index.

        `size` is a fraction of all nodes of a kind, read as the decimal it prints as (methods §5).
        """
        if not 0 <= size <= 1:
            raise InputError(f"A circuit's size is {size}; expected a fraction of all nodes between 0 and 1.")
        return self.map(lambda nodes: _top(nodes, math.floor(Fraction(repr(float(size))) * nodes.numel())))

    def at(self, segment: str) -> "Grid":
        """The part in one segment (prefix, data, query or generation); zero or false elsewhere."""
        return self._keep(self._inside(segment))

    def without(self, segment: str) -> "Grid":
        """Everything but one segment."""
        return self._keep(~self._inside(segment))

    def collapse(self) -> tuple[Bool[Tensor, "layer head"], Bool[Tensor, "layer neuron"]]:
        """Forget positions: which heads and neurons are in the circuit anywhere."""
        return self.heads.any(1), self.neurons.any(1)

    def carry(self, positions: Bool[Tensor, "source target"], layout: Layout) -> "Grid":
        """The circuit on another layout: a node is in at t if it is in at any source position mapped to t (methods §2)."""
        if self.heads.dtype != torch.bool:
            raise MismatchError(
                "Only circuits can be carried to another layout, not scores. Take `scores.top(size)` first."
            )
        if list(positions.shape) != [self.layout.length, layout.length]:
            raise MismatchError(
                f"The position map is {list(positions.shape)}; expected [{self.layout.length}, {layout.length}]. "
                f"Make it with `position_map(source, target)`."
            )
        moves = positions.float()
        carried = [torch.einsum("lpn,pt->ltn", nodes.float(), moves) > 0 for nodes in self]
        return Grid(carried[0], carried[1], layout, self.model)

    def pool(self, layout: Layout) -> "Grid":
        """The grid on a layout with the same spans: where a span is one position there, the sum over its tokens.

        Of a circuit: whether any token is in. `layout.pooled(layout.places)` pools every span (methods §2).
        """
        index = self.layout.onto(layout)

        def gather(nodes: Tensor) -> Tensor:
            totals = nodes.new_zeros(nodes.shape[0], layout.length, nodes.shape[2])
            return totals.index_add_(1, index, nodes)  # of bools: or

        return replace(self, heads=gather(self.heads), neurons=gather(self.neurons), layout=layout)

    def expand(self, layout: Layout) -> "Grid":
        """The circuit on a layout with the same spans: a node of a span's one position is in at all of its tokens."""
        if self.heads.dtype != torch.bool:
            raise MismatchError(
                "Only circuits can be expanded, not scores: a span's score is the sum over its tokens. Take "
                "`scores.top(size)` first."
            )
        index = layout.onto(self.layout)
        return replace(self, heads=self.heads[:, index], neurons=self.neurons[:, index], layout=layout)

    def save(self, path: Path) -> None:
        """Write the grid as one safetensors file."""
        manifest = {"layout": json.dumps(self.layout.to_json()), "model": self.model}
        save_file({"heads": self.heads.contiguous(), "neurons": self.neurons.contiguous()}, path, metadata=manifest)

    @classmethod
    def load(cls, path: Path) -> "Grid":
        """Read a grid written by `save`."""
        try:
            with safe_open(path, framework="pt") as file:
                manifest = file.metadata()
                layout = Layout.from_json(json.loads(manifest["layout"]))
                return cls(file.get_tensor("heads"), file.get_tensor("neurons"), layout, manifest["model"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, DiptychError) as error:
            raise StoreError(
                f"'{path}' is not a saved grid: {error}. Expected a file written by `Grid.save`."
            ) from error

    def _with(self, function: Callable[[Tensor, Tensor], Tensor], other: "Grid") -> "Grid":
        self.require_match(other)
        return Grid(function(self.heads, other.heads), function(self.neurons, other.neurons), self.layout, self.model)

    def _inside(self, segment: str) -> Bool[Tensor, " pos"]:
        inside = torch.zeros(self.layout.length, dtype=torch.bool)
        inside[self.layout.segment(segment)] = True
        return inside

    def _keep(self, positions: Bool[Tensor, " pos"]) -> "Grid":
        return self.map(lambda nodes: nodes.where(positions[:, None], torch.zeros_like(nodes)))

    def require_match(self, other: "Grid") -> None:
        """Raise `MismatchError` unless both grids belong to one model and one layout."""
        if self.model != other.model:
            raise MismatchError(f"Grids of two models, {self.model} and {other.model}. Combine grids of one model.")
        require_same(self.layout, other.layout)
        if self.heads.shape != other.heads.shape or self.neurons.shape != other.neurons.shape:
            shapes = [[list(nodes.shape) for nodes in grid] for grid in (self, other)]
            raise MismatchError(
                f"Grids of different shapes [heads, neurons]: {shapes[0]} and {shapes[1]}. Combine grids of one model."
            )


Scores = Grid
Circuit = Grid


def _top(scores: Tensor, keep: int) -> Tensor:
    """The `keep` highest scores as a mask; ties by lower index. A selection, not a sort: 211 M neurons must pass."""
    if scores.dtype == torch.bool:
        raise MismatchError("A circuit has no ranking. Take `top` of the scores it came from.")
    flat = scores.detach().flatten().cpu().numpy()
    if np.isnan(flat).any():
        raise MismatchError(f"{int(np.isnan(flat).sum())} scores are NaN. Rank only finite scores: see how they arose.")
    if keep == 0:
        return torch.zeros(scores.shape, dtype=torch.bool)
    threshold = np.partition(flat, flat.size - keep)[flat.size - keep]
    chosen = flat > threshold
    chosen[np.flatnonzero(flat == threshold)[: keep - int(chosen.sum())]] = True
    return torch.from_numpy(chosen.reshape(tuple(scores.shape)))
