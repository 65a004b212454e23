"""Gradients at points of the path from the counterfactual to the clean inputs, averaged (methods §4)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diptych.attribution._directions import MEMORY, Directions, Kept, Memory, Streamed
from diptych.attribution._rules import Points
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.grid import Grid, Scores
from diptych.metrics import Metric
from diptych.models.beginning import begin
from diptych.models.calls import DecoderCall, Path
from diptych.models.hooks import recomputed, untouched
from diptych.models.sites import Site
from diptych.models.vlm import VLM

Reduction = Literal["l1", "abs", "signed"]
REDUCTIONS = ("l1", "abs", "signed")

POSITIONS = 300
"""Of runs so long, twice as many rows take twice as long; shorter ones leave a processor idle (decision 0035)."""

Propagation = Callable[[VLM], AbstractContextManager[None]]
"""While open, a backward pass propagates by other rules than the gradient's (RelP)."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Scores of one batch, and how far the integral is from complete.

    `scores`: mean over the batch's prompts. `completeness`: |Σ over inputs − (m(x) − m(x'))| / |m(x) − m(x')| per prompt
    (nan where no integral was taken). `effect`: m(x) − m(x') per prompt. `steps`: gradient points used per prompt.
    """

    scores: Scores
    completeness: Float[Tensor, " batch"]
    effect: Float[Tensor, " batch"]
    steps: Int[Tensor, " batch"]


class Integral:
    """Running sums of gradients over path points, per prompt, in float32; multiplied by the directions at the end.

    `memory="low"` holds no run's activations: directions are made again at the end, and layers in the backward pass.
    It costs 2F + k·F more. `steps`: how many points will be added at least; with many, the prefix of the prompts is
    computed once (`models.beginning`), where gradients are not taken: its nodes have no direction. `interpolate_images=
    False` is the reference code's path (methods §14).
    """

    def __init__(
        self,
        vlm: VLM,
        batch: Batch,
        metric: Metric,
        *,
        memory: Memory = "high",
        steps: int = 1,
        at_once: int | None = None,
        interpolate_images: bool = True,
        propagation: Propagation = lambda vlm: nullcontext(),
    ) -> None:
        self.vlm, self.batch, self.metric, self.propagation = vlm, batch, metric, propagation
        self.recomputes = _low(memory)
        if at_once is not None and at_once < 1:
            raise InputError(f"{at_once} path points are to share a run; expected at least 1.")
        clean, counterfactual = vlm.capture(batch.clean), vlm.capture(batch.counterfactual)
        self.path = Path.between(clean, counterfactual)
        forwards = 2 + 2 * steps  # a backward pass to activations takes at least as long as a forward
        self.beginning = begin(vlm, (clean, counterfactual), batch.layout.prefix.stop, forwards)
        shared = points_at_once(len(batch) * batch.layout.length) if untouched(vlm.model) else 1
        self.at_once = at_once or shared
        with torch.no_grad():
            self.directions, self.clean, other = self._compare(clean, counterfactual)
            everyone = list(range(len(batch)))
            self.effect = (self._value(self.clean, everyone) - self._value(other, everyone)).cpu()
        if not interpolate_images:
            self.path = self.path.holding(vlm.image_positions(batch.clean))
        self.gradients: dict[Site, Tensor] = {}
        self.inputs = torch.zeros(len(batch), dtype=self.effect.dtype)
        self.weights = torch.zeros(len(batch), dtype=self.effect.dtype)
        self.steps = torch.zeros(len(batch), dtype=torch.int64)

    def add(self, points: Points, rows: list[int]) -> None:
        """Add the gradients of the given prompts at the given points α of the path."""
        path, alphas = self.path.take(rows), list(points)
        for start in range(0, len(alphas), self.at_once):
            some = alphas[start : start + self.at_once]
            self._add(path, [float(alpha) for alpha in some], [points[alpha] for alpha in some], rows)
        self.steps[rows] += len(points)
        self.weights[rows] += sum(points.values())

    def completeness(self) -> Float[Tensor, " batch"]:
        """Relative completeness error per prompt so far."""
        return (self.inputs / self.weights - self.effect).abs() / self.effect.abs().clamp_min(1e-9)

    def products(self, look: Callable[[Site, Tensor], None]) -> None:
        """Call `look` with each site and its direction × mean gradient, [batch, pos, head, d_head] or [batch, pos, neuron]."""

        def multiply(site: Site, direction: Tensor) -> None:
            if site in self.gradients:
                weights = self.weights.to(direction).view(-1, *[1] * (direction.ndim - 1))
                look(site, (direction * self.gradients[site]).div_(weights))

        self.directions.visit(multiply)

    def result(self, reduction: Reduction) -> Attribution:
        """The scores: mean over steps, head width reduced, absolute value per prompt (unless signed), mean over prompts."""
        if reduction not in REDUCTIONS:
            raise InputError(f"No reduction named '{reduction}'. Known: {', '.join(REDUCTIONS)}.")
        sites = self.vlm.sites
        heads, neurons = (
            torch.zeros(len(kind), self.batch.layout.length, kind[0].count, dtype=self.effect.dtype)
            for kind in (sites.heads, sites.neurons)
        )
        scores = {"heads": heads, "neurons": neurons}

        def reduce(site: Site, products: Tensor) -> None:
            # a site made of parts is seen part by part
            scores[site.kind][site.layer][self.beginning.positions] += _reduce(products, reduction).mean(0).cpu()

        self.products(reduce)
        grid = Grid(heads, neurons, self.batch.layout, self.vlm.digest, sites.there)
        return Attribution(grid, self.completeness(), self.effect, self.steps)

    def _add(self, path: Path, alphas: Sequence[float], weights: Sequence[float], rows: list[int]) -> None:
        """One run of the given prompts at some points."""
        call, entries = path.at(*alphas)
        times = len(alphas)
        layers = self.vlm.layers if self.recomputes else ()
        watching = self.vlm.watch_gradients({site: self._sum(site, rows, times) for site in self.vlm.sites})
        behind = self.beginning.behind(call)
        with torch.enable_grad(), self.propagation(self.vlm), behind, recomputed(layers), watching:
            value = self._value(self.vlm.run(call), rows * times)
            _require_gradient(value)
            by_row = torch.tensor(weights).repeat_interleave(len(rows)).to(value)
            gradients = torch.autograd.grad((value * by_row).sum(), entries)
        for name, gradient, step in zip(path.entries, gradients, path.steps(), strict=True):
            dim = call.batch_dims[name]
            slopes = _by_point(gradient.to(self.inputs.dtype), dim, times) * _by_point(
                step.to(self.inputs.dtype), dim, 1
            )
            self.inputs[rows] += _per_prompt(slopes.sum(0), dim, len(rows))

    def _compare(self, clean: DecoderCall, counterfactual: DecoderCall) -> tuple[Directions, Tensor, Tensor]:
        """Directions, and the logits of the clean and the counterfactual run."""
        vlm, behind = self.vlm, self.beginning.behind
        if self.recomputes:
            with behind(clean):
                logits, other = vlm.run(clean), vlm.run(counterfactual)
            return Streamed(vlm, clean.beside(counterfactual), behind), logits, other
        with behind(clean), vlm.record() as recording:
            logits = vlm.run(clean)
        with behind(counterfactual), vlm.record() as others:
            other = vlm.run(counterfactual)
        return Kept(vlm, others.activations() - recording.activations()), logits, other

    def _value(self, logits: Tensor, rows: list[int]) -> Tensor:
        return self.metric(logits, self.batch.answers[rows], self.batch.counter_answers[rows], self.clean[rows])

    def _sum(self, site: Site, rows: list[int], times: int) -> Callable[[Tensor], None]:
        """Adds a gradient to the site's sum as the backward pass reaches it: no gradient is kept."""

        def add(gradient: Tensor) -> None:
            for by_prompt in gradient.to(self.inputs.dtype).chunk(times):
                if site not in self.gradients:
                    self.gradients[site] = by_prompt.new_zeros(len(self.batch), *by_prompt.shape[1:])
                _add_rows(self.gradients[site], rows, by_prompt)

        return add


def points_at_once(positions: int) -> int:
    """How many path points share a run of a batch of so many positions, if nothing else is said and nobody hooks the model."""
    return max(1, POSITIONS // positions)


def _low(memory: Memory) -> bool:
    if memory not in MEMORY:
        raise InputError(f"No memory setting named '{memory}'. Known: {', '.join(MEMORY)}.")
    return memory == "low"


def _require_gradient(value: Tensor) -> None:
    if not value.requires_grad:
        raise InputError(
            "The metric has no gradient, so attribution has nothing to follow. Use `exact`, or a metric that is smooth in "
            "the logits."
        )


def _by_point(values: Tensor, dim: int | None, times: int) -> Tensor:
    """[..., times·prompts·n, ...] → [times, ..., prompts·n, ...]."""
    assert dim is not None  # an entry differs between two prompts, so it is stacked by prompt
    return values.unflatten(dim, (times, -1)).movedim(dim, 0)


def _per_prompt(values: Tensor, dim: int | None, prompts: int) -> Tensor:
    assert dim is not None  # as above
    return values.unflatten(dim, (prompts, -1)).movedim(dim, 0).flatten(1).sum(1).cpu()


def _add_rows(totals: Tensor, rows: list[int], values: Tensor) -> None:
    """Add values to some rows of the totals, in place."""
    if len(rows) == len(totals):  # mostly all of them, in their order: several times as fast
        totals.add_(values)
    else:
        totals.index_add_(0, torch.tensor(rows, device=totals.device), values)


def _reduce(products: Tensor, reduction: Reduction) -> Tensor:
    """Heads lose their width; unless signed, absolute values. What is given is overwritten."""
    width = products.ndim == 4
    if reduction == "l1":
        return products.abs_().sum(-1) if width else products.abs_()
    summed = products.sum(-1) if width else products
    return summed if reduction == "signed" else summed.abs_()
