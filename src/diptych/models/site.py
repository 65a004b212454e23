"""A site: one layer's nodes of one kind, and the modules that take them. A mixer: what moves information in a layer."""

from dataclasses import dataclass, field
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Mixing = Literal["attention", "cross attention", "recurrence", "convolution", "none"]
Kind = Literal["heads", "neurons"]


@dataclass(frozen=True, eq=False)
class Site:
    """The input of one layer's output projection (or of a norm before it): nodes of `width` numbers, per position.

    `count` nodes per layer are in a grid, the same number for all layers of a model; this layer has `there` of them.
    The others are never there: their values are zero, and no edit reaches them. A layer without such a projection has
    no module and no nodes. `module` takes the nodes from `start` to `stop`; where a layer has several projections of
    the kind (routed experts and a shared one), the sites `beside` take the rest.
    """

    kind: Kind
    layer: int
    count: int
    width: int
    module: nn.Module | None = field(repr=False)
    there: int
    start: int
    stop: int
    beside: tuple["Site", ...] = ()

    @property
    def parts(self) -> tuple["Site", ...]:
        """This site and those beside it."""
        return (self, *self.beside)

    def nodes(self, flat: Tensor) -> Tensor:
        """[batch, pos, own·width] → heads [batch, pos, count, d_head] or neurons [batch, pos, count], others zero."""
        if self.stop - self.start < self.count:
            flat = F.pad(flat, (self.start * self.width, (self.count - self.stop) * self.width))
        return flat.unflatten(-1, (self.count, self.width)) if self.kind == "heads" else flat

    def flat(self, nodes: Tensor) -> Tensor:
        """The inverse of `nodes`."""
        flat = nodes.flatten(-2) if self.kind == "heads" else nodes
        first, own = self.start * self.width, (self.stop - self.start) * self.width
        return flat if own == flat.shape[-1] else flat.narrow(-1, first, own)  # a backward pass copies what is narrowed

    def nothing(self, like: Tensor) -> Tensor:
        """The values of a site whose layer has no such nodes, or was not called: zeros, prompts and positions as in `like`."""
        return like.new_zeros(*like.shape[:2], self.count, *([self.width] if self.kind == "heads" else []))


@dataclass(frozen=True, eq=False)
class Mixer:
    """The part of a layer that moves information between positions, and how it does."""

    layer: int
    mixing: Mixing
    module: nn.Module | None = field(repr=False)
