"""The way into the decoder: what to call, and where to stop."""

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diptych.errors import ModelCheckFailed, UnsupportedModel
from diptych.models.calls import DecoderCall
from diptych.models.hooks import hooks
from diptych.models.sites import Sites


class _Reached(Exception):
    """Ends a forward that has shown what it was started for."""


def find_host(model: nn.Module, sites: Sites) -> nn.Module:
    """The outermost module that calls the decoder and the unembedding, given token ids alone: mostly the model itself.

    Some models want their pictures in every call; the language model inside them does not.
    Raises `UnsupportedModel` if there is none.
    """
    for module in model.modules():
        inside = set(module.modules()) - {module}
        if {sites.decoder, sites.unembedding} <= inside and _reaches(module, sites.decoder):
            return module
    raise UnsupportedModel(
        f"{type(model).__name__} cannot be called without its pictures, nor can a part of it that predicts tokens. "
        f"diptych runs the decoder alone, on embeddings with the pictures merged in."
    )


def device_of(module: nn.Module) -> torch.device:
    """Where a module wants its inputs: where its weights lie or, if they are offloaded, where accelerate runs it."""
    stored = next(module.parameters()).device
    if stored.type != "meta":
        return stored
    hook = next(hook for part in module.modules() if (hook := getattr(part, "_hf_hook", None)) is not None)
    return torch.device(hook.execution_device)


def reach_decoder(host: nn.Module, sites: Sites, inputs: Mapping[str, Tensor]) -> DecoderCall:
    """Start the host on the inputs and stop where the decoder starts; raises `ModelCheckFailed` if it never does.

    A decoder that merges the pictures itself is stopped at its first layer: what that receives is what it makes of them.
    """
    caught: list[DecoderCall] = []

    def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = DecoderCall(inputs["input_ids"], args, {**kwargs, "past_key_values": None, "use_cache": False})
        caught.append(call.embedded(module))
        if not caught[0].pictures(inputs):
            raise _Reached

    def merged(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught[0] = caught[0].merged(args[0] if args else kwargs["hidden_states"], inputs)
        raise _Reached

    with (
        hooks(
            sites.decoder.register_forward_pre_hook(stop, with_kwargs=True),
            sites.layers[0].register_forward_pre_hook(merged, with_kwargs=True),
        ),
        contextlib.suppress(_Reached),
    ):
        host(**inputs, use_cache=False)
    if not caught:
        raise ModelCheckFailed(
            f"{type(host).__name__} never called its decoder ({type(sites.decoder).__name__}). It cannot be read."
        )
    return caught[0].with_leaves(lambda name, leaf: leaf)  # containers of our own: nothing is shared


@contextlib.contextmanager
def stopped_at(layer: nn.Module):  # type: ignore[no-untyped-def]
    """While open, a run ends where it calls the layer; what the layer receives is in the list given."""
    received: list[Tensor] = []

    def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        received.append(args[0] if args else kwargs["hidden_states"])
        raise _Reached

    with hooks(layer.register_forward_pre_hook(stop, with_kwargs=True)), contextlib.suppress(_Reached):
        yield received


def replay(call: DecoderCall) -> Callable[..., Any]:
    """A pre-hook of the decoder: it is called with the arguments of the call, whatever it was given."""
    # of our own: a model may fill a container it is given, and write pictures into its embeddings
    fresh = call.with_leaves(lambda name, leaf: leaf.clone() if _is_float(leaf) else leaf)
    return lambda module, args, kwargs: (fresh.args, fresh.kwargs)


def last_position(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A pre-hook of the unembedding: it receives the last position alone, as no model has to know."""
    return (args[0][:, -1:], *args[1:])


def at_positions(positions: Sequence[int]) -> Callable[..., Any]:
    """A pre-hook of the unembedding: it receives these positions alone."""
    return lambda module, args: (args[0][:, list(positions)], *args[1:])


def wanted(host: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs that the host names among its parameters."""
    takes = inspect.signature(host.forward).parameters
    return {name: value for name, value in inputs.items() if name in takes}


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _reaches(module: nn.Module, decoder: nn.Module) -> bool:
    """Whether the module, called on two tokens alone, calls the decoder."""
    reached: list[bool] = []

    def stop(module: nn.Module, args: Any) -> None:
        reached.append(True)
        raise _Reached

    ids = torch.zeros(1, 2, dtype=torch.long, device=device_of(module))
    # whatever a model raises that wants its pictures
    with hooks(decoder.register_forward_pre_hook(stop)), contextlib.suppress(Exception):
        module(input_ids=ids, use_cache=False)
    return bool(reached)
