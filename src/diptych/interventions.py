"""Interventions on a running model: ablate outside a circuit, patch nodes, patch residuals."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.activations import Activations
from diptych.errors import MismatchError, UnsupportedModel
from diptych.grid import Circuit
from diptych.models.beginning import Beginning
from diptych.models.calls import DecoderCall
from diptych.models.handed import edit_handed
from diptych.models.vlm import VLM, Edit


@contextmanager
def ablate_outside(
    vlm: VLM, circuits: Sequence[Circuit], replacement: Activations, *, start: int = 0
) -> Iterator[None]:
    """While open, every node outside a circuit has its value in `replacement`; circuit nodes are computed live.

    A run's batch is `len(circuits)` times that of `replacement`: [circuit 0's prompts, circuit 1's, ...]. Runs and
    `replacement` are of the positions from `start` on.
    """
    _require_all_fit(vlm, circuits, replacement, start)

    def keep(kept: list[Tensor], values: Tensor) -> Edit:
        masks = torch.stack(kept)[:, None, start:].view(torch.uint8)  # [circuit, 1, pos, node]; faster than bools

        def edit(live: Tensor) -> Tensor:
            inside = masks.to(live.device).to(live.dtype)
            inside = inside[..., None] if live.ndim == 4 else inside
            by_circuit = live.unflatten(0, (len(masks), -1))
            # where(inside, live, values) to the bit, of finite numbers, in a third of its time on a CPU
            return torch.lerp(values.to(live.device, live.dtype), by_circuit, inside).flatten(0, 1)

        return edit

    heads = {
        s: keep([c.heads[s.layer] for c in circuits], v)
        for s, v in zip(vlm.sites.heads, replacement.heads, strict=True)
    }
    neurons = {
        s: keep([c.neurons[s.layer] for c in circuits], v)
        for s, v in zip(vlm.sites.neurons, replacement.neurons, strict=True)
    }
    with vlm.edit_inputs(heads | neurons):
        yield


@torch.no_grad()
def run_circuits(
    vlm: VLM,
    call: DecoderCall,
    circuits: Iterable[Circuit],
    replacement: Activations,
    *,
    batch_size: int = 64,
    beginning: Beginning | None = None,
) -> Float[Tensor, "circuit batch vocab"]:
    """Last-position logits of the prompts under each circuit, all else replaced.

    At least one circuit at a time, and as many as keep circuits × prompts within `batch_size`; they are made as they
    are needed. Behind a `beginning` (`models.beginning`), `replacement` holds the positions that runs compute. Raises
    `UnsupportedModel` where layers look up token ids themselves.
    """
    if call.tokens:
        raise UnsupportedModel(
            f"Layers of {vlm.name} look up token ids themselves, which no ablation of heads and neurons holds: the empty "
            f"circuit would not be the counterfactual run. Use attribution on pictures, or another model."
        )
    waiting = iter(circuits)
    behind = beginning or Beginning(vlm)
    found = []
    while some := list(islice(waiting, max(1, batch_size // call.batch))):
        repeated = call.repeat(len(some))
        with behind.behind(repeated), ablate_outside(vlm, some, replacement, start=behind.start):
            logits = vlm.run(repeated)
        found.append(logits.unflatten(0, (len(some), call.batch)))
    return torch.cat(found)


@contextmanager
def patch_residuals(
    vlm: VLM, positions: slice, values: dict[int, Float[Tensor, "batch pos d_model"]]
) -> Iterator[None]:
    """While open, `resid_post` of each layer given is overwritten at `positions` by the same positions of its values.

    It is overwritten as it is handed to the next layer, so that nothing is added to it on the way. Layers below the
    lowest one given run live; see `diptych.backpatch` for starting above them.
    """

    def write(value: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda live: overwrite(live, positions, value)

    with edit_handed(vlm.layers, {layer: write(value) for layer, value in values.items()}):
        yield


def _classes(vlm: VLM) -> str:
    return ", ".join(sorted({type(mixer.module).__name__ for mixer in vlm.sites.unread}))


def overwrite(live: Tensor, positions: slice, value: Tensor) -> Tensor:
    """A copy of `live` [batch, pos, ...] with `positions` taken from `value`."""
    changed = live.clone()
    changed[:, positions] = value[:, positions].to(live.device, live.dtype)
    return changed


def _require_all_fit(vlm: VLM, circuits: Sequence[Circuit], replacement: Activations, start: int) -> None:
    if vlm.sites.unread:
        raise UnsupportedModel(
            f"{vlm.name} has layers that mix positions without heads ({_classes(vlm)}), which ablation cannot "
            f"hold: the empty circuit would not be the counterfactual run. Use attribution, or another model."
        )
    for circuit in circuits:
        require_own(vlm, circuit)
        length = start + replacement.heads[0].shape[1]
        if circuit.layout.length != length:
            raise MismatchError(
                f"The circuit is for prompts of {circuit.layout.length} positions, these have {length}. Carry it to their "
                f"layout first."
            )


def require_own(vlm: VLM, circuit: Circuit) -> None:
    """Raise `MismatchError` unless the circuit belongs to the model."""
    if circuit.model != vlm.digest:
        raise MismatchError(
            f"The circuit belongs to model {circuit.model}, not to {vlm.name} ({vlm.digest}). Discover one for this model."
        )
    if circuit.there != vlm.sites.there:
        raise MismatchError(
            f"The circuit has {circuit.there} heads and neurons per layer, {vlm.name} has {vlm.sites.there}. "
            f"Make its grid with the model's `sites.there`."
        )
