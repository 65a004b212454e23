"""Streams: the residual stream where it enters a layer, read and overwritten (methods §11).

Layer l stands for what enters layer l; one more, L, for what leaves the last of L layers. Where a model adds features
of the picture between layers, they are in what enters the next one and not in what the one before returned.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from diptych.errors import InputError, UnsupportedModel
from diptych.models.hooks import hooks
from diptych.models.resume import given_state, stream, with_stream
from diptych.models.vlm import VLM, Edit

HIDDEN = "hidden_states"


@contextmanager
def edit_streams(vlm: VLM, edits: Mapping[int, Edit]) -> Iterator[None]:
    """While open, what enters each layer given ([batch, pos, d_model]) passes through its function."""
    layers = len(vlm.layers)
    unknown = [layer for layer in edits if not 0 <= layer <= layers]
    if unknown:
        raise InputError(f"No layer {unknown[0]}: {vlm.name} has layers 0 to {layers - 1}, and {layers} for their end.")

    def before(edit: Edit) -> Callable[..., Any]:
        def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if args:
                return (edit(stream(args[0])), *args[1:]), kwargs
            return args, {**kwargs, HIDDEN: edit(stream(kwargs[HIDDEN]))}

        return hook

    handles = [
        vlm.layers[layer].register_forward_pre_hook(before(edit), with_kwargs=True)
        if layer < layers
        else vlm.layers[-1].register_forward_hook(
            lambda _, args, output, e=edit: with_stream(output, e(stream(output)))
        )
        for layer, edit in edits.items()
    ]
    with hooks(*handles):
        yield


@contextmanager
def record_streams(vlm: VLM) -> Iterator[list[Tensor]]:
    """While open, what enters each layer of a run is kept, detached, and what leaves the last one called: a list over 0..L.

    A layer that the run does not call is entered by what enters the next one. Filled when the context closes.
    """
    kept: list[Tensor] = []
    seen: dict[int, Tensor] = {}

    def look(layer: int) -> Edit:
        def edit(live: Tensor) -> Tensor:
            seen[layer] = live.detach()
            return live

        return edit

    last = len(vlm.layers)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        seen[last] = stream(output).detach()

    left = hooks(*(layer.register_forward_hook(leave) for layer in vlm.layers))
    with edit_streams(vlm, {layer: look(layer) for layer in range(last)}), left:
        yield kept
    for layer in range(last, -1, -1) if seen else ():
        kept.insert(0, seen[layer] if layer in seen else kept[0])


@contextmanager
def require_all_in_stream(vlm: VLM) -> Iterator[None]:
    """While open, a run in which a layer learns of the picture beside its stream raises `UnsupportedModel`.

    So by cross attention, or by keys and values that layers share: what is written into the stream is then not all.
    """
    crossing = [mixer.layer for mixer in vlm.sites.mixers if mixer.mixing == "cross attention"]

    def refuse(layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if layer in crossing or given_state(args, kwargs):
            way = "cross attention" if layer in crossing else "what layers below hand on"
            raise UnsupportedModel(
                f"Layer {layer} of {vlm.name} may learn of the picture by {way}, beside the residual stream, so a patch of "
                f"the stream is not one of the picture. Expected a model that reads pictures from the stream alone."
            )

    def watch(layer: int) -> Callable[..., None]:
        return lambda module, args, kwargs: refuse(layer, args, kwargs)

    every = enumerate(vlm.layers)
    with hooks(*(layer.register_forward_pre_hook(watch(index), with_kwargs=True) for index, layer in every)):
        yield
