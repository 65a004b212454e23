"""Exact patching: the effect that attribution approximates, one forward per set of nodes (methods §4)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.batch import Batch
from diptych.grid import Circuit
from diptych.interventions import run_circuits
from diptych.metrics import metric as find_metric
from diptych.models.vlm import VLM


@torch.no_grad()
def exact(
    vlm: VLM, batch: Batch, nodes: Sequence[Circuit], *, metric: str = "logit_diff", batch_size: int = 64
) -> Float[Tensor, "set batch"]:
    """m(x with each set of nodes patched from x') − m(x), per prompt. Cost 2F + 1F per set."""
    clean = vlm.capture(batch.clean)
    with vlm.record() as recording:
        vlm.run(vlm.capture(batch.counterfactual))
    everything = [~some for some in nodes]
    patched = run_circuits(vlm, clean, everything, recording.activations(), batch_size=batch_size)
    measure = find_metric(metric)
    before = measure(vlm.run(clean), batch.answers, batch.counter_answers)
    return torch.stack([measure(logits, batch.answers, batch.counter_answers) for logits in patched]) - before
