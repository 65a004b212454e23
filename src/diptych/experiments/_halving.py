"""Halving: a unit's work, done in smaller parts as long as it does not fit into memory."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from diptych.models.memory import fitting
from diptych.models.vlm import VLM
from diptych.run.unit import AT_ONCE, Values

Join = Callable[[Sequence[Values]], Values]


@dataclass(frozen=True)
class Halving:
    """`work` on a fold and its prompts; in parts of half as many prompts, as often as memory runs out.

    `join` makes the values of the parts those of the whole. A work that runs its prompts several times at once takes
    `batch_size`, and then gets that of the parts. What did not fit at once is told by `AT_ONCE`.
    """

    work: Callable[..., Values]
    join: Join

    def __call__(self, vlm: VLM, payload: tuple[int, Sequence[Any]]) -> Values:
        fold, prompts = payload
        repeats = "batch_size" in inspect.signature(self.work).parameters

        def attempt(size: int) -> Values:
            if size == len(prompts):
                return self.work(vlm, payload)
            less = {"batch_size": size} if repeats else {}
            starts = range(0, len(prompts), size)
            return self.join([self.work(vlm, (fold, prompts[start : start + size]), **less) for start in starts])

        found, size = fitting(attempt, len(prompts))
        return found | ({AT_ONCE: torch.tensor(size)} if size < len(prompts) else {})


@dataclass(frozen=True)
class Along:
    """Join values along a dimension of the prompts; those named `same` are the same in every part."""

    dim: int
    same: tuple[str, ...] = ()

    def __call__(self, parts: Sequence[Values]) -> Values:
        first = parts[0]
        return {n: first[n] if n in self.same else torch.cat([part[n] for part in parts], self.dim) for n in first}
