"""Similarity of what a model holds in two panels: cosines of single tokens, and CKA of whole items (methods §9)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diptych.errors import InputError


def closest(
    text: Float[Tensor, "*layer text_pos d_model"], image: Float[Tensor, "*layer image_pos d_model"]
) -> Float[Tensor, " *layer"]:
    """Mean over image positions of the highest cosine to any text position; leading dimensions are broadcast.

    Between −1 and 1; not symmetric. A state that is zero has cosine 0 to all others.
    """
    return (_unit(image) @ _unit(text).mT).amax(-1).mean(-1)


def closest_across(
    text: Float[Tensor, "text_layer text_pos d_model"], image: Float[Tensor, "image_layer image_pos d_model"]
) -> Float[Tensor, "text_layer image_layer"]:
    """`closest` of every layer's text states and every layer's image states."""
    return torch.stack([closest(states, image) for states in text])


def cka(a: Float[Tensor, "*layer item d"], b: Float[Tensor, "*layer item e"]) -> Float[Tensor, " *layer"]:
    """Linear centred kernel alignment of two descriptions of the same items, from unbiased estimates (float64).

    1 if they agree up to rotation, scale and shift; 0 in expectation if they are independent, however many dimensions
    they have. nan where one does not vary. (Kornblith et al. 2019; Song et al. 2012, eq. 5; Nguyen et al. 2021.)
    Raises `InputError` for fewer than 4 items, or different numbers of them.
    """
    items = a.shape[-2]
    if items < 4 or b.shape[-2] != items:
        raise InputError(
            f"CKA compares the same items twice: got {items} and {b.shape[-2]}. Expected equal numbers, of at least 4."
        )
    return cka_reordered(a, b, [torch.arange(items)])[0]


def cka_reordered(
    a: Float[Tensor, "*layer item d"], b: Float[Tensor, "*layer item e"], orders: Sequence[Int[Tensor, " item"]]
) -> Float[Tensor, "order *layer"]:
    """CKA with the items of `b` in each of the given orders: what it is for items that do not belong together."""
    first, second = _products(a), _products(b)
    own = hsic(first, first) * hsic(second, second)
    found = torch.stack([hsic(first, second[..., order, :][..., order]) for order in orders])
    return torch.where(own > 0, found / own.clamp_min(0).sqrt(), math.nan)


def hsic(
    first: Float[Tensor, "*layer item item"], second: Float[Tensor, "*layer item item"]
) -> Float[Tensor, " *layer"]:
    """Unbiased estimate of the Hilbert–Schmidt independence criterion, of inner products K and L whose diagonals are 0.

    [Σ K∘L + ΣK ΣL/((n−1)(n−2)) − 2/(n−2) Σ KL] / (n(n−3)).
    """
    n = first.shape[-1]
    both, sums = (first * second).sum((-2, -1)), first.sum((-2, -1)) * second.sum((-2, -1))
    rows = (first.sum(-1) * second.sum(-1)).sum(-1)  # 1ᵀKL1, as both are symmetric
    return (both + sums / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)) / (n * (n - 3))


def _products(values: Tensor) -> Tensor:
    """Inner products of items around their mean, of unit mean square; the diagonal is 0."""
    wide = values.double()
    centred = wide - wide.mean(-2, keepdim=True)
    size = centred.pow(2).mean((-2, -1), keepdim=True).sqrt()
    # what is left of a constant after rounding is no variation
    centred = torch.where(size > 1e-12 * wide.abs().amax((-2, -1), keepdim=True), centred / size, 0.0)
    found = centred @ centred.mT
    return found - torch.diag_embed(found.diagonal(dim1=-2, dim2=-1))


def _unit(states: Tensor) -> Tensor:
    wide = states if states.dtype == torch.float64 else states.float()
    return wide / wide.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(wide.dtype).tiny)
