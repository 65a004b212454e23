"""Attention knockout: layers without some edges between positions (adapter §6)."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diptych.errors import InputError, UnsupportedModel
from diptych.models.sites import Mixer, Site, Sites

MASK = "attention_mask"
CACHE = "past_key_values"
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


def cut(
    sites: Sites,
    rows: slice,
    columns: slice,
    layers: Sequence[int],
    heads: Mapping[int, Sequence[int]] | None,
    pictures: Callable[[], Tensor],
) -> tuple[dict[int, Callable[..., Any]], dict[Site, Edit]]:
    """What cuts edges in layers: pre-hooks of layers that attend to positions, edits of heads that read pictures beside.

    `heads`: layer → the heads that are cut there, all by default. `pictures`: the picture's positions in the run that
    goes on [batch, pos]. Raises `UnsupportedModel` for a layer that `require_edges` refuses.
    """
    mixers = [sites.mixers[index] for index in layers]
    for mixer in (*mixers, *(other for other in sites.unread if other.layer in layers)):
        require_edges(mixer)
    chosen = {mixer: _chosen(sites.heads[mixer.layer], heads) for mixer in mixers}
    some = {mixer: which for mixer, which in chosen.items() if any(which)}
    return (
        {m.layer: block(m, rows, columns, which) for m, which in some.items() if m.mixing == "attention"},
        {
            sites.heads[m.layer]: blind(rows, columns, pictures, which)
            for m, which in some.items()
            if m.mixing == "cross attention"
        },
    )


def _chosen(site: Site, heads: Mapping[int, Sequence[int]] | None) -> Sequence[bool]:
    """Which heads of a layer are cut; raises `InputError` for one that the layer lacks."""
    if heads is None:
        return (True,)
    listed = heads.get(site.layer, ())
    lacking = [head for head in listed if not 0 <= head < site.there]
    if lacking:
        raise InputError(f"Layer {site.layer} has no head {lacking[0]}; it has {site.there}, counted from 0.")
    return [head in listed for head in range(site.there)]


def block(mixer: Mixer, rows: slice, columns: slice, heads: Sequence[bool] = (True,)) -> Callable[..., Any]:
    """A pre-hook: the layer is called with a mask in which `rows` cannot attend to `columns`.

    `heads` says in which heads, all of them at once or one by one. Positions count from the start of the prompt, also
    while the model generates: new tokens are behind its last position, and a slice without an end holds them.
    """

    def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return with_mask(lambda mask, hidden: without(mask, hidden, kwargs.get(CACHE)))(layer, args, kwargs)

    def without(mask: Tensor | None, hidden: Tensor, cache: Any) -> Tensor:
        asking, asked = places(mixer, mask, hidden, cache)
        whole = whole_mask(mask, hidden, mixer, cache)
        edges = torch.zeros(len(heads), len(asking), len(asked), dtype=torch.bool, device=whole.device)
        edges[list(heads)] = (_inside(asking, rows)[:, None] & _inside(asked, columns)).to(whole.device)
        left = whole & ~edges if whole.dtype == torch.bool else whole.masked_fill(edges, torch.finfo(whole.dtype).min)
        if _meet(rows, columns):  # elsewhere each position is left with itself
            _require_some_left(mixer, whole, left)
        return left

    return hook


def _require_some_left(mixer: Mixer, whole: Tensor, left: Tensor) -> None:
    """Raise `InputError` for a position that would attend to nothing: a kernel then makes up weights, or zeros."""
    empty = (edges_of(whole).any(-1) & ~edges_of(left).any(-1)).any(0).any(0).nonzero()
    if len(empty):
        raise InputError(
            f"Without the edges cut, position {int(empty[0])} of this call of layer {mixer.layer} attends to nothing. "
            f"Expected positions that are left with one to attend to, such as their own: choose other rows, or columns."
        )


def edges_of(mask: Tensor) -> Tensor:
    """Which edges a mask leaves, if it is not one of them already: the lowest number, or −∞, stands for none."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def _meet(some: slice, others: slice) -> bool:
    """Whether two parts of a prompt may have a position in common; without a stop, a part has no end."""
    (start, stop), (first, last) = ((part.start or 0, part.stop) for part in (some, others))
    return (stop is None or first < stop) and (last is None or start < last)


def with_mask(change: Callable[[Tensor | None, Tensor], Tensor]) -> Callable[..., Any]:
    """A pre-hook: the layer or attention module is called with `change(its mask, its hidden states)` as its mask."""

    def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        hidden = args[0] if args else kwargs["hidden_states"]
        names = list(inspect.signature(layer.forward).parameters)
        place = names.index(MASK) if MASK in names else len(args)
        if place < len(args):
            return (*args[:place], change(args[place], hidden), *args[place + 1 :]), kwargs
        return args, {**kwargs, MASK: change(kwargs.get(MASK), hidden)}

    return hook


def blind(rows: slice, columns: slice, pictures: Callable[[], Tensor], heads: Sequence[bool] = (True,)) -> Edit:
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
        if live.shape[1] != places.shape[1]:
            raise UnsupportedModel(
                f"A knockout of cross attention meets {live.shape[1]} new positions of a prompt of {places.shape[1]}. "
                f"Such layers are cut while the prompt is read, not while the model generates."
            )
        unread, chosen = live.clone(), torch.tensor(heads, device=live.device).expand(live.shape[2])
        unread[:, rows] = unread[:, rows].masked_fill(chosen[:, None], 0)
        return unread

    return edit


def places(mixer: Mixer, mask: Tensor | None, hidden: Tensor, cache: Any) -> tuple[Tensor, Tensor]:
    """The positions that ask in this call of a layer, and those whose keys they meet: kept ones, then their own."""
    asking = hidden.shape[-2]
    index = getattr(mixer.module, "layer_idx", mixer.layer)
    done = cache.get_seq_length(index) if cache is not None else 0
    met, first = cache.get_mask_sizes(asking, index) if cache is not None else (asking, 0)
    met = met if mask is None else mask.shape[-1]
    own, others = (torch.arange(count, device=hidden.device) + start for count, start in ((asking, done), (met, first)))
    return own, others


def whole_mask(mask: Tensor | None, hidden: Tensor, mixer: Mixer, cache: Any = None) -> Tensor:
    """The mask [batch, head, pos, pos] of a layer, written out where sdpa has a shorthand.

    Raises `UnsupportedModel` for a mask of another form.
    """
    if mask is None:  # sdpa's shorthand for causal, or for everything where the attention is not causal
        asking, asked = places(mixer, mask, hidden, cache)
        causal = getattr(mixer.module, "is_causal", True) is not False
        ahead = asked > asking[:, None]
        mask = ~ahead if causal else torch.ones_like(ahead)
        mask = mask[None, None]
    if mask.ndim != 4:
        raise UnsupportedModel(
            f"A layer receives an attention mask of shape {list(mask.shape)}; expected [batch, head, pos, pos]. "
            f"Load the model with attention sdpa or eager."
        )
    return mask


def _inside(some: Tensor, part: slice) -> Tensor:
    """Which of the positions are in the slice."""
    start, stop, _ = part.indices(int(some[-1]) + 1)
    return (some >= start) & (some < stop)
