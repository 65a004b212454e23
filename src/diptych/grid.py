"""The grid: one value per node. Scores are a grid of floats, a circuit is a grid of bools (design §2)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diptych.errors import DiptychError, MismatchError, StoreError
from diptych.files import write_whole
from diptych.layout import Layout, require_same
from diptych.ranking import Ranking
from diptych.there import PerLayer, cleared, counted

KINDS = ("heads", "neurons")


@dataclass(frozen=True, eq=False)
class Grid:
    """One value per attention head and per MLP neuron at each layer and position of one layout.

    `model` is the digest of the model's configuration and weights: grids of different models do not combine. `there`
    says how many heads and how many neurons each layer has, if not as many as the grid is wide. What lies behind them
    is no node: it is always zero or false, and counts in no size.
    """

    heads: Shaped[Tensor, "layer pos head"]
    neurons: Shaped[Tensor, "layer pos neuron"]
    layout: Layout
    model: str
    there: tuple[PerLayer, PerLayer] = ((), ())

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
        counts = [counted(*pair) for pair in zip(KINDS, self.there, self, strict=True)]
        object.__setattr__(self, "there", tuple(counts))
        for kind, there, nodes in zip(KINDS, counts, self, strict=True):
            object.__setattr__(self, kind, cleared(nodes, there))

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
        belong = (self.model, self.layout, self.there) == (other.model, other.layout, other.there)
        return belong and all(map(torch.equal, self, other))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Grid":
        """Apply an elementwise function to heads and neurons.

        `function`: [layer, pos, node] to values of that shape.
        """
        return replace(self, heads=function(self.heads), neurons=function(self.neurons))

    def size(self, segment: str | None = None) -> tuple[int, int]:
        """Number of heads and of neurons that there are, in the circuit or not: in all positions or in one segment's."""
        places = self.layout.segment(segment) if segment else slice(0, self.layout.length)
        positions = places.stop - places.start
        return positions * sum(self.there[0]), positions * sum(self.there[1])

    def count(self) -> tuple[int, int]:
        """Number of true heads and of true neurons of a circuit."""
        return int(self.heads.count_nonzero()), int(self.neurons.count_nonzero())  # a sum would copy them to integers

    def top(self, size: float) -> "Grid":
        """The circuit of the ⌊size·N⌋ highest-scoring heads and neurons, ranked apart; ties go to the lower index.

        `size` is a fraction of all nodes of a kind, read as the decimal it prints as (methods §5).
        Raises `InputError` for any other number.
        """
        return next(self.tops([size]))

    def tops(self, sizes: Iterable[float]) -> Iterator["Grid"]:
        """The circuit that `top` gives of each size, one after the other: scores are ranked once for all of them."""
        rankings = [Ranking.of(*one) for one in zip(self, self.there, strict=True)]
        for size in sizes:
            heads, neurons = (ranking.top(size) for ranking in rankings)
            yield replace(self, heads=heads, neurons=neurons)

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
        """The circuit on another layout: a node is in at t if it is in at any source position mapped to t (methods §2).

        Raises `MismatchError` for scores, and for a map of other positions.
        """
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
        return replace(self, heads=carried[0], neurons=carried[1], layout=layout)

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
        """The circuit on a layout with the same spans: a node of a span's one position is in at all of its tokens.

        Raises `MismatchError` for scores.
        """
        if self.heads.dtype != torch.bool:
            raise MismatchError(
                "Only circuits can be expanded, not scores: a span's score is the sum over its tokens. Take "
                "`scores.top(size)` first."
            )
        index = layout.onto(self.layout).to(self.heads.device)
        heads, neurons = (nodes.index_select(1, index) for nodes in self)
        return replace(self, heads=heads, neurons=neurons, layout=layout)

    def save(self, path: Path) -> None:
        """Write the grid as one safetensors file."""
        described = {"layout": self.layout.to_json(), "there": self.there}
        manifest = {"model": self.model} | {name: json.dumps(value) for name, value in described.items()}
        tensors = {"heads": self.heads.contiguous(), "neurons": self.neurons.contiguous()}
        write_whole(path, lambda file: save_file(tensors, file, metadata=manifest))

    @classmethod
    def load(cls, path: Path) -> "Grid":
        """Read a grid written by `save`; one that does not say which nodes there are is refused.

        Raises `StoreError` for any other file.
        """
        try:
            with safe_open(path, framework="pt") as file:
                manifest = file.metadata()
                layout = Layout.from_json(json.loads(manifest["layout"]))
                heads, neurons = (tuple(counts) for counts in json.loads(manifest["there"]))
                return cls(
                    file.get_tensor("heads"), file.get_tensor("neurons"), layout, manifest["model"], (heads, neurons)
                )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, DiptychError) as error:
            raise StoreError(
                f"'{path}' is not a saved grid: {error}. Expected a file written by `Grid.save`."
            ) from error

    def save_pretrained(self, folder: str | Path, conditions: Mapping[str, Any]) -> Path:
        """Write a folder to share: manifest, tensors and a card with the conditions the grid was found under."""
        from diptych.sharing import write

        return write(self, folder, conditions)

    @classmethod
    def from_pretrained(cls, place: str | Path, *, revision: str | None = None) -> "Grid":
        """Read a folder that `save_pretrained` wrote, or a repository of the hub (`diptych.sharing.read`: with conditions)."""
        from diptych.sharing import read

        return read(place, revision=revision)[0]

    def push_to_hub(
        self, repo_id: str, conditions: Mapping[str, Any], *, private: bool = False, token: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes to a repository of the Hugging Face hub; the commit's address."""
        from huggingface_hub import HfApi

        from diptych.sharing import push

        return push(self, repo_id, conditions, private=private, token=token, api=HfApi())

    def _with(self, function: Callable[[Tensor, Tensor], Tensor], other: "Grid") -> "Grid":
        self.require_match(other)
        return replace(self, heads=function(self.heads, other.heads), neurons=function(self.neurons, other.neurons))

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
        if self.there != other.there:
            raise MismatchError(
                f"Grids of different nodes per layer [heads, neurons]: {self.there} and {other.there}. Combine grids of "
                f"one model; a grid made by hand needs its model's `sites.there`."
            )


Scores = Grid
Circuit = Grid
