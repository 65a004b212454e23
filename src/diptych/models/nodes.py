"""Nodes: their values, edited where they enter an output projection, part of a site by part."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from diptych.models.experts import plugged
from diptych.models.hooks import hooks
from diptych.models.knockout import Edit
from diptych.models.sites import Site


@contextmanager
def edit_parts(edits: Mapping[Site, Edit], prompts: Callable[[], int]) -> Iterator[None]:
    """While open, node values of each part ([batch, pos, head, d_head] or [batch, pos, neuron]) pass through its function.

    `prompts`: how many are in the run that goes on, for models that join prompts and positions. A part without a module
    is left alone.
    """

    def hook(part: Site, edit: Edit) -> Callable[..., Any]:
        def on_input(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            flat = args[0] if args[0].ndim > 2 else args[0].unflatten(0, (prompts(), -1))  # OPT joins
            return (part.flat(edit(part.nodes(flat))).reshape(args[0].shape), *args[1:])

        return on_input

    there = [(part.module, hook(part, edit)) for part, edit in edits.items() if part.module is not None]
    with (
        plugged(module for module, _ in there),
        hooks(*(module.register_forward_pre_hook(function) for module, function in there)),
    ):
        yield
