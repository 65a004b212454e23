"""Decoder calls: what the language decoder receives for a batch of prompts, image features merged in (adapter §2–3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from diptych.errors import MismatchError, UnsupportedModel

BatchDims = Mapping[str, int | None]
EMBEDDINGS = "inputs_embeds"


@dataclass(frozen=True, eq=False)
class DecoderCall:
    """The captured arguments of the decoder's forward, replayed by `VLM.run` without the vision tower.

    `batch_dims` says, per tensor, along which dimension prompts are stacked (None: shared by all prompts).
    """

    input_ids: Tensor  # [batch, pos]
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    batch_dims: BatchDims = field(default_factory=dict, repr=False)

    @property
    def batch(self) -> int:
        """Number of prompts."""
        return self.input_ids.shape[0]

    @property
    def embeddings(self) -> Tensor:
        """The merged embeddings [batch, pos, d_model]; raises `UnsupportedModel` if the decoder takes none."""
        found = [leaf for name, leaf in self.leaves().items() if name.endswith(EMBEDDINGS) and leaf is not None]
        if not found:
            raise UnsupportedModel(
                f"The decoder is called without embeddings, with {', '.join(self.kwargs)}. Its inputs cannot be "
                f"interpolated. Expected a decoder that takes `{EMBEDDINGS}`."
            )
        embeddings: Tensor = found[0]
        return embeddings

    def leaves(self) -> dict[str, Any]:
        """Every argument that is not a container, by path."""
        found: dict[str, Any] = {}
        rebuild((self.args, self.kwargs), "", found.setdefault)
        return found

    @property
    def signature(self) -> tuple[str, ...]:
        """The call's arguments and their numbers of dimensions: calls with the same one stack prompts alike."""
        return tuple(f"{n}:{leaf.ndim if isinstance(leaf, Tensor) else ''}" for n, leaf in self.leaves().items())

    @property
    def tokens(self) -> list[str]:
        """The arguments that are the token ids: layers look them up themselves, beside the embeddings."""
        return [name for name, leaf in self.leaves().items() if same(leaf, self.input_ids)]

    def pictures(self, inputs: Mapping[str, Tensor]) -> list[str]:
        """The arguments that are the model's own float inputs, handed on: pixels that the decoder takes itself."""
        given = [value for value in inputs.values() if value.is_floating_point()]
        return [name for name, value in self.kwargs.items() if any(value is one for one in given)]

    def embedded(self, decoder: nn.Module) -> "DecoderCall":
        """The call with embeddings in place of token ids: only those can be interpolated.

        That it is the same call is a line of the proof.
        """
        ids = self.args[0] if self.args else self.kwargs.get("input_ids")
        if not isinstance(ids, Tensor) or ids.is_floating_point() or self.kwargs.get(EMBEDDINGS) is not None:
            return self
        args = (None, *self.args[1:]) if self.args else ()
        kwargs = {**self.kwargs, EMBEDDINGS: decoder.get_input_embeddings()(ids)}  # type: ignore[operator]
        return replace(self, args=args, kwargs=kwargs if args else {**kwargs, "input_ids": None})

    def merged(self, embeddings: Tensor, inputs: Mapping[str, Tensor]) -> "DecoderCall":
        """The call of a decoder that takes pixels itself, with what it makes of them in their place."""
        without = dict.fromkeys(self.pictures(inputs))
        return replace(self, kwargs={**self.kwargs, **without, EMBEDDINGS: embeddings})

    def with_leaves(self, change: Callable[[str, Any], Any]) -> "DecoderCall":
        """The call with every leaf replaced by `change(path, leaf)`; containers are made anew."""
        args, kwargs = rebuild((self.args, self.kwargs), "", change)
        return replace(self, args=args, kwargs=kwargs)

    def take(self, rows: list[int]) -> "DecoderCall":
        """The call for the given prompts, in the given order (repeats allowed)."""
        if rows == list(range(self.batch)):
            return self  # nothing is copied
        index = torch.tensor(rows)

        def pick(path: str, leaf: Any) -> Any:
            dim = self.batch_dims.get(path) if isinstance(leaf, Tensor) else None
            if dim is None:
                return leaf
            rest = leaf.unflatten(dim, (self.batch, -1))  # a flattened [batch·n, ...] leaf stacks n rows per prompt
            return rest.index_select(dim, index.to(leaf.device)).flatten(dim, dim + 1)

        return replace(self.with_leaves(pick), input_ids=self.input_ids[index.to(self.input_ids.device)])

    def beside(self, other: "DecoderCall") -> "DecoderCall":
        """Both calls' prompts in one batch, the other's behind."""
        others = other.leaves()

        def join(path: str, leaf: Any) -> Any:
            dim = self.batch_dims.get(path) if isinstance(leaf, Tensor) else None
            return leaf if dim is None else torch.cat([leaf, others[path]], dim)

        return replace(self.with_leaves(join), input_ids=torch.cat([self.input_ids, other.input_ids]))

    def repeat(self, times: int) -> "DecoderCall":
        """The batch repeated: [b0..bn] * times."""
        return self.take(list(range(self.batch)) * times)


@dataclass(frozen=True, eq=False)
class Path:
    """The straight path of the decoder's float inputs from a counterfactual to a clean call (methods §4).

    Every float argument that differs is an *entry*: merged embeddings, deep-stack features and the like.
    """

    clean: DecoderCall
    counterfactual: DecoderCall
    entries: tuple[str, ...]

    @classmethod
    def between(cls, clean: DecoderCall, counterfactual: DecoderCall) -> "Path":
        """Raises `MismatchError` if the calls differ in anything that cannot be interpolated."""
        a, b = clean.leaves(), counterfactual.leaves()
        differing = [name for name in a.keys() | b.keys() if not same(a.get(name), b.get(name))]
        if clean.tokens and set(clean.tokens) <= set(differing):
            raise UnsupportedModel(
                f"Layers of this model look up token ids themselves (decoder argument '{clean.tokens[0]}'), which cannot "
                f"be interpolated. Expected layers that read embeddings alone: use contrasts that differ in their "
                f"pictures, or another model."
            )
        for name in differing:
            _require_float(name, a.get(name), b.get(name))
        inputs = [name for name in a if name.endswith(EMBEDDINGS) and a[name] is not None]
        return cls(clean, counterfactual, tuple(dict.fromkeys([*inputs, *sorted(differing)])))

    def at(self, *alphas: float) -> tuple[DecoderCall, list[Tensor]]:
        """The call at counterfactual + α(clean − counterfactual), and its entries, which require gradients.

        Several points are one batch: [first α's prompts, second α's, ...].
        """
        clean, other = self.clean.repeat(len(alphas)), self.counterfactual.repeat(len(alphas))
        a, b = clean.leaves(), other.leaves()

        def point(name: str) -> Tensor:
            weight = _by_prompt(alphas, a[name], clean.batch_dims[name])
            return torch.lerp(b[name].detach(), a[name].detach(), weight).requires_grad_()

        points = {name: point(name) for name in self.entries}
        return clean.with_leaves(points.get), list(points.values())

    def steps(self) -> list[Tensor]:
        """clean − counterfactual at each entry."""
        a, b = self.clean.leaves(), self.counterfactual.leaves()
        return [a[name] - b[name] for name in self.entries]

    def holding(self, positions: Tensor) -> "Path":
        """The path on which embeddings at `positions` [batch, pos] and all other entries stay clean.

        Its start is then not the counterfactual run.
        """
        clean, embedded = self.clean.leaves(), self.entries[0]
        held = {name: clean[name] for name in self.entries}
        inside = positions[..., None].to(held[embedded].device)
        held[embedded] = held[embedded].where(inside, self.counterfactual.leaves()[embedded])
        return replace(self, counterfactual=self.counterfactual.with_leaves(held.get))

    def take(self, rows: list[int]) -> "Path":
        """The path for the given prompts."""
        return replace(self, clean=self.clean.take(rows), counterfactual=self.counterfactual.take(rows))


def _by_prompt(alphas: Sequence[float], leaf: Tensor, dim: int | None) -> Tensor:
    """One weight per row of `leaf` along the dimension that stacks prompts, of equal parts for each α."""
    assert dim is not None  # an entry differs between two prompts, so it is stacked by prompt
    rows = leaf.shape[dim] // len(alphas)
    weights = torch.tensor(alphas, dtype=leaf.dtype, device=leaf.device).repeat_interleave(rows)
    return weights.view(*[1] * dim, -1, *[1] * (leaf.ndim - dim - 1))


def same(a: Any, b: Any) -> bool:
    """Whether two leaves are equal, tensors by value."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    return type(a) is type(b) and bool(a == b)


def _require_float(name: str, a: Any, b: Any) -> None:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and a.is_floating_point()):
        raise MismatchError(
            f"The prompts are not aligned: decoder argument '{name}' differs and cannot be interpolated. "
            f"Use contrasts whose prompts have one layout and images of one size."
        )


def rebuild(tree: Any, path: str, change: Callable[[str, Any], Any]) -> Any:
    """Nested containers made anew, every leaf replaced by `change(path, leaf)`."""
    if isinstance(tree, Mapping):
        inside = {key: rebuild(value, f"{path}.{key}", change) for key, value in tree.items()}
        return replace(tree, **inside) if is_dataclass(tree) else inside  # transformers' outputs are both
    if isinstance(tree, list | tuple):
        make = getattr(type(tree), "_make", type(tree))  # a named tuple takes its values one by one
        return make(rebuild(value, f"{path}.{index}", change) for index, value in enumerate(tree))
    return change(path, tree)
