"""Linear probes: what can be read off states by a ridge regression, told on prompts that it has not seen (methods §11)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diptych.errors import InputError

STRENGTHS = tuple(10.0**power for power in range(-4, 4))
"""Ridge strengths tried, as multiples of the mean squared length of the standardised features."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Scores of classes, linear in the features: (features − centre) / scale · weights + bias. `strength`: of the ridge."""

    centre: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    weights: Float[Tensor, "d klass"]
    bias: Float[Tensor, " klass"]
    strength: float

    def scores(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n klass"]:
        return ((features.double() - self.centre) / self.scale) @ self.weights + self.bias

    def predict(
        self, features: Float[Tensor, "n d"], allowed: Bool[Tensor, "n klass"] | None = None
    ) -> Int[Tensor, " n"]:
        """The class of the highest score, among those allowed for each row; the first of equal ones."""
        scores = self.scores(features)
        return (scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)).argmax(-1)


def fit(features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int) -> Probe:
    """Ridge regression of one-hot labels on standardised features, in closed form; float64.

    The strength is the one of the least squared leave-one-out error, which is exact: residual / (1 − leverage). It is
    found in the space of prompts, so wide states cost no more than narrow ones.
    """
    if len(features) < 2 or len(features) != len(labels):
        raise InputError(
            f"A probe is fitted on {len(features)} states with {len(labels)} labels; expected at least 2, one label each."
        )
    centre, scale = features.double().mean(0), features.double().std(0)
    scale = scale.where(scale > 1e-9 * scale.max().clamp_min(1e-30), torch.ones_like(scale))
    given = (features.double() - centre) / scale
    wanted = torch.nn.functional.one_hot(labels, classes).double()
    bias = wanted.mean(0)
    values, vectors = torch.linalg.eigh(given @ given.T)
    values = values.clamp_min(0)
    strengths = [strength * max(float(values.mean()), 1e-30) for strength in STRENGTHS]
    best = min(strengths, key=lambda strength: _left_out_error(values, vectors, wanted - bias, strength))
    dual = vectors @ ((vectors.T @ (wanted - bias)) / (values + best)[:, None])
    return Probe(centre, scale, given.T @ dual, bias, best)


def allowed_classes(
    groups: Sequence[str], labels: Sequence[int], asked: Sequence[str], classes: int
) -> Bool[Tensor, "n klass"]:
    """For each group asked for, the classes that rows of that group have."""
    known: dict[str, set[int]] = {}
    for group, label in zip(groups, labels, strict=True):
        known.setdefault(group, set()).add(label)
    allowed = torch.zeros(len(asked), classes, dtype=torch.bool)
    for row, group in enumerate(asked):
        allowed[row, sorted(known.get(group, ()))] = True
    return allowed


def _left_out_error(values: Tensor, vectors: Tensor, wanted: Tensor, strength: float) -> float:
    """Mean squared error of each row under the regression on all others."""
    shares = values / (values + strength)
    leverage = (vectors.square() * shares).sum(1) + 1 / len(wanted)  # of the intercept too
    residual = wanted - vectors @ (shares[:, None] * (vectors.T @ wanted))
    return float((residual / (1 - leverage).clamp_min(1e-9)[:, None]).square().mean())
