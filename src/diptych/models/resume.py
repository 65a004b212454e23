"""Resuming at a layer: the layers below are skipped, and the decoder's own loop runs on (adapter §3)."""

from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.hooks import replaced_forward

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
def resumed(layers: nn.ModuleList, start: int, residual: Tensor, forms: Forms) -> Iterator[None]:
    """While open, a run starts at layer `start` with `residual` as the output of the layer below it.

    A layer below is run, not skipped, if it is given a container that it may fill for layers above (shared keys and
    values), or if what it returns is not known yet: its own state is then that of the run. Only its output is replaced.
    """
    with ExitStack() as stack:
        for index, layer in enumerate(layers[:start]):
            instead = _below(layer.forward, index, index == start - 1, residual, forms)
            stack.enter_context(replaced_forward(layer, instead))
        yield


def _below(own: Callable[..., Any], index: int, is_last: bool, residual: Tensor, forms: Forms) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        if index in forms and not any(map(_may_be_filled, (*args, *kwargs.values()))):
            rest = forms[index]
            return residual if rest is None else (residual, *rest)
        output = own(*args, **kwargs)
        learn(forms, index, output)
        return with_stream(output, residual) if is_last else output

    return forward


def _may_be_filled(argument: Any) -> bool:
    return isinstance(argument, MutableMapping | MutableSequence)
