"""Handed on: `resid_post` as the model hands it to the next layer, read and overwritten (methods §10).

Where a model adds features of the picture between layers, they are in it. It is seen before any hook of the next layer,
whose own doing those are; of hooks from here, what is opened last comes first, so open a recording before an edit.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from diptych.models.hooks import hooks
from diptych.models.resume import learn, stream, with_stream
from diptych.models.streams import HIDDEN
from diptych.models.vlm import VLM, Edit


@contextmanager
def edit_handed(layers: nn.ModuleList, edits: Mapping[int, Edit]) -> Iterator[None]:
    """While open, what each layer given hands on ([batch, pos, d_model]) passes through its function.

    A layer that a run does not call hands on what it would have been given.
    """
    reached = -1

    def edited(layer: int, live: Tensor) -> Tensor:
        nonlocal reached
        passed = range(reached if reached < layer else 0, layer)  # a layer that is called again: another run
        reached = layer
        for edit in (edits[index] for index in passed if index in edits):
            live = edit(live)
        return live

    def before(index: int) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if args:
                return (edited(index, stream(args[0])), *args[1:]), kwargs
            return args, {**kwargs, HIDDEN: edited(index, stream(kwargs[HIDDEN]))}

        return hook

    def behind(module: nn.Module, args: Any, output: Any) -> Any:
        return with_stream(output, edited(len(layers), stream(output)))

    handles = [
        layer.register_forward_pre_hook(before(index), with_kwargs=True, prepend=True)
        for index, layer in enumerate(layers)
    ]
    if len(layers) - 1 in edits:
        handles.append(layers[-1].register_forward_hook(behind, prepend=True))
    with hooks(*handles):
        yield


@contextmanager
def record_handed(vlm: VLM) -> Iterator[list[Tensor]]:
    """While open, what each layer of a run hands on is kept, detached: a list over layers of [batch, pos, d_model].

    Filled when the context closes. A layer that the run does not call hands on what it would have been given. The handle
    learns what layers return, so that runs that start above them can skip them.
    """
    kept: list[Tensor] = []
    seen: dict[int, Tensor] = {}

    def look(layer: int) -> Edit:
        def edit(live: Tensor) -> Tensor:
            seen[layer] = live.detach()
            return live

        return edit

    def left(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            learn(vlm.forms, layer, output)
            seen[len(vlm.layers) - 1] = stream(output).detach()

        return hook

    every = hooks(*(layer.register_forward_hook(left(index), prepend=True) for index, layer in enumerate(vlm.layers)))
    with edit_handed(vlm.layers, {layer: look(layer) for layer in range(len(vlm.layers) - 1)}), every:
        yield kept
    for layer in reversed(range(len(vlm.layers))) if seen else ():
        kept.insert(0, seen[layer] if layer in seen else kept[0])


@contextmanager
def started(vlm: VLM, below: int, residual: Float[Tensor, "batch pos d_model"]) -> Iterator[None]:
    """While open, a run starts above the layer `below`, which hands on `residual`; nothing is added to it."""
    with vlm.resume(below + 1, residual), edit_handed(vlm.layers, {below: lambda live: residual.to(live.device)}):
        yield
