"""A model of your own: an organism whose MLPs keep only the strongest neurons at each position.

    diptych check examples/my_model.py
    diptych run accuracy --model examples/my_model.py --task counting

A model is a function named after its file that returns a model of transformers and its processor. Any class will do that
diptych can read: it asks the modules for layers and output projections, not for their names, and proves what it found.
"""

from typing import Any

import torch
from torch import Tensor, nn

import diptych

KEPT = 64  # neurons


class SparseMLP(nn.Module):
    """A gated MLP of which all but the `KEPT` neurons of largest value are 0."""

    def __init__(self, dense: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = dense.gate_proj, dense.up_proj, dense.down_proj
        self.act_fn = dense.act_fn

    def forward(self, x: Tensor) -> Tensor:
        """[batch, pos, d_model] → the same."""
        neurons = self.act_fn(self.gate_proj(x)) * self.up_proj(x)
        least = neurons.abs().topk(KEPT, dim=-1).values[..., -1:]
        return self.down_proj(torch.where(neurons.abs() >= least, neurons, 0.0))


def my_model(*, dtype: str, attention: str) -> tuple[Any, Any]:
    """The organism's model and processor, with other MLPs."""
    vlm = diptych.load("organism/qwen2vl", dtype=dtype, attention=attention, verify=False)
    for layer in vlm.layers:
        layer.mlp = SparseMLP(layer.mlp)
    return vlm.model, vlm.processor
