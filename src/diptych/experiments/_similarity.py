"""What the comparison of panels tells: its rows, sentences and figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._text import fixed, interval
from diptych.items import Item
from diptych.result import Curves, Heatmap, Row, Series, numbers
from diptych.similarity import cka_reordered
from diptych.statistics import MaximumNull, cluster_bootstrap, max_statistic_null, resampled_means

Array = NDArray[np.float64]


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
        kinds = ("raw", "centred")
        own = {k: _array([units[u][k][i, i] for u, i in kept]) for k in kinds}
        pool = {k: [_array(units[u][k][i][units[u]["other"][i]]) for u, i in kept] for k in kinds}
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
        return [self._row(layer) for layer in range(self.layers)]

    def _row(self, layer: int) -> Row:
        row: dict[str, Any] = {"layer": layer}
        for kind in ("centred", "raw"):
            found = cluster_bootstrap(self.own[kind][:, layer], self.clusters, seed=self.seed)
            low, high = np.quantile(self.shuffled[kind][:, layer], [0.025, 0.975])
            row |= {kind: found.value, f"{kind} low": found.low, f"{kind} high": found.high}
            row |= {f"{kind}, other pairs": float(self.others(kind)[:, layer].mean())}
            row |= {f"{kind}, other pairs low": float(low), f"{kind}, other pairs high": float(high)}
        beyond = cluster_bootstrap(self.beyond("centred")[:, layer], self.clusters, seed=self.seed)
        image, first, last = self.peak(self.across[:, layer])
        own, drawn = self.cka[0, layer], self.cka[1:, layer]
        return row | {
            "own less other pairs": beyond.value,
            "low": beyond.low,
            "high": beyond.high,
            "CKA": float(own),
            "CKA shuffled, mean": _mean(drawn),
            "CKA shuffled, 95%": _quantile(drawn, 0.95),
            "closest image layer": image,
            "closest low": first,
            "closest high": last,
            "n": beyond.n,
        }

    def conditions(self) -> dict[str, Any]:
        facts = {"interval": "95% cluster bootstrap, 2000 draws", "shuffles": self.shuffles}
        facts |= {"without other data in their block": self.alone} if self.alone else {}
        return facts | {"p, closer than other pairs at any layer": self.anywhere.p}


def summary(task: str, rows: Sequence[Row], compared: Compared) -> str:
    layer, first, last = compared.peak(compared.beyond("centred"))
    row = rows[layer]
    how = f"{fixed(row['own less other pairs'], 3, sign='+')} {interval(row, 3, sign='+')}"
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


def curves(compared: Compared, rows: Sequence[Row]) -> list[Curves]:
    return [_cosines(rows, "centred"), _cosines(rows, "raw"), _beyond(rows), _alignment(rows)]


def _cosines(rows: Sequence[Row], kind: str) -> Curves:
    names = (kind, f"{kind} low", f"{kind} high")
    others = [f"{kind}, other pairs{end}" for end in ("", " low", " high")]
    return Curves(
        title=f"Similarity of the panels by layer, {kind}",
        caption="Mean over image data tokens of the highest cosine to a text data token, mean over items. The band of own "
        "pairs is a 95% interval over clusters; that of other pairs holds 95% of random partners.",
        x_title="layer",
        y_title=f"{kind} cosine",
        x=[float(layer) for layer in range(len(rows))],
        series=[
            Series("image and its own text", *(numbers(rows, name) for name in names)),
            Series("random other text", *(numbers(rows, name) for name in others)),
        ],
    )


def _beyond(rows: Sequence[Row]) -> Curves:
    return Curves(
        title="What is special to the pair, by layer",
        caption="Centred similarity of an item's own panels less that with texts of other items, paired by item; band: "
        "95% interval over clusters.",
        x_title="layer",
        y_title="difference of centred cosines",
        x=[float(layer) for layer in range(len(rows))],
        series=[
            Series("image, own less other", *(numbers(rows, name) for name in ("own less other pairs", "low", "high")))
        ],
        levels=[(0.0, "nothing special")],
    )


def _alignment(rows: Sequence[Row]) -> Curves:
    return Curves(
        title="Alignment of items by layer (CKA)",
        caption="Linear CKA of the mean text and the mean image data token over items, unbiased, beside items put together "
        "at random.",
        x_title="layer",
        y_title="CKA",
        x=[float(layer) for layer in range(len(rows))],
        series=[
            Series("image and its own text", numbers(rows, "CKA")),
            Series("random order, mean", numbers(rows, "CKA shuffled, mean")),
            Series("random order, 95th percentile", numbers(rows, "CKA shuffled, 95%")),
        ],
    )


def across(compared: Compared) -> Heatmap:
    """Own less other pairs, for each text layer and image layer."""
    values = compared.across.mean(0)
    text, image = np.unravel_index(int(values.argmax()), values.shape)
    names = [str(layer) for layer in range(compared.layers)]
    return Heatmap(
        title="Text layer against image layer",
        caption="Centred similarity of image states after one layer to text states after another, own less other pairs, "
        "mean over items. Right of the diagonal the picture is later than the words. The mark is the highest cell.",
        x_title="image layer",
        y_title="text layer",
        value_title="difference of centred cosines",
        x=names,
        y=names,
        values=values.tolist(),
        marks=[(int(image), int(text), "closest")],
    )


def _array(values: Any) -> Array:
    found: Array = (values if isinstance(values, Tensor) else torch.stack(values)).double().numpy()
    return found


def _mean(draws: Float[np.ndarray, " draw"]) -> float:
    return float(draws.mean()) if np.isfinite(draws).all() else math.nan


def _quantile(draws: Float[np.ndarray, " draw"], level: float) -> float:
    return float(np.quantile(draws, level)) if np.isfinite(draws).all() else math.nan
