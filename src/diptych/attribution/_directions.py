"""Directions: a(x') − a(x) at every site, kept from two runs or made again when they are needed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from diptych.activations import Activations
from diptych.models.calls import DecoderCall
from diptych.models.sites import Site
from diptych.models.vlm import VLM, Edit

Memory = Literal["high", "low"]
MEMORY = ("high", "low")

Look = Callable[[Site, Tensor], None]
"""Called with a site and its direction, [batch, pos, head, d_head] or [batch, pos, neuron], in float32 at least."""


class Directions(Protocol):
    """Where directions come from."""

    def visit(self, look: Look) -> None:
        """Call `look` once for each site that has nodes."""


@dataclass(frozen=True, eq=False)
class Kept:
    """The directions of all sites, held in memory."""

    vlm: VLM
    values: Activations

    def visit(self, look: Look) -> None:
        sites = (*self.vlm.sites.heads, *self.vlm.sites.neurons)
        for site, direction in zip(sites, (*self.values.heads, *self.values.neurons), strict=True):
            look(site, direction)


@dataclass(frozen=True, eq=False)
class Streamed:
    """Directions made by running both prompts beside each other: each site's is there only while it is looked at."""

    vlm: VLM
    pair: DecoderCall
    behind: Callable[[DecoderCall], AbstractContextManager[None]]

    @torch.no_grad()
    def visit(self, look: Look) -> None:
        def watch(site: Site) -> Edit:
            def see(live: Tensor) -> Tensor:
                clean, other = (live if live.dtype == torch.float64 else live.float()).chunk(2)
                look(site, other - clean)
                return live

            return see

        with self.behind(self.pair), self.vlm.edit_inputs({site: watch(site) for site in self.vlm.sites}):
            self.vlm.run(self.pair)
