"""Hooks that always undo themselves, also on error."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def hooks(*handles: Any) -> Iterator[None]:
    """While open, the registered hooks are there."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced_forward(layer: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """While open, the layer computes `forward` instead."""
    own = layer.__dict__.get("forward")  # accelerate sets one on the instance
    layer.forward = forward
    try:
        yield
    finally:
        if own is None:
            del layer.forward
        else:
            layer.forward = own


@contextmanager
def recomputed(layers: Iterable[nn.Module]) -> Iterator[None]:
    """While open, a backward pass computes each layer again instead of keeping what it computed: equal gradients.

    Keep it, and all other hooks, open until the backward pass is done.
    """
    with ExitStack() as stack:
        for layer in layers:
            again = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
            stack.enter_context(replaced_forward(layer, again))
        yield
