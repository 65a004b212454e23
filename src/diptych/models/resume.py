"""Resuming at a layer: the layers below are skipped, and the decoder's own loop runs on (adapter §3)."""

from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.hooks import hooks, replaced_forward

Forms = dict[int, tuple[None, ...] | None]
"""Layer → the Nones behind the residual stream in the tuple it returns, or None if it returns the stream alone.

A layer that returns other things has no form."""


def stream(output: Any) -> Tensor:
    """The residual stream in what a layer returns; raises `UnsupportedModel` if it is not one vector per position."""
    found: Tensor = output[0] if isinstance(output, tuple) else output
    if found.ndim != 3:
        raise UnsupportedModel(
            f"A layer returns a residual stream of shape {list(found.shape)}; expected [batch, pos, d_model]. "
            f"Residuals of this model can be neither recorded nor overwritten."
        )
    return found


def with_stream(output: Any, residual: Tensor) -> Any:
    """What a layer returns, with another residual stream."""
    return (residual, *output[1:]) if isinstance(output, tuple) else residual


def learn(forms: Forms, index: int, output: Any) -> None:
    """Note the form of what a layer returned."""
    rest = output[1:] if isinstance(output, tuple) else None
    if rest is None or all(other is None for other in rest):
        forms[index] = rest


@contextmanager
def recorded(layers: nn.ModuleList, forms: Forms) -> Iterator[dict[int, Any]]:
    """While open, what each layer that is called returns is kept as it is, by layer, and its form is noted."""
    kept: dict[int, Any] = {}

    def look(index: int) -> Callable[..., None]:
        def on_output(module: nn.Module, args: Any, output: Any) -> None:
            kept[index] = output
            learn(forms, index, output)

        return on_output

    with hooks(*(layer.register_forward_hook(look(index)) for index, layer in enumerate(layers))):
        yield kept


def returned(forms: Forms, index: int, residual: Tensor) -> Any:
    """What a layer of known form returns with this stream."""
    rest = forms[index]
    return residual if rest is None else (residual, *rest)


@contextmanager
def resumed(layers: nn.ModuleList, start: int, residual: Tensor, forms: Forms) -> Iterator[None]:
    """While open, a run starts at layer `start` with `residual` as the output of the layer below it.

    A layer below is run, not skipped, if it may do more than return its stream: if it is given a container that it may
    fill for layers above (shared keys and values), or a second stream that earlier layers have written; or if what it
    returns is not known yet. Its own state is then that of the run. Only the last output is replaced.
    """
    with ExitStack() as stack:
        for index, layer in enumerate(layers[:start]):
            instead = _below(layer.forward, index, index == start - 1, residual, forms)
            stack.enter_context(replaced_forward(layer, instead))
        yield


def _below(own: Callable[..., Any], index: int, is_last: bool, residual: Tensor, forms: Forms) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        if index in forms and not given_state(args, kwargs):
            return returned(forms, index, residual)
        output = own(*args, **kwargs)
        learn(forms, index, output)
        return with_stream(output, residual) if is_last else output

    return forward


def given_state(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a layer is given what layers below it did, beside its stream: a container to fill, or a second stream."""
    own = args[0] if args else kwargs["hidden_states"]
    return any(_holds_state(argument, own) for argument in (*args, *kwargs.values()) if argument is not own)


def _holds_state(argument: Any, own: Tensor) -> bool:
    """Whether an argument is a container that may be filled, or another stream [batch, pos, ..., d_model]."""
    if isinstance(argument, Tensor):
        sides = (*argument.shape[:2], argument.shape[-1]) if argument.ndim > 2 else ()
        return sides == (*own.shape[:2], own.shape[-1])
    return isinstance(argument, MutableMapping | MutableSequence)
