"""Planted circuits: models in which only known nodes can matter, to test whether a method finds them."""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from diptych.errors import MismatchError, UnsupportedModel
from diptych.grid import Circuit
from diptych.models.sites import Site
from diptych.models.vlm import VLM

WRITES: dict[type[nn.Module], int] = {nn.Linear: 1, Conv1D: 0}
"""Output projection → the dimension of its weight that runs over its inputs."""


def plant(vlm: VLM, circuit: Circuit) -> VLM:
    """A copy of the model whose heads and neurons outside the circuit write nothing to the stream, at any position.

    Their columns of the output weights are zero, so their effect and their gradient are exactly 0. Heads and neurons that
    are in the circuit at one position are in at all: to plant at positions, hold the rest with `ablate_outside` instead.
    The copy has a digest of its own. Raises `UnsupportedModel` where nodes are not the inputs of plain output weights.
    Raises `MismatchError` for the circuit of another model.
    """
    if circuit.model != vlm.digest:
        raise MismatchError(
            f"The circuit belongs to model {circuit.model}, not to {vlm.name} ({vlm.digest}). Make it for this model."
        )
    kept = circuit.collapse()
    copy = replace(vlm, model=deepcopy(vlm.model), name=f"{vlm.name} (planted)", digest=_digest(vlm, kept))
    for sites, nodes in zip((copy.sites.heads, copy.sites.neurons), kept, strict=True):
        for site in sites:
            _silence(site, nodes[site.layer], copy.name)
    return copy


@torch.no_grad()
def _silence(site: Site, kept: Bool[Tensor, " node"], name: str) -> None:
    """Zero the output weights of the nodes that are not kept."""
    nodes = kept[:, None].expand(-1, site.width) if site.kind == "heads" else kept
    for part in site.parts:
        if part.module is None:
            continue
        inputs = next((dim for kind, dim in WRITES.items() if isinstance(part.module, kind)), None)
        weight = getattr(part.module, "weight", None)
        if inputs is None or not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise UnsupportedModel(
                f"The {site.kind} of layer {site.layer} of {name} are the input of a {type(part.module).__name__}; expected "
                f"one of {', '.join(kind.__name__ for kind in WRITES)} with weights of floats. Hold them with "
                f"`ablate_outside`."
            )
        keep = part.flat(nodes[None, None])[0, 0].to(weight.device)  # [input]
        weight.mul_(keep if inputs == 1 else keep[:, None])


def _digest(vlm: VLM, kept: Sequence[Tensor]) -> str:
    masks = b"".join(nodes.cpu().numpy().tobytes() for nodes in kept)
    return hashlib.sha256(f"{vlm.digest} planted ".encode() + masks).hexdigest()[:12]
