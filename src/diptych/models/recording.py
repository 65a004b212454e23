"""Recordings: node values seen in a run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

from diptych.activations import Activations
from diptych.errors import ModelCheckFailed
from diptych.models.knockout import Edit
from diptych.models.sites import Site, Sites


@dataclass(frozen=True, eq=False)
class Recording:
    """Node values seen while a `record` was open, by part of a site, and which layers were called."""

    sites: Sites
    seen: dict[Site, Tensor] = field(default_factory=dict)
    layers: set[int] = field(default_factory=set)

    def keep(self, part: Site) -> Edit:
        """An edit that changes nothing and keeps what it sees of a part, detached."""

        def look(live: Tensor) -> Tensor:
            self.seen[part] = live.detach()
            return live

        return look

    def called(self, layer: int) -> Callable[..., None]:
        """A pre-hook of a layer, which notes that it is called."""
        return lambda module, args: self.layers.add(layer)

    @property
    def values(self) -> dict[Site, Tensor]:
        """Node values by site; a part of a layer's nodes is zero elsewhere, so they add up."""
        whole = (site for site in self.sites if all(part in self.seen for part in site.parts))
        return {site: reduce(torch.add, (self.seen[part] for part in site.parts)) for site in whole}

    def activations(self) -> Activations:
        """All sites' values, zero where a layer has no such nodes or was not called (cross-attention without a picture).

        Raises `ModelCheckFailed` for a site that the run did not reach although it called its layer.
        """
        values = self.values
        silent = [
            f"{site.kind} of layer {site.layer}"
            for site in self.sites
            if site.layer in self.layers and site not in values
        ]
        if silent or not values:
            raise ModelCheckFailed(
                f"The run never reached {(silent or ['a layer'])[0]} (and {max(len(silent) - 1, 0)} more sites). "
                f"Run `diptych check` on the model."
            )
        some = next(iter(values.values()))
        every = [
            tuple(values[site] if site in values else site.nothing(some) for site in sites)
            for sites in (self.sites.heads, self.sites.neurons)
        ]
        return Activations(*every)
