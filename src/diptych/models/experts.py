"""Routed experts: their neurons as nodes, through the interface by which transformers runs experts (adapter, MoE)."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXPERTS = "experts"
OWN_FORWARD = "__wrapped__"  # of an experts module's forward, where the interface is around it


class ExpertNodes(nn.Module):
    """The neurons of one layer's routed experts, expert by expert: router weight × activation, 0 where not selected.

    The experts' output is linear in them. They pass through this module while it is plugged in, so a hook on its input
    sees and changes them like the input of any projection.
    """

    def __init__(self, experts: nn.Module) -> None:
        super().__init__()
        self._experts = (experts,)  # in a tuple: not a part of this module
        self.in_features = experts.down_proj.numel() // self._model_width  # type: ignore[operator]

    def forward(self, nodes: Tensor) -> Tensor:
        """[token, expert·neuron], unchanged."""
        return nodes

    @contextmanager
    def plugged(self) -> Iterator[None]:
        """While open, the experts write what they write by themselves, plus what follows from changed nodes.

        So unchanged nodes leave the output as it is to the bit. May be open more than once at a time.
        """
        from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS as FUNCTIONS

        (experts,), name = self._experts, f"diptych-{id(self)}"
        if name in FUNCTIONS:
            yield
            return
        config: Any = experts.config
        own = FUNCTIONS.get_interface(config._experts_implementation, getattr(type(experts).forward, OWN_FORWARD))
        FUNCTIONS[name] = partial(self._run, own)
        renamed = copy.copy(config)
        renamed._experts_implementation_internal = name
        experts.config = renamed
        try:
            yield
        finally:
            experts.config = config
            del FUNCTIONS[name]

    def _run(
        self, own: Callable[..., Tensor], experts: nn.Module, hidden: Tensor, chosen: Tensor, weights: Tensor
    ) -> Tensor:
        nodes = self._nodes(hidden, chosen, weights)
        changed = self(nodes.view_as(nodes))  # a tensor of its own: the gradient at it is that of the output alone
        return own(experts, hidden, chosen, weights) + self._written(changed - nodes)

    def _nodes(self, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """[token, d_model], experts chosen [token, choice] and their weights → [token, expert·neuron]."""
        experts: Any = self._experts[0]
        rows, columns, values = [], [], []
        for expert in chosen.unique().tolist():
            token, choice = torch.where(chosen == expert)
            rows.append(token)
            columns.append(torch.full_like(token, expert))
            values.append(_activation(experts, expert, hidden[token]) * weights[token, choice, None])
        empty = hidden.new_zeros(len(hidden), experts.down_proj.shape[0], self.in_features // len(experts.down_proj))
        places = (torch.cat(rows), torch.cat(columns))
        return empty.index_put(places, torch.cat(values).to(hidden.dtype)).flatten(1)

    def _written(self, nodes: Tensor) -> Tensor:
        """[token, expert·neuron] → [token, d_model]: what the experts' output projections make of the nodes."""
        experts: Any = self._experts[0]
        parts = nodes.unflatten(-1, (len(experts.down_proj), -1)).unbind(-2)
        written = nodes.new_zeros(len(nodes), self._model_width)
        for part, matrix in zip(parts, experts.down_proj, strict=True):
            written = written + _linear(experts, part, matrix)
        return written

    @property
    def _model_width(self) -> int:
        experts: Any = self._experts[0]
        width: int = experts.down_proj.shape[2 if experts.is_transposed else 1]
        return width


def find_experts(layer: nn.Module) -> list[tuple[str, nn.Module]]:
    """The routed experts of a layer, by path."""
    return [(path, module) for path, module in layer.named_modules() if path.split(".")[-1] == EXPERTS]


def has_nodes(experts: nn.Module) -> bool:
    """Whether transformers' experts interface runs these experts, and their output is linear in their neurons.

    A norm behind each expert's output projection makes it not linear.
    """
    return hasattr(type(experts).forward, OWN_FORWARD) and not getattr(experts, "has_post_expert_norm", True)


@contextmanager
def plugged(modules: Iterable[nn.Module]) -> Iterator[None]:
    """While open, the expert nodes among the modules are plugged in."""
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, ExpertNodes):
                stack.enter_context(module.plugged())
        yield


def _activation(experts: Any, expert: int, hidden: Tensor) -> Tensor:
    """[token, d_model] → [token, neuron] of one expert, before the router's weight."""
    name = "gate_up_proj" if experts.has_gate else "up_proj"
    found = _linear(experts, hidden, getattr(experts, name)[expert])
    if experts.has_bias:
        found = found + getattr(experts, f"{name}_bias")[expert]
    activation: Tensor = experts._apply_gate(found) if experts.has_gate else experts.act_fn(found)
    return activation


def _linear(experts: Any, values: Tensor, matrix: Tensor) -> Tensor:
    return values @ matrix if experts.is_transposed else F.linear(values, matrix)
