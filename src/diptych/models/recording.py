"""Recordings: node values seen in a run."""

from dataclasses import dataclass, field

from torch import Tensor

from diptych.activations import Activations
from diptych.errors import ModelCheckFailed
from diptych.models.sites import Site, Sites


@dataclass(frozen=True, eq=False)
class Recording:
    """Node values seen while a `record` was open, by site, and which layers were called."""

    sites: Sites
    values: dict[Site, Tensor] = field(default_factory=dict)
    layers: set[int] = field(default_factory=set)

    def activations(self) -> Activations:
        """All sites' values, zero where a layer has no such nodes or was not called (cross-attention without a picture).

        Raises `ModelCheckFailed` for a site that the run did not reach although it called its layer.
        """
        silent = [f"{site.kind} of layer {site.layer}" for site in self.sites if self._is_silent(site)]
        if silent or not self.values:
            raise ModelCheckFailed(
                f"The run never reached {(silent or ['a layer'])[0]} (and {max(len(silent) - 1, 0)} more sites). "
                f"Run `diptych check` on the model."
            )
        some = next(iter(self.values.values()))
        every = [self._values(sites, some) for sites in (self.sites.heads, self.sites.neurons)]
        return Activations(*every)

    def _values(self, sites: tuple[Site, ...], some: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.values[site] if site in self.values else site.nothing(some) for site in sites)

    def _is_silent(self, site: Site) -> bool:
        return site.layer in self.layers and site not in self.values
