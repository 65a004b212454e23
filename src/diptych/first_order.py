"""First-order back-patching: what every cell would change if the model were linear, from one backward pass (methods §10)."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.backpatch import Cell
from diptych.models.calls import DecoderCall
from diptych.models.handed import edit_handed
from diptych.models.vlm import VLM, Edit


def first_order(
    vlm: VLM,
    call: DecoderCall,
    positions: slice,
    some: Sequence[Cell],
    metric: Callable[[Float[Tensor, "batch vocab"]], Float[Tensor, " batch"]],
) -> Float[Tensor, "cell batch"]:
    """Σ over a cell's pairs of (resid_source − resid_destination) · ∂metric/∂resid_destination at `positions`, per prompt.

    Of one pair, the derivative of the metric as the destination moves towards the source. Of several, their sum: what a
    pair changes in residuals that the next one overwrites is in it too. One forward and one backward for all cells.
    """
    residuals: dict[int, Tensor] = {}
    moves: dict[int, Tensor] = {}

    def movable(layer: int) -> Edit:
        def edit(live: Tensor) -> Tensor:
            residuals[layer] = live.detach()
            moves[layer] = torch.zeros_like(live).requires_grad_()
            return live + moves[layer]

        return edit

    every = {layer: movable(layer) for layer in range(len(vlm.layers))}
    with torch.enable_grad(), edit_handed(vlm.layers, every):
        value = metric(vlm.run(call)).sum()
    slopes = dict(zip(moves, torch.autograd.grad(value, list(moves.values())), strict=True))

    def along(source: int, destination: int) -> Tensor:
        """[batch]."""
        ours, theirs = (residuals[layer][:, positions] for layer in (source, destination))
        return ((ours.to(theirs.device) - theirs) * slopes[destination][:, positions]).sum((1, 2)).float().cpu()

    of_pair = {pair: along(*pair) for pair in {pair for cell in some for pair in cell.pairs(len(vlm.layers))}}
    return torch.stack([sum((of_pair[pair] for pair in cell.pairs(len(vlm.layers))), torch.zeros(())) for cell in some])
