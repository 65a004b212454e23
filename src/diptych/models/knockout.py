"""Attention knockout: layers without some edges between positions (adapter §6)."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.sites import Mixer

MASK = "attention_mask"
Edit = Callable[[Tensor], Tensor]


def require_edges(mixer: Mixer) -> None:
    """Raise `UnsupportedModel` for a layer that moves information by other ways than attention between positions."""
    if mixer.mixing not in ("attention", "cross attention", "none"):
        raise UnsupportedModel(
            f"Layer {mixer.layer} moves information by {mixer.mixing} ({type(mixer.module).__name__}), which has no "
            f"edges between positions to cut. Expected layers of attention only: leave this one out of the knockout."
        )
    chooser = getattr(mixer.module, "indexer", None)
    if chooser is not None and MASK not in inspect.signature(chooser.forward).parameters:
        raise UnsupportedModel(
            f"Layer {mixer.layer} attends to keys that its {type(chooser).__name__} chooses without looking at the mask, "
            f"so a position that is cut off still decides what others see. Leave this layer out of the knockout."
        )


def block(mixer: Mixer, rows: slice, columns: slice, heads: Sequence[bool] = (True,)) -> Callable[..., Any]:
    """A pre-hook: the layer is called with a mask in which `rows` cannot attend to `columns`.

    `heads` says in which heads, all of them at once or one by one.
    """

    def cut(mask: Tensor | None, hidden: Tensor) -> Tensor:
        length = hidden.shape[-2]
        edges = torch.zeros(len(heads), length, length, dtype=torch.bool, device=hidden.device)
        edges[list(heads), rows, columns] = True
        whole = whole_mask(mask, hidden, mixer)
        edges = edges.to(whole.device)
        return whole & ~edges if whole.dtype == torch.bool else whole.masked_fill(edges, torch.finfo(whole.dtype).min)

    return with_mask(cut)


def with_mask(change: Callable[[Tensor | None, Tensor], Tensor]) -> Callable[..., Any]:
    """A pre-hook: the layer or attention module is called with `change(its mask, its hidden states)` as its mask."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        hidden = args[0] if args else kwargs["hidden_states"]
        names = list(inspect.signature(module.forward).parameters)
        place = names.index(MASK) if MASK in names else len(args)
        if place < len(args):
            return (*args[:place], change(args[place], hidden), *args[place + 1 :]), kwargs
        return args, {**kwargs, MASK: change(kwargs.get(MASK), hidden)}

    return hook


def blind(rows: slice, columns: slice, pictures: Callable[[], Tensor]) -> Edit:
    """An edit of a cross-attention layer's heads: `rows` read nothing of a picture whose positions are in `columns`.

    Such a layer reads the picture beside the prompt; it stands for the edges to the positions of the image token, which
    `pictures` gives for the run that goes on [batch, pos]. Those rows' heads are zero, as where there is nothing to read.
    """

    def edit(live: Tensor) -> Tensor:
        places = pictures()
        inside = int(places[:, columns].sum())
        if inside == 0:
            return live
        if inside < int(places.sum()):
            raise UnsupportedModel(
                f"A knockout cuts off {inside} of {int(places.sum())} positions of pictures that are read by cross "
                f"attention, which reads all of them at once. Cut off all image positions, or none."
            )
        cut = live.clone()
        cut[:, rows] = 0
        return cut

    return edit


def whole_mask(mask: Tensor | None, hidden: Tensor, mixer: Mixer) -> Tensor:
    """The mask [batch, head, pos, pos] of a layer, written out where sdpa has a shorthand.

    Raises `UnsupportedModel` for a mask of another form.
    """
    if mask is None:  # sdpa's shorthand for causal, or for everything where the attention is not causal
        causal = getattr(mixer.module, "is_causal", True) is not False
        mask = torch.ones(hidden.shape[-2], hidden.shape[-2], dtype=torch.bool, device=hidden.device)[None, None]
        mask = mask.tril() if causal else mask
    if mask.ndim != 4:
        raise UnsupportedModel(
            f"A layer receives an attention mask of shape {list(mask.shape)}; expected [batch, head, pos, pos]. "
            f"Load the model with attention sdpa or eager."
        )
    return mask
