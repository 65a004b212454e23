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


def untouched(model: nn.Module) -> bool:
    """Whether nothing but the model itself runs when it is called: nobody hooked a module or replaced its forward.

    What transformers puts there to collect outputs, and accelerate to move tensors, counts as the model's.
    """
    return all(
        all(_of_transformers(hook) for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()))
        and ("forward" not in module.__dict__ or hasattr(module, "_hf_hook"))
        for module in model.modules()
    )


def _of_transformers(hook: Callable[..., Any]) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("transformers.")


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
