"""Activations: differences are exact in float32."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from diptych.activations import Activations
from diptych.errors import MismatchError


def activations(
    make: Callable[..., Tensor] = torch.zeros, *, layers: int = 2, batch: int = 3, pos: int = 4
) -> Activations:
    return Activations(
        tuple(make(batch, pos, 2, 5) for _ in range(layers)), tuple(make(batch, pos, 6) for _ in range(layers))
    )


def parts(values: Activations) -> tuple[Tensor, ...]:
    return (*values.heads, *values.neurons)


def test_both_kinds_need_the_same_number_of_layers() -> None:
    with pytest.raises(MismatchError, match="Activations of 2 head layers and 1 neuron layers. Record both"):
        Activations((torch.zeros(1, 1, 1, 1),) * 2, (torch.zeros(1, 1, 1),))


def test_a_difference_is_taken_at_every_node() -> None:
    a, b = activations(torch.randn), activations(torch.randn)

    difference = a - b

    for left, right, found in zip(parts(a), parts(b), parts(difference), strict=True):
        assert found.any()
        assert torch.equal(found, left - right)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_difference_of_half_precision_is_exact_in_float32(dtype: torch.dtype) -> None:
    one, small = activations(lambda *shape: torch.ones(shape, dtype=dtype)), 2.0**-14
    assert torch.tensor(1, dtype=dtype) - torch.tensor(small, dtype=dtype) == 1  # what half precision would give

    difference = one - activations(lambda *shape: torch.full(shape, small, dtype=dtype))

    assert all(part.dtype == torch.float32 and (part == 1 - small).all() for part in parts(difference))


def test_a_difference_of_double_precision_stays_double() -> None:
    values = activations(lambda *shape: torch.ones(shape, dtype=torch.float64))

    assert all(part.dtype == torch.float64 for part in parts(values - values))


@pytest.mark.parametrize("other", [{"pos": 5}, {"batch": 1}])
def test_activations_of_other_shapes_have_no_difference(other: dict[str, int]) -> None:
    with pytest.raises(
        MismatchError, match="Activations of different shapes: .*Both must come from prompts of one layout"
    ):
        _ = activations() - activations(**other)


def test_other_shapes_are_named_in_the_layer_where_they_differ() -> None:
    a, wide = activations(), activations(pos=5)
    mixed = Activations((a.heads[0], wide.heads[1]), a.neurons)

    with pytest.raises(MismatchError, match=r"\[3, 4, 2, 5\] and \[3, 5, 2, 5\] in layer 1"):
        _ = a - mixed


def test_activations_of_other_numbers_of_layers_have_no_difference() -> None:
    with pytest.raises(MismatchError, match="Activations of 2 and 1 layers. Both must come from one model"):
        _ = activations() - activations(layers=1)


def test_zeros_have_the_same_shapes_and_dtype() -> None:
    values = activations(lambda *shape: torch.ones(shape, dtype=torch.bfloat16))

    for zero, one in zip(parts(values.zeros()), parts(values), strict=True):
        assert not zero.any()
        assert (zero.shape, zero.dtype) == (one.shape, one.dtype)
