"""An attribution method of your own: how far each node moves, whatever that does to the answer; a baseline for the rest.

    diptych run discover --model organism/qwen2vl --task counting -p modality=text -p method=examples/my_method.py

A method is a function named after its file: a model and a batch of contrasts in, one score per node out. Keyword arguments
beyond `metric` and `reduction` are its `options`.
"""

import torch

from diptych import VLM, Activations, Attribution, Batch, Grid


def my_method(vlm: VLM, batch: Batch, *, metric: str = "logit_diff", reduction: str = "l1") -> Attribution:
    """|a(x') − a(x)| per node, summed over a head's coordinates, mean over the batch; a baseline uses no metric."""
    clean, counterfactual = (_recorded(vlm, inputs) for inputs in (batch.clean, batch.counterfactual))
    moved = counterfactual - clean
    heads = torch.stack([layer.abs().sum(-1).mean(0) for layer in moved.heads])  # [layer, pos, head]
    neurons = torch.stack([layer.abs().mean(0) for layer in moved.neurons])  # [layer, pos, neuron]
    unknown = torch.full((len(batch),), torch.nan)  # nothing is integrated, so nothing can be complete
    steps = torch.zeros(len(batch), dtype=torch.int64)
    return Attribution(Grid(heads, neurons, batch.layout, vlm.digest, vlm.sites.there), unknown, unknown, steps)


def _recorded(vlm: VLM, inputs: dict) -> Activations:
    with torch.no_grad(), vlm.record() as recording:
        vlm.run(vlm.capture(inputs))
    return recording.activations()
