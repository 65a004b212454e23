"""Depth: in which layers two circuits share nodes, against random circuits that have as many in each layer (methods §7)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from diptych.compare import MEASURED, Array, Overlap, compared
from diptych.grid import Circuit


@dataclass(frozen=True)
class Depth:
    """One segment and node kind, layer by layer."""

    whole: Overlap
    layers: tuple[Overlap, ...]

    @property
    def shared(self) -> Array:
        """Shared nodes of each layer, as a share of the nodes of either circuit in all layers: they add up to the IoU."""
        return self._of_union([[pair.both for pair in layer.pairs] for layer in self.layers])

    @property
    def expected(self) -> Array:
        """The same of random circuits that have as many nodes in each layer: a·b/nodes of them are shared."""
        return self._of_union([[pair.a * pair.b / max(pair.nodes, 1) for pair in layer.pairs] for layer in self.layers])

    def quantile(self, level: float) -> Array:
        """A quantile of what these random circuits share: the count of shared nodes is hypergeometric."""
        return self._of_union(
            [[float(hypergeom.ppf(level, pair.nodes, pair.a, pair.b)) for pair in layer.pairs] for layer in self.layers]
        )

    def _of_union(self, counts: list[list[float]]) -> Array:
        """Counts [layer][direction] over the union in all layers, mean over directions; nan if there is none."""
        unions = np.array([pair.a + pair.b - pair.both for pair in self.whole.pairs], float)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((np.array(counts, float) / unions).mean(1))


def depths(a: Circuit, b: Circuit, positions: Mapping[str, str] = MEASURED) -> list[Depth]:
    """Where in depth two circuits of one model share nodes, in the order of `overlaps`."""
    layers = range(len(a.heads))
    return [
        Depth(part.overlap(), tuple(part.overlap(slice(layer, layer + 1)) for layer in layers))
        for part in compared(a, b, positions)
    ]
