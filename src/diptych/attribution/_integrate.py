"""Gradients at points of the path from the counterfactual to the clean inputs, averaged (methods §4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diptych.activations import Activations
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.grid import Grid, Scores
from diptych.metrics import Metric
from diptych.models.calls import DecoderCall, Path
from diptych.models.sites import Site
from diptych.models.vlm import VLM, Edit

Reduction = Literal["l1", "abs", "signed"]
REDUCTIONS = ("l1", "abs", "signed")


@dataclass(frozen=True, eq=False)
class Attribution:
    """Scores of one batch, and how far the integral is from complete.

    `scores`: mean over the batch's prompts. `completeness`: |Σ over inputs − (m(x) − m(x'))| / |m(x) − m(x')| per prompt.
    `effect`: m(x) − m(x') per prompt. `steps`: gradient points used per prompt.
    """

    scores: Scores
    completeness: Float[Tensor, " batch"]
    effect: Float[Tensor, " batch"]
    steps: Int[Tensor, " batch"]


class Integral:
    """Running sums of direction × gradient over path points, per prompt, in float32."""

    def __init__(self, vlm: VLM, batch: Batch, metric: Metric) -> None:
        self.vlm, self.batch, self.metric = vlm, batch, metric
        clean, counterfactual = vlm.capture(batch.clean), vlm.capture(batch.counterfactual)
        with torch.no_grad():
            values, self.clean = self._measured(clean)
            other, at_counterfactual = self._measured(counterfactual)
            everyone = list(range(len(batch)))
            effect = self._value(self.clean, everyone) - self._value(at_counterfactual, everyone)
        self.direction = other - values
        self.effect = effect.cpu()
        self.path = Path.between(clean, counterfactual)
        self.products = self.direction.zeros()
        self.inputs = torch.zeros(len(batch), dtype=self.effect.dtype)
        self.steps = torch.zeros(len(batch), dtype=torch.int64)

    def add(self, points: Sequence[Fraction], rows: list[int]) -> None:
        """Add the gradients of the given prompts at the given points α of the path."""
        path = self.path.take(rows)
        for alpha in points:
            call, entries = path.at(float(alpha))
            with torch.enable_grad(), self.vlm.edit_inputs(self._streams(rows)):
                value = self._value(self.vlm.run(call), rows)
                gradients = torch.autograd.grad(value.sum(), entries)
            for name, gradient, step in zip(path.entries, gradients, path.steps(), strict=True):
                self.inputs[rows] += _per_prompt(gradient.float() * step.float(), call.batch_dims[name], len(rows))
        self.steps[rows] += len(points)

    def completeness(self) -> Float[Tensor, " batch"]:
        """Relative completeness error per prompt so far."""
        return (self.inputs / self.steps - self.effect).abs() / self.effect.abs().clamp_min(1e-9)

    def result(self, reduction: Reduction) -> Attribution:
        """The scores: mean over steps, head width reduced, absolute value per prompt (unless signed), mean over prompts."""
        if reduction not in REDUCTIONS:
            raise InputError(f"No reduction named '{reduction}'. Known: {', '.join(REDUCTIONS)}.")
        heads = torch.stack([_reduce_heads(self._averaged(p), reduction).mean(0).cpu() for p in self.products.heads])
        neurons = torch.stack([_magnitude(self._averaged(p), reduction).mean(0).cpu() for p in self.products.neurons])
        scores = Grid(heads, neurons, self.batch.layout, self.vlm.digest, self.vlm.sites.there)
        return Attribution(scores, self.completeness(), self.effect, self.steps)

    def _measured(self, call: DecoderCall) -> tuple[Activations, Tensor]:
        with self.vlm.record() as recording:
            logits = self.vlm.run(call)
        return recording.activations(), logits

    def _value(self, logits: Tensor, rows: list[int]) -> Tensor:
        return self.metric(logits, self.batch.answers[rows], self.batch.counter_answers[rows], self.clean[rows])

    def _streams(self, rows: list[int]) -> dict[Site, Edit]:
        """Hooks that add direction × gradient to the sums as the backward pass reaches each site: no gradient is kept."""

        def stream(total: Tensor, direction: Tensor) -> Edit:
            index = torch.tensor(rows, device=direction.device)

            def accumulate(gradient: Tensor) -> None:
                total.index_add_(0, index, direction[index] * gradient.to(direction))

            def watch(live: Tensor) -> Tensor:
                live.register_hook(accumulate)
                return live

            return watch

        sites = self.vlm.sites
        heads = zip(sites.heads, self.products.heads, self.direction.heads, strict=True)
        neurons = zip(sites.neurons, self.products.neurons, self.direction.neurons, strict=True)
        return {site: stream(total, direction) for site, total, direction in (*heads, *neurons)}

    def _averaged(self, total: Tensor) -> Tensor:
        return total / self.steps.to(total).view(-1, *[1] * (total.ndim - 1))


def midpoints(steps: int) -> list[Fraction]:
    """α_i = (i − ½)/k; tripling k keeps the old points."""
    return [Fraction(2 * i - 1, 2 * steps) for i in range(1, steps + 1)]


def right_points(steps: int) -> list[Fraction]:
    """α_i = i/k (Paper A, eq. 1); doubling k keeps the old points."""
    return [Fraction(i, steps) for i in range(1, steps + 1)]


def _per_prompt(values: Tensor, dim: int | None, prompts: int) -> Tensor:
    assert dim is not None  # an entry differs between two prompts, so it is stacked by prompt
    return values.unflatten(dim, (prompts, -1)).movedim(dim, 0).flatten(1).sum(1).cpu()


def _reduce_heads(products: Tensor, reduction: Reduction) -> Tensor:
    return products.abs().sum(-1) if reduction == "l1" else _magnitude(products.sum(-1), reduction)


def _magnitude(products: Tensor, reduction: Reduction) -> Tensor:
    return products if reduction == "signed" else products.abs()
