"""What the node view tells: its rows, sentences and figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.experiments._heads import Chosen, in_circuit
from diptych.experiments._text import fixed, from_tensor, interval
from diptych.figures import Bars, Series
from diptych.grid import Circuit
from diptych.items import Modality
from diptych.layout import SEGMENTS
from diptych.result import Row, numbers
from diptych.statistics import cluster_bootstrap

Array = NDArray[np.float64]
LAST, DATA = "generation", SEGMENTS.index("data")
DIRECT = "direct contribution"
READER = "reads the data most on select"
WRITTEN = ("logits", "logits of the circuit's heads", "logits of other heads")


@dataclass(frozen=True, eq=False)
class View:
    """Of n prompts: attention [n, chosen, segment], what it is if spread evenly, and direct contributions.

    `beyond`: how much more than evenly spread attention is on the data, mean over prompts of *select* [chosen].
    `direct`: [n, layer, head] at the last position; `others`: [n, (neurons, embedding, rest)].
    """

    chosen: Sequence[Chosen]
    circuit: Circuit
    attention: Array
    even: Array
    beyond: Array
    direct: Array
    others: Array
    reasons: Sequence[str]
    clusters: Sequence[str]
    seed: int

    @classmethod
    def of(
        cls,
        units: Sequence[Mapping[str, Tensor]],
        select: Sequence[Mapping[str, Tensor]],
        chosen: Sequence[Chosen],
        circuit: Circuit,
        clusters: Sequence[str],
        seed: int,
    ) -> "View":
        columns = ("attention", "even", "direct", "others")
        attention, even, written, others = (
            torch.cat([unit[name] for unit in units]).double().numpy() for name in columns
        )
        tried, spread = (torch.cat([unit[name] for unit in select])[:, :, DATA].double() for name in columns[:2])
        beyond = (tried - spread).mean(0).numpy()
        reasons = sorted({reason for unit in units for reason in from_tensor(unit["reasons"])})
        return cls(chosen, circuit, attention, even, beyond, written, others, reasons, clusters, seed)

    def rows(self) -> list[Row]:
        """One per head and number: attention to each segment, and the direct contribution of heads at the last position."""
        return [row for index, one in enumerate(self.chosen) for row in self._rows(index, one)]

    def _rows(self, index: int, one: Chosen) -> list[Row]:
        seen = [
            self._row(one, f"attention to {segment}", self.attention[:, index, place], self.even[:, index, place])
            for place, segment in enumerate(SEGMENTS)
        ]
        written = self._row(one, DIRECT, self.direct[:, one.layer, one.head])
        return [*seen, *([written] if one.segment == LAST else [])]

    def _row(self, one: Chosen, number: str, values: Array, even: Array | None = None) -> Row:
        known = bool(np.isfinite(values).all())
        found = cluster_bootstrap(values, self.clusters, seed=self.seed) if known else None
        return {
            "segment": one.segment,
            "layer": one.layer,
            "head": one.head,
            "score": one.score,
            "number": number,
            "value": found.value if found else math.nan,
            "low": found.low if found else math.nan,
            "high": found.high if found else math.nan,
            "if spread evenly": float(even.mean()) if even is not None else None,
            "n": len(values),
        }

    def readers(self, count: int) -> list[Chosen]:
        """The heads behind the data that on *select* attend to it most beyond an even spread, as far as weights are known."""
        able = [i for i, one in enumerate(self.chosen) if one.segment != "data" and math.isfinite(self.beyond[i])]
        return [self.chosen[i] for i in sorted(able, key=lambda i: -self.beyond[i])[:count]]

    def share(self) -> tuple[Array, Array]:
        """Direct contribution of the circuit's heads of the last position, and of all other heads, in logits [n]."""
        own = np.zeros(self.direct.shape[1:], bool)
        for at in in_circuit(self.circuit, LAST):
            own[at] = True
        return self.direct[:, own].sum(1), self.direct[:, ~own].sum(1)

    def outside(self) -> int:
        """How many heads there are that the circuit does not hold at the last position."""
        return sum(self.circuit.there[0]) - len(in_circuit(self.circuit, LAST))

    def total(self) -> float:
        """Answer minus counter-answer in logits: all parts together."""
        return float(self.direct.mean(0).sum() + self.others.mean(0).sum())

    def conditions(self) -> dict[str, Any]:
        """The head that reads the data most; and what is written at the last position, in logits: all of it, by the circuit's
        heads there, by all other heads."""
        reader: dict[str, Any] = dict(zip((READER,), (one.name for one in self.readers(1)), strict=False))
        if not np.isfinite(self.direct).all():
            return reader
        own, other = (float(values.mean()) for values in self.share())
        return reader | dict(zip(WRITTEN, (self.total(), own, other), strict=True))

    def summary(self, task: str, modality: Modality) -> str:
        said = [*self._said_of_reader(), *self._said_of_writers()]
        told = "; ".join(said) or "neither attention nor direct contributions can be read (see the notes)"
        return f"In the {modality} circuit of {task}, {told}."

    def _said_of_reader(self) -> list[str]:
        return [
            f"the head that reads the data most on select ({one.name}) puts {fixed(row['value'])} {interval(row)} of its "
            f"attention there on test, {fixed(row['if spread evenly'])} if spread evenly"
            for one in self.readers(1)
            for row in [self._rows(self.chosen.index(one), one)[DATA]]
        ]

    def _said_of_writers(self) -> list[str]:
        if not np.isfinite(self.direct).all():
            return []
        own, other = map(self._logits, self.share())
        inside = len(in_circuit(self.circuit, LAST))
        rest = f"all other heads ({self.outside()}) {other}" if self.outside() else "all heads are in the circuit"
        return [
            f"its heads at the last position ({inside}) write {own} of the {fixed(self.total(), sign='+')} logits between "
            f"answer and counter-answer, {rest}"
        ]

    def _logits(self, values: Array) -> str:
        """A mean over prompts with its interval."""
        found = cluster_bootstrap(values, self.clusters, seed=self.seed)
        return f"{fixed(found.value, sign='+')} [{fixed(found.low, sign='+')}, {fixed(found.high, sign='+')}]"

    def notes(self) -> list[str]:
        found = [
            "Attention: from the positions at which the head is in the circuit, mean over them; weights of the eager kernel, "
            "accepted only where the heads hold what they hold in the model's own run. Attention is where a head looks, not "
            "what it takes from there.",
        ]
        if np.isfinite(self.others).all():
            neurons, embedding, rest = self.others.mean(0)
            found.append(
                f"Direct contributions are those of the last position, norm scales held constant; the parts add up: heads "
                f"{fixed(self.direct.mean(0).sum(), sign='+')}, neurons {fixed(neurons, sign='+')}, embedding "
                f"{fixed(embedding, sign='+')}, rest (biases, parts without nodes) {fixed(rest, sign='+')}. Heads at data and "
                f"query have none: they write for later heads."
            )
        return [*found, *(f"Not shown: {reason}" for reason in self.reasons)]

    def figures(self, modality: Modality) -> list[Bars]:
        seen = [self._attention(modality)] if np.isfinite(self.attention).any() else []
        last = [row for row in self.rows() if row["number"] == DIRECT and math.isfinite(float(row["value"] or 0))]
        return [*seen, *([self._direct(last, modality)] if last else [])]

    def _attention(self, modality: Modality) -> Bars:
        by_segment = [
            [self._rows(i, one)[place] for i, one in enumerate(self.chosen)] for place in range(len(SEGMENTS))
        ]
        even = numbers(by_segment[DATA], "if spread evenly")
        return Bars(
            title=f"What the heads attend to, {modality}",
            caption="Attention of the circuit's strongest heads, from their positions in the circuit to each segment of the "
            "prompt, in the order segment, layer.head; lines on bars are 95% intervals over clusters.",
            x_title="head",
            y_title="share of attention",
            categories=[f"{one.segment} {one.layer}.{one.head}" for one in self.chosen],
            series=[
                *(
                    Series(f"to {segment}", *(numbers(rows, name) for name in ("value", "low", "high")))
                    for segment, rows in zip(SEGMENTS, by_segment, strict=True)
                ),
                Series("random: to data if spread evenly", even),
            ],
        )

    def _direct(self, rows: Sequence[Row], modality: Modality) -> Bars:
        _, other = self.share()
        count = self.outside()
        return Bars(
            title=f"What the heads write, {modality}",
            caption="Direct contribution of the circuit's strongest heads at the last position to answer minus "
            "counter-answer, in logits; lines on bars are 95% intervals over clusters.",
            x_title="head",
            y_title="logits",
            categories=[f"layer {row['layer']}, head {row['head']}" for row in rows],
            series=[Series(modality, *(numbers(rows, name) for name in ("value", "low", "high")))],
            levels=[(float(other.mean()) / count, "mean of heads outside the circuit")] if count else [],
        )
