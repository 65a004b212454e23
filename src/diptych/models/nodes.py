"""Nodes: their values, edited where they enter an output projection, and their gradients, part of a site by part."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from diptych.models.experts import plugged
from diptych.models.hooks import hooks
from diptych.models.knockout import Edit
from diptych.models.sites import Site

Arguments = tuple[Tensor, ...]
Hook = Callable[[nn.Module, Arguments], Arguments | None]


@contextmanager
def edit_parts(edits: Mapping[Site, Edit], prompts: Callable[[], int]) -> Iterator[None]:
    """While open, node values of each part ([batch, pos, head, d_head] or [batch, pos, neuron]) pass through its function.

    `prompts`: how many are in the run that goes on, for models that join prompts and positions. A part without a module
    is left alone.
    """

    def hook(part: Site, edit: Edit) -> Hook:
        def on_input(module: nn.Module, args: Arguments) -> Arguments:
            return (part.flat(edit(part.nodes(_apart(args[0], prompts)))).reshape(args[0].shape), *args[1:])

        return on_input

    with _entering({part: hook(part, edit) for part, edit in edits.items()}):
        yield


@contextmanager
def gradients_of_parts(looks: Mapping[Site, Callable[[Tensor], None]], prompts: Callable[[], int]) -> Iterator[None]:
    """While open, a backward pass that reaches a part gives its function the gradient of the part's node values."""

    def hook(part: Site, look: Callable[[Tensor], None]) -> Hook:
        def on_input(module: nn.Module, args: Arguments) -> Arguments | None:
            if not args[0].requires_grad:
                return None
            live = args[0].view_as(args[0])  # whoever else takes these values has no part in its gradient
            live.register_hook(lambda gradient: look(part.nodes(_apart(gradient, prompts))))
            return live, *args[1:]

        return on_input

    with _entering({part: hook(part, look) for part, look in looks.items()}):
        yield


@contextmanager
def _entering(functions: Mapping[Site, Hook]) -> Iterator[None]:
    """While open, what enters the module of each part passes through its hook."""
    there = [(part.module, function) for part, function in functions.items() if part.module is not None]
    with (
        plugged(module for module, _ in there),
        hooks(*(module.register_forward_pre_hook(function) for module, function in there)),
    ):
        yield


def _apart(flat: Tensor, prompts: Callable[[], int]) -> Tensor:
    """[batch, pos, own·width]; OPT joins prompts and positions."""
    return flat if flat.ndim > 2 else flat.unflatten(0, (prompts(), -1))
