"""What a faithfulness curve measures: the metric of each prompt under circuits of several sizes and rankings."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diptych.activations import Activations
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.faithfulness import Array
from diptych.grid import Circuit, Scores
from diptych.interventions import run_circuits
from diptych.items import Contrast
from diptych.layout import Layout
from diptych.means import Means
from diptych.metrics import metric as find_metric
from diptych.models.beginning import Beginning, begin
from diptych.models.calls import DecoderCall
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.statistics import Estimate, mean_of_ratios, ratio_of_means

Ablation = Literal["counterfactual", "zero", "mean"]
Order = Callable[[Scores], Scores]
"""Makes a ranking of scores: circuits keep its highest."""

TOWARDS_COUNTERFACTUAL = ("indirect_effect",)
"""Metrics that grow as a run comes to resemble the counterfactual one; all others shrink."""


class Circuits(Protocol):
    """Circuits that are made as they are needed, again and again."""

    def __call__(self) -> Iterable[Circuit]: ...

    def __len__(self) -> int: ...


def as_scored(scores: Scores) -> Scores:
    """Highest score first."""
    return scores


def opposite(scores: Scores) -> Scores:
    """Lowest score first: of signed scores, the nodes whose patching lowers the metric most."""
    return scores * -1


def by_size(scores: Scores) -> Scores:
    """Highest absolute value first."""
    return scores.map(torch.abs)


def reversed_order(scores: Scores, *, order: Order) -> Scores:
    """Lowest-ranked first, the prefix last of all: its nodes have no effect, so they would make any circuit look small."""
    ranked = order(scores)

    def flip(nodes: Tensor) -> Tensor:
        flipped = -nodes
        flipped[:, scores.layout.prefix] = -math.inf
        return flipped

    return ranked.map(flip)


def random_scores(scores: Scores, seed: int) -> Scores:
    """Random scores of the same shape: their top circuits are uniform over all nodes outside the prefix."""
    generator = torch.Generator().manual_seed(seed)
    drawn = scores.map(lambda nodes: torch.rand(nodes.shape, generator=generator))
    return drawn.without("prefix")


def helpful_first(metric: str, reduction: str) -> Order:
    """How scores rank nodes: unsigned ones by value, signed ones by how much patching takes the metric to the counterfactual."""
    return opposite if reduction == "signed" and metric not in TOWARDS_COUNTERFACTUAL else as_scored


def measure(
    vlm: VLM,
    payload: tuple[int, list[Contrast]],
    *,
    scores: Scores,
    sizes: Sequence[float],
    orders: Mapping[str, Order],
    ablation: Ablation,
    means: Means | None,
    metric: str,
    answers: AnswerTokens,
    batch_size: int,
) -> dict[str, Tensor]:
    """The metric of each prompt for the model, the empty circuit, and under each ranking the circuit of each size."""
    # nodes of the prefix have their counterfactual values anyway, but not zero nor their mean
    forwards = len(orders) * len(sizes) if ablation == "counterfactual" else 0
    both = runs(vlm, payload, answers, forwards)
    batch, clean, value = both.batch, both.clean, partial(_value, metric, both.batch, both.clean)
    others = replacement(ablation, both.others, means, batch.layout)
    run = partial(run_circuits, vlm, both.call, replacement=others, batch_size=batch_size, beginning=both.beginning)
    rankings = (order(scores) for order in orders.values())
    circuits = (circuit.expand(batch.layout) for ranking in rankings for circuit in ranking.tops(sizes))
    values = torch.stack([value(some) for some in run(circuits=circuits)]).unflatten(0, (len(orders), len(sizes)))
    # the empty circuit is the counterfactual run itself, which has been run (methods §6)
    empty = both.counterfactual if ablation == "counterfactual" else run(circuits=[nothing(scores, batch.layout)])[0]
    return {"model": value(clean), "empty": value(empty)} | dict(zip(orders, values, strict=True))


def measure_circuits(
    vlm: VLM,
    payload: tuple[int, list[Contrast]],
    *,
    circuits: Circuits,
    metric: str,
    answers: AnswerTokens,
    batch_size: int,
) -> dict[str, Tensor]:
    """The metric of each prompt for the model, the empty circuit, and under each circuit, all else counterfactual."""
    both = runs(vlm, payload, answers, len(circuits))
    expanded = (circuit.expand(both.batch.layout) for circuit in circuits())
    logits = run_circuits(vlm, both.call, expanded, both.others, batch_size=batch_size, beginning=both.beginning)
    value = partial(_value, metric, both.batch, both.clean)
    found = torch.stack([value(some) for some in logits])
    return {"model": value(both.clean), "empty": value(both.counterfactual), "circuits": found}


@dataclass(frozen=True, eq=False)
class Both:
    """A batch, its clean call, the logits of both its sides, and the node values of the counterfactual run.

    All are of runs behind the `beginning`; the values are those of the positions that such runs compute.
    """

    batch: Batch
    call: DecoderCall
    clean: Tensor
    counterfactual: Tensor
    others: Activations
    beginning: Beginning


@dataclass(frozen=True, eq=False)
class Effects:
    """How much of the metric circuits keep, of some prompts of one shape, whose counterfactual node values are kept.

    m(circuit) − m(empty), or m(empty) − m(circuit) of a metric that grows towards the counterfactual: positive where a
    circuit is like the model.
    """

    vlm: VLM
    both: Both
    metric: str
    batch_size: int

    @property
    def total(self) -> Float[Tensor, " prompt"]:
        """Of the whole model."""
        return self._above(self.both.clean)

    def of(self, circuit: Circuit) -> Float[Tensor, " prompt"]:
        """Of a circuit, all else counterfactual. Cost 1F."""
        both, expanded = self.both, [circuit.expand(self.both.batch.layout)]
        how = {"batch_size": self.batch_size, "beginning": both.beginning}
        return self._above(run_circuits(self.vlm, both.call, expanded, both.others, **how)[0])  # type: ignore[arg-type]

    def _above(self, logits: Tensor) -> Tensor:
        value = partial(_value, self.metric, self.both.batch, self.both.clean)
        above = value(logits) - value(self.both.counterfactual)
        return -above if self.metric in TOWARDS_COUNTERFACTUAL else above


@torch.no_grad()
def runs(vlm: VLM, payload: tuple[int, list[Contrast]], answers: AnswerTokens, forwards: float) -> Both:
    """The runs of both sides of one chunk, before `forwards` more in which nodes have values of either."""
    _, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts)).batches
    call, other = vlm.capture(batch.clean), vlm.capture(batch.counterfactual)
    beginning = begin(vlm, (call, other), batch.layout.prefix.stop, forwards)
    with beginning.behind(call):
        clean = vlm.run(call)
    with beginning.behind(other), vlm.record() as recording:
        counterfactual = vlm.run(other)
    return Both(batch, call, clean, counterfactual, recording.activations(), beginning)


def replacement(ablation: Ablation, counterfactual: Activations, means: Means | None, layout: Layout) -> Activations:
    """The values that nodes outside a circuit get, for the prompts of one counterfactual run."""
    if ablation == "mean":
        if means is None:
            raise InputError("Mean ablation needs the means of the nodes. Take them over the discover split's prompts.")
        mean = means.on(layout)
        heads, neurons = (
            tuple(m.to(c).expand_as(c) for m, c in zip(ours, theirs, strict=True))
            for ours, theirs in ((mean.heads, counterfactual.heads), (mean.neurons, counterfactual.neurons))
        )
        return Activations(heads, neurons)
    return counterfactual.zeros() if ablation == "zero" else counterfactual


def nothing(like: Scores, layout: Layout) -> Circuit:
    """The circuit without a node."""
    return like.top(0).expand(layout)


def _value(metric: str, batch: Batch, clean: Tensor, logits: Tensor) -> Tensor:
    return find_metric(metric)(logits, batch.answers, batch.counter_answers, clean)


@dataclass(frozen=True, eq=False)
class Measured:
    """The metric of one split's prompts: of the model and the empty circuit [n], and by ranking of circuits [size, n]."""

    model: Array
    empty: Array
    circuits: Mapping[str, Array]
    clusters: Sequence[str]
    seed: int

    @classmethod
    def of(cls, units: Sequence[dict[str, Tensor]], clusters: Sequence[str], seed: int) -> "Measured":
        joined = {name: torch.cat([unit[name] for unit in units], -1).double().cpu().numpy() for name in units[0]}
        model, empty = joined.pop("model"), joined.pop("empty")
        return cls(model, empty, joined, clusters, seed)

    def estimate(self, size: int, ranking: str = "circuit") -> Estimate:
        """Ratio of means with its interval; nan with the reason if the denominator's interval contains 0."""
        kept = self.circuits[ranking][size] - self.empty
        return ratio_of_means(kept, self.model - self.empty, self.clusters, seed=self.seed)

    def per_prompt(self, size: int) -> tuple[Estimate, int]:
        """Mean of per-prompt ratios (Paper A), and how many denominators are near 0."""
        kept = self.circuits["circuit"][size] - self.empty
        return mean_of_ratios(kept, self.model - self.empty, self.clusters, seed=self.seed)

    def median(self, size: int) -> float:
        """Median of per-prompt ratios whose denominator is not 0; nan if there are none."""
        total = self.model - self.empty
        kept = (self.circuits["circuit"][size] - self.empty)[total != 0]
        return float(np.median(kept / total[total != 0])) if len(kept) else math.nan

    def ratios(self, size: int, start: str) -> list[float]:
        """Ratio of means of every ranking whose name starts so; nan where that of the circuit is."""
        total = float((self.model - self.empty).mean()) if self.defined else math.nan
        drawn = [values[size] for name, values in self.circuits.items() if name.startswith(start)]
        return [float((values - self.empty).mean() / total) for values in drawn]

    @property
    def defined(self) -> bool:
        """Whether the denominator is surely not 0."""
        return not math.isnan(self.estimate(0).value)
