"""How many nodes there are in each layer of a grid, which may be wider than a layer (decision 9)."""

import torch
from torch import Tensor

from diptych.errors import MismatchError

PerLayer = tuple[int, ...]
"""A number for each layer."""


def counted(kind: str, there: PerLayer, nodes: Tensor) -> PerLayer:
    """The number of nodes in each layer: all that the grid is wide, unless it is told."""
    layers, width = nodes.shape[0], nodes.shape[2]
    if there and (len(there) != layers or not all(0 <= count <= width for count in there)):
        raise MismatchError(
            f"A grid's {kind} are told to be {there} by layer; expected {layers} numbers from 0 to {width}, its shape."
        )
    return there or (width,) * layers


def cleared(nodes: Tensor, there: PerLayer) -> Tensor:
    """The nodes with nothing behind those that are there; the tensor itself if all are."""
    counts, width = torch.tensor(there, device=nodes.device), nodes.shape[2]
    if bool((counts == width).all()):
        return nodes
    inside = torch.arange(width, device=nodes.device) < counts[:, None]
    return nodes.where(inside[:, None], torch.zeros((), dtype=nodes.dtype, device=nodes.device))
