"""Written: what sets of nodes write into the residual stream at their positions (methods §10, circuit-guided)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.activations import Activations
from diptych.grid import Circuit
from diptych.interventions import require_own
from diptych.models.calls import DecoderCall
from diptych.models.handed import edit_handed, record_handed, started
from diptych.models.site import Site
from diptych.models.vlm import VLM, Edit


@dataclass(frozen=True, eq=False)
class Plain:
    """A plain run of a call: its nodes, and the `resid_post` that every layer hands on."""

    call: DecoderCall
    nodes: Activations
    residuals: Sequence[Float[Tensor, "batch pos d_model"]]

    @classmethod
    @torch.no_grad()
    def of(cls, vlm: VLM, call: DecoderCall) -> "Plain":
        with vlm.record() as recording, record_handed(vlm) as residuals:
            vlm.run(call)
        return cls(call, recording.activations(), residuals)


@torch.no_grad()
def written(
    vlm: VLM, plain: Plain, sets: Sequence[Circuit], above: int, upto: int
) -> Float[Tensor, "set batch pos d_model"]:
    """What the nodes of each set write in layers `above` + 1 to `upto` of a plain run, summed over the layers.

    In a layer: `resid_post` minus what it is with the set's nodes at zero and every other node as it is. So scalings behind
    the output projections are the run's own; nothing that later layers make of it is in. One run, resumed above `above`.
    """
    for circuit in sets:
        require_own(vlm, circuit)
    layers = range(above + 1, upto + 1)
    start = plain.residuals[above].repeat(len(sets), 1, 1)
    with (
        vlm.edit_inputs(dict(_without(vlm, plain, sets, layers))),
        _differences(vlm, plain, len(sets), layers) as found,
        started(vlm, above, start),
    ):
        vlm.run(plain.call.repeat(len(sets)))
    return torch.stack(found).sum(0).unflatten(0, (len(sets), plain.call.batch))


@contextmanager
def _differences(vlm: VLM, plain: Plain, times: int, layers: range) -> Iterator[list[Tensor]]:
    """While open, what each layer lacks of the plain run is kept, and put back before the next layer."""
    found: list[Tensor] = []

    def put_back(layer: int) -> Edit:
        def edit(live: Tensor) -> Tensor:
            whole = plain.residuals[layer].repeat(times, 1, 1)
            found.append((whole - live).to(plain.residuals[0].device))
            return whole

        return edit

    with edit_handed(vlm.layers, {layer: put_back(layer) for layer in layers}):
        yield found


def _without(vlm: VLM, plain: Plain, sets: Sequence[Circuit], layers: range) -> Iterator[tuple[Site, Edit]]:
    """Per site: the nodes of each set at zero, all others as in the plain run."""
    for sites, kind, nodes in (
        (vlm.sites.heads, "heads", plain.nodes.heads),
        (vlm.sites.neurons, "neurons", plain.nodes.neurons),
    ):
        for layer in layers:
            yield sites[layer], _zero([getattr(circuit, kind)[layer] for circuit in sets], nodes[layer])


def _zero(chosen: Sequence[Tensor], values: Tensor) -> Edit:
    gone = torch.stack(list(chosen)).repeat_interleave(values.shape[0], 0)  # [set·batch, pos, node]
    whole = values.repeat(len(chosen), *[1] * (values.ndim - 1))

    def edit(live: Tensor) -> Tensor:
        inside = gone[..., None] if live.ndim == 4 else gone
        return whole.to(live).masked_fill(inside.to(live.device), 0)

    return edit
