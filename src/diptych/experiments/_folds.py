"""Folds: what `discover` keeps of its scores, by part of its contrasts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diptych.errors import InputError
from diptych.grid import Scores
from diptych.layout import Layout
from diptych.result import Result
from diptych.run import Run
from diptych.there import PerLayer


@dataclass(frozen=True, eq=False)
class FoldScores:
    """A `discover` result's scores by fold of its contrasts, so that parts of them can be compared and resampled."""

    heads: Float[Tensor, "fold layer pos head"]
    neurons: Float[Tensor, "fold layer pos neuron"]
    prompts: Int[Tensor, " fold"]  # how many contrasts each fold holds
    layout: Layout
    model: str
    there: tuple[PerLayer, PerLayer] = ((), ())  # as in a grid

    @classmethod
    def of(cls, run: Run, result: Result) -> "FoldScores":
        grids = run.grids(result)
        layout = Layout.from_json(json.loads(str(result.conditions["layout"])))
        return cls.stored(grids, layout, str(result.conditions["model_digest"]))

    @classmethod
    def stored(cls, grids: Mapping[str, Tensor], layout: Layout, model: str) -> "FoldScores":
        """From the tensors that `discover` keeps."""
        there = tuple(grids["there"][0].tolist()), tuple(grids["there"][1].tolist())
        return cls(grids["heads"], grids["neurons"], grids["prompts"], layout, model, there)

    def mean(self, folds: Sequence[int] | None = None) -> Scores:
        """Mean over the prompts of the given folds (repeats count twice; all folds by default)."""
        chosen = range(len(self.prompts)) if folds is None else folds
        weights = torch.bincount(torch.tensor(list(chosen)), minlength=len(self.prompts)) * self.prompts
        if not weights.any():
            raise InputError(
                f"Folds {list(chosen)} hold none of the {int(self.prompts.sum())} contrasts. Use more items per split."
            )
        return self._summed(weights / weights.sum())

    def weighted(self, weights: Sequence[float]) -> Scores:
        """Mean over all prompts, those of each fold weighing as given."""
        shares = torch.tensor(weights, dtype=torch.float32) * self.prompts
        return self._summed(shares / shares.sum())

    def _summed(self, shares: Float[Tensor, " fold"]) -> Scores:
        heads, neurons = (torch.einsum("f,flpn->lpn", shares, values) for values in (self.heads, self.neurons))
        return Scores(heads, neurons, self.layout, self.model, self.there)
