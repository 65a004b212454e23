"""What the comparison of panels tells: its rows and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._text import fixed, interval
from diptych.figures import Number
from diptych.items import Item
from diptych.result import Row
from diptych.similarity import cka_reordered
from diptych.statistics import INTERVAL, MaximumNull, cluster_bootstrap, max_statistic_null, resampled_means

Array = NDArray[np.float64]
Bounds = tuple[Number, Number, Number]
"""A value and its interval."""
NOTHING: Bounds = (None, None, None)
PEAK = ("closest layer", "closest layer, low", "closest layer, high")

KINDS = ("centred", "raw")
BEYOND, CKA, CLOSEST = "own less other pairs, centred", "CKA", "closest image layer"
"""Measures beside the cosines; the last is the image layer closest to the text states of the row's layer."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Cosines of n items: with their own text, and with texts of others of their block.

    `own`: raw or centred [item, layer]. `pool`: per item, the same with each text that does not belong [other, layer].
    `across`: centred, own less others [item, text layer, image layer]. `cka`: [1 + shuffles, layer], the true order first.
    """

    own: Mapping[str, Array]
    pool: Mapping[str, Sequence[Array]]
    across: Array
    cka: Array
    clusters: list[str]
    alone: int
    shuffles: int
    seed: int

    @classmethod
    def of(
        cls, units: Sequence[Mapping[str, Tensor]], parts: Sequence[Sequence[Item]], shuffles: int, seed: int
    ) -> "Compared":
        """Items without any other in their block are left out of all but CKA, and counted."""
        kept = [(u, i) for u, unit in enumerate(units) for i in range(len(parts[u])) if unit["other"][i].any()]
        items = sum(map(len, parts))
        if not kept:
            raise InputError(
                f"None of {items} items has another one with other data in its block, so there is nothing to compare the "
                f"similarity of its panels with. Use a task with several texts, or larger blocks."
            )
        own = {k: _array([units[u][k][i, i] for u, i in kept]) for k in KINDS}
        pool = {k: [_array(units[u][k][i][units[u]["other"][i]]) for u, i in kept] for k in KINDS}
        across = _array([units[u]["across"][i] - units[u]["across others"][i] for u, i in kept])
        text, image = (torch.cat([unit[panel] for unit in units]).transpose(0, 1) for panel in ("text", "image"))
        chance = torch.Generator().manual_seed(seed)
        orders = [torch.arange(items), *(torch.randperm(items, generator=chance) for _ in range(shuffles))]
        reordered = _array(cka_reordered(text, image, orders))
        clusters = [parts[u][i].cluster for u, i in kept]
        return cls(own, pool, across, reordered, clusters, items - len(kept), shuffles, seed)

    @property
    def layers(self) -> int:
        return self.own["raw"].shape[1]

    def others(self, kind: str) -> Array:
        """Mean over the texts that do not belong to an item: [item, layer]."""
        return np.stack([some.mean(0) for some in self.pool[kind]])

    def beyond(self, kind: str) -> Array:
        """Own less others [item, layer]: what is special to the pair."""
        found: Array = self.own[kind] - self.others(kind)
        return found

    @cached_property
    def shuffled(self) -> Mapping[str, Array]:
        """The mean over items when each gets one text of another at random: [shuffle, layer]."""
        chance = np.random.default_rng(self.seed)
        picks = [[int(chance.integers(len(some))) for some in self.pool["raw"]] for _ in range(self.shuffles)]
        return {
            kind: np.stack([np.mean([s[p] for s, p in zip(pool, pick, strict=True)], 0) for pick in picks])
            for kind, pool in self.pool.items()
        }

    @cached_property
    def anywhere(self) -> MaximumNull:
        """Whether the panels are closer than others' at any layer, against sign flips of clusters."""
        return max_statistic_null(self.beyond("centred").T, self.clusters, seed=self.seed)

    def peak(self, values: Array) -> tuple[int, float, float]:
        """The layer of the highest mean of values [item, layer], and 95 % of it when clusters are resampled."""
        drawn = resampled_means(values.T, self.clusters, seed=self.seed).argmax(1)
        return int(values.mean(0).argmax()), float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))

    def rows(self) -> list[Row]:
        """One per layer and measure, beside its value for items that do not belong together."""
        return [row for layer in range(self.layers) for row in self._rows(layer)]

    def _rows(self, layer: int) -> list[Row]:
        cosines = [
            self._row(
                layer,
                f"{kind} cosine",
                self._estimate(self.own[kind][:, layer]),
                _with_range(float(self.others(kind)[:, layer].mean()), self.shuffled[kind][:, layer]),
            )
            for kind in KINDS
        ]
        beyond = self._row(layer, BEYOND, self._estimate(self.beyond("centred")[:, layer]), NOTHING)
        shuffled = self.cka[1:, layer]
        cka = self._row(
            layer, CKA, (float(self.cka[0, layer]), None, None), _with_range(float(shuffled.mean()), shuffled)
        )
        return [*cosines, beyond, cka, self._row(layer, CLOSEST, self.peak(self.across[:, layer]), NOTHING)]

    def _row(self, layer: int, measure: str, value: Bounds, others: Bounds) -> Row:
        row: dict[str, Any] = {"layer": layer, "measure": measure}
        row |= zip(("value", "low", "high"), value, strict=True)
        row |= zip(("other pairs", "other pairs low", "other pairs high"), others, strict=True)
        return row | {"n": len(self.clusters) + (self.alone if measure == CKA else 0)}

    def _estimate(self, values: Array) -> Bounds:
        found = cluster_bootstrap(values, self.clusters, seed=self.seed)
        return found.value, found.low, found.high

    def conditions(self) -> dict[str, Any]:
        facts = {"interval": INTERVAL, "shuffles": self.shuffles}
        facts |= {"without other data in their block": self.alone} if self.alone else {}
        peak = dict(zip(PEAK, self.peak(self.beyond("centred")), strict=True))
        return facts | peak | {"p, closer than other pairs at any layer": self.anywhere.p}


def of(rows: Sequence[Row], measure: str) -> list[Row]:
    """The rows of a measure, by layer."""
    return [row for row in rows if row["measure"] == measure]


def summary(task: str, rows: Sequence[Row], compared: Compared) -> str:
    layer, first, last = compared.peak(compared.beyond("centred"))
    row = of(rows, BEYOND)[layer]
    how = f"{fixed(row['value'], 3, sign='+')} {interval(row, 3, sign='+')}"
    sure = f"p = {compared.anywhere.p:.2g} for any layer"
    if compared.anywhere.p > 0.05:
        return (
            f"At no layer are image states of {task} surely closer to the words of their own item than to those of others: "
            f"at most {how} in centred cosine (layer {layer}; {sure})."
        )
    return (
        f"Image states of {task} are closest to the words of their own item, against those of others, after layer {layer} "
        f"(95%: {first:.0f} to {last:.0f}; layers 0 to {compared.layers - 1}): {how} in centred cosine, {sure}."
    )


def notes(compared: Compared) -> list[str]:
    raw = compared.own["raw"].mean(), compared.others("raw").mean()
    return [
        f"Raw cosines are {fixed(raw[0])} on average over layers with the own text and {fixed(raw[1])} with texts of "
        f"others: what both have in common is no agreement about the item. Read the centred ones, and their difference.",
        "A maximum over many text tokens is above 0 for unrelated states too, so centred cosines of other pairs need not "
        "be 0; own less other pairs is, if nothing is special to the pair.",
        "CKA compares the mean data token of items by unbiased estimates; shuffled: items put together at random.",
        "The closest image layer is that with the largest own less other pairs for the text states of a layer, with 95% "
        "of it in resampled clusters; where no value is surely above 0, it means nothing.",
    ]


def _with_range(value: float, draws: Array) -> Bounds:
    """The value with 95 % of the draws, if all are defined."""
    if not np.isfinite(draws).all():
        return NOTHING
    low, high = np.quantile(draws, [0.025, 0.975])
    return value, float(low), float(high)


def _array(values: Any) -> Array:
    found: Array = (values if isinstance(values, Tensor) else torch.stack(values)).double().numpy()
    return found
