"""Stacking: prompts captured one by one become one call, along the dimensions that the model itself stacks (adapter §3)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from diptych.batch import Inputs
from diptych.errors import MismatchError
from diptych.models.calls import BatchDims, DecoderCall, same

Capture = Callable[[Inputs], DecoderCall]

ROUNDING = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""What another batch may change of a tower's features, as a share of what another picture does: four digits of two in half."""


def prompts(inputs: Inputs) -> list[Inputs]:
    """The inputs of each prompt of a batch, as `collate` put them one behind the other; raises `MismatchError`."""
    count = inputs["input_ids"].shape[0]
    uneven = [name for name, value in inputs.items() if count > 1 and value.shape[0] % count]
    if uneven:
        raise MismatchError(
            f"'{uneven[0]}' holds {inputs[uneven[0]].shape[0]} rows for {count} prompts. Expected the same number of rows "
            f"for each prompt: batch prompts whose pictures have one size."
        )
    if count == 1:
        return [inputs]
    parts = {name: value.chunk(count) for name, value in inputs.items()}
    return [{name: part[index] for name, part in parts.items()} for index in range(count)]


def changed(one: Inputs) -> Inputs:
    """The prompt with another picture; without one, with its words in reverse."""
    pictures = {name: _striped(value) for name, value in one.items() if value.is_floating_point()}
    return {**one, **(pictures or {"input_ids": one["input_ids"].flip(1)})}


def _striped(value: Tensor) -> Tensor:
    """Pixels of another picture: every second number halved, since some towers do not see how light a picture is."""
    return value * (1 - torch.arange(value.shape[-1], device=value.device) % 2 / 2).to(value.dtype)


def joined(ones: Sequence[Inputs]) -> Inputs:
    """Prompts of one form, one behind the other along dimension 0."""
    return {name: torch.cat([one[name] for one in ones]) for name in ones[0]}


def reads_apart(capture: Capture, both: Inputs, apart: DecoderCall) -> bool:
    """Whether the model makes of two prompts at once what it makes of each alone (`apart`), but for rounding.

    Some refuse the batch; some read the pictures of another prompt and do not say so. Floats may differ by `ROUNDING` of
    what the two prompts differ by: give two that differ in their picture alone.
    """
    try:
        found = capture(both).leaves()
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever a model raises that wants its pictures stacked otherwise
        return False
    expected, first = apart.leaves(), apart.take([0, 0]).leaves()
    return found.keys() == expected.keys() and all(
        _reads_same(found[name], leaf, first[name]) for name, leaf in expected.items()
    )


def _reads_same(found: Any, expected: Any, first: Any) -> bool:
    """Whether leaves are the same but for rounding; `first` is of the first prompt twice."""
    if not isinstance(expected, Tensor) or not expected.is_floating_point():
        return same(found, expected)
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return False
    if not expected.numel():
        return True
    return _distance(found, expected) <= ROUNDING[found.dtype] * _distance(expected, first)


def learn_batch_dims(capture: Capture, inputs: Inputs, call: DecoderCall) -> BatchDims:
    """Along which dimension each tensor of a call stacks prompts: the one that doubles when the prompt is given twice.

    How the model wants its inputs stacked is learnt too, by trying: only the shapes of the doubled call are used.
    Raises what the model said of inputs stacked along their first dimension if no other way works either.
    """
    first: Exception | None = None
    for twice in _doublings(inputs):
        try:
            return find_batch_dims(call, capture(twice))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model raises that wants its pictures stacked otherwise
            first = first or error
    assert first is not None  # there is at least one way
    raise first


def find_batch_dims(one: DecoderCall, two: DecoderCall) -> BatchDims:
    """Batch dimensions from the calls of a batch and of the same batch twice: the dimension that doubled."""
    a, b = one.leaves(), two.leaves()
    return {name: _doubled(name, a[name], b.get(name)) for name in a if isinstance(a[name], Tensor)}


def stack(calls: Sequence[DecoderCall], batch_dims: BatchDims) -> DecoderCall:
    """One call of all prompts; raises `MismatchError` if they differ in anything that is not stacked."""
    every = [call.leaves() for call in calls]

    def join(name: str, leaf: Any) -> Any:
        leaves: list[Any] = [leaves.get(name) for leaves in every]
        dim = batch_dims.get(name)
        if dim is None:
            _require_shared(name, leaves)
            return leaf
        _require_one_shape(name, leaves, dim)
        return torch.cat(leaves, dim)

    ids = torch.cat([call.input_ids for call in calls])
    joined = calls[0].with_leaves(join)
    return DecoderCall(ids, joined.args, joined.kwargs, batch_dims)


def _doublings(inputs: Inputs) -> Iterator[Inputs]:
    """The prompt twice: all tensors along their first dimension, then one of them along another, the last one first."""
    plain = {name: torch.cat([value, value]) for name, value in inputs.items()}
    yield plain
    for name, value in inputs.items():
        for dim in reversed(range(1, value.ndim)):
            yield plain | {name: torch.cat([value, value], dim)}


def _doubled(name: str, one: Tensor, two: Tensor | None) -> int | None:
    shapes = list(one.shape), list(two.shape) if isinstance(two, Tensor) else []
    sides = zip(*shapes, strict=True) if len(shapes[0]) == len(shapes[1]) else ()
    dims = [dim for dim, (n, m) in enumerate(sides) if m == 2 * n and n > 0]
    if len(dims) > 1 or (not dims and shapes[0] != shapes[1]):
        raise MismatchError(
            f"Decoder argument '{name}' has shape {shapes[0]}, twice as many prompts {shapes[1]}: no batch dimension."
        )
    return dims[0] if dims else None


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _require_shared(name: str, leaves: Sequence[Any]) -> None:
    if not all(same(leaves[0], other) for other in leaves[1:]):
        raise MismatchError(
            f"Decoder argument '{name}' differs between the prompts of a batch, and is not stacked. "
            f"Expected prompts of one layout, without padding."
        )


def _require_one_shape(name: str, leaves: Sequence[Any], dim: int) -> None:
    shapes = {str(list(leaf.shape)) if isinstance(leaf, Tensor) else "none" for leaf in leaves}
    if len(shapes) > 1:
        raise MismatchError(
            f"Decoder argument '{name}' has shapes {' and '.join(sorted(shapes))} in one batch, so prompts cannot be "
            f"stacked along dimension {dim}. Expected prompts of one layout and pictures of one size, without padding."
        )
