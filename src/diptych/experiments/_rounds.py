"""Rounds: prompts scored a part at a time, until the circuits of two halves of them are alike."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from diptych.compare import stability
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import Order
from diptych.experiments._survey import Selection
from diptych.items import Contrast
from diptych.pictures import plain_digest
from diptych.result import Result
from diptych.run.unit import Values

FIRST = 2
"""Prompts of each fold in the first round."""
GROWTH = 1.5
"""How many times the prompts of one round the next one has."""
LEFT = "not needed for a stable circuit"


@dataclass(frozen=True)
class Rounds:
    """Score prompts until the circuits of `size` that their two halves give agree by `asked`, or until none is left.

    The halves are those of even and odd folds, which share no prompt, be it as a counterfactual (`Task.contrasts`).
    Agreement is the Jaccard index of heads or that of neurons, whichever is lower. Each half holds half of the prompts,
    so that two sets of as many prompts as are used agree by more, in expectation. `asked`: None for all prompts at once.
    """

    asked: float | None
    size: float
    folds: int
    order: Order

    def score(
        self,
        chosen: Selection[Contrast],
        values: Callable[[str, Selection[Contrast]], list[Values]],
        joined: Callable[[list[Values]], FoldScores],
    ) -> "Scored":
        """The prompts used with their values; `values` scores the prompts of one round, which has a name of its own."""
        if self.asked is None:
            return Scored(self, chosen, values("values", chosen), {})
        found: list[Values] = []
        reached: dict[int, float] = {}
        for count in counts(len(chosen.used), self.folds):
            start = max(reached, default=0)
            found += values(f"prompts-{start}-to-{count}", _part(chosen, slice(start, count), self.folds))
            reached[count] = self.agreement(joined(found))
            if reached[count] >= self.asked:
                break
        return Scored(self, first(chosen, count, self.folds), found, reached)

    def agreement(self, scores: FoldScores) -> float:
        """The lower Jaccard index of the halves' circuits; nan if a half is empty, or if no circuit holds a node."""
        if not all(scores.prompts[half::2].any() for half in (0, 1)):
            return math.nan
        halves = [range(half, len(scores.prompts), 2) for half in (0, 1)]
        found = stability([self.order(scores.mean(half)).top(self.size) for half in halves])
        return min((iou for iou, _ in found.values() if not math.isnan(iou)), default=math.nan)


@dataclass(frozen=True)
class Scored:
    """Which prompts were scored, with the values of their units, and how well halves agreed by how many there were."""

    rounds: Rounds
    chosen: Selection[Contrast]
    values: list[Values]
    reached: dict[int, float]

    def conditions(self) -> dict[str, Any]:
        """What was asked for and reached; nothing if that was all prompts."""
        if not self.reached:
            return {}
        agreed = self.reached[len(self.chosen.used)]
        return {
            "Jaccard asked for": self.rounds.asked,
            "Jaccard of halves": None if math.isnan(agreed) else agreed,
            "size it is of": self.rounds.size,
            "stopped early": LEFT in self.chosen.dropped,
        }

    def notes(self) -> list[str]:
        """How many prompts were needed, and why."""
        if not self.reached:
            return []
        count, left = len(self.chosen.used), self.chosen.dropped.get(LEFT, 0)
        used = f"{count} of {count + left} prompts were used" if left else f"All {count} prompts were used"
        course = ", ".join(f"{agreed:.2f} of {prompts}" for prompts, agreed in self.reached.items())
        return [
            f"{used}: circuits of {self.rounds.size:.1%} of the nodes from their two halves have a Jaccard index of "
            f"{self.reached[count]:.2f} (asked for: {self.rounds.asked:.2f}; of heads or neurons, whichever is lower; by "
            f"prompts: {course}). A half holds half as many prompts: another set of as many is expected to agree by more."
        ]


def counts(prompts: int, folds: int) -> Iterator[int]:
    """How many prompts are scored by the end of each round."""
    count = FIRST * folds
    while count < prompts:
        yield count
        count = math.ceil(count * GROWTH)
    yield prompts


def first(chosen: Selection[Contrast], count: int, folds: int) -> Selection[Contrast]:
    """The first prompts of the order of rounds, in the selection's own order; the others are counted as dropped."""
    left = len(chosen.used) - count
    return replace(_part(chosen, slice(count), folds), dropped=chosen.dropped | ({LEFT: left} if left else {}))


def discovered_on(chosen: Selection[Contrast], discovered: Result) -> Selection[Contrast]:
    """Those of the prompts that a result of `discover` comes from."""
    told = discovered.conditions
    if not told.get("stopped early"):
        return chosen
    return first(chosen, int(told["n discover"] or 0), int(told["folds"] or 0))


def _part(chosen: Selection[Contrast], part: slice, folds: int) -> Selection[Contrast]:
    """A part of the order of rounds, in the selection's own order."""
    kept = {contrast.clean.id for contrast in _spread(chosen, folds)[part]}
    return replace(chosen, used=tuple(contrast for contrast in chosen.used if contrast.clean.id in kept))


def _spread(chosen: Selection[Contrast], folds: int) -> list[Contrast]:
    """Prompts in an order by hash in which the first so many hold of each fold its share, to within one."""
    parts: dict[int, list[Contrast]] = {}
    for contrast in sorted(chosen.used, key=lambda one: plain_digest(["round", one.clean.id])):
        parts.setdefault(chosen.task.fold(contrast.clean, folds), []).append(contrast)
    placed = [
        ((place + 0.5) / len(part), fold, contrast)
        for fold, part in parts.items()
        for place, contrast in enumerate(part)
    ]
    return [contrast for *_, contrast in sorted(placed, key=lambda one: one[:2])]
