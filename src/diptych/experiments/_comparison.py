"""The comparison of two circuits: its rows, from overlaps of the whole, of halves and of random circuits."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diptych.compare import MEASURED, OTHERWISE, Overlap, ceiling, highest, overlaps, possible, telling
from diptych.experiments._panels import Panel
from diptych.grid import KINDS
from diptych.paper_compat import PaperCompat
from diptych.result import Row
from diptych.statistics import fold_weights, student

BOTH = "both"

Draws = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Overlaps of the whole circuits, within each panel's halves, across panels and halves, and reweighted.

    `whole` holds those of methods §7 first, then those with positions kept or dropped the other way round. `expected`:
    IoU of random circuits for each. `reweighted`: nIoU [draw, overlap] of circuits found with other weights of the folds.
    """

    whole: Sequence[Overlap]
    expected: Sequence[float]
    halves: Sequence[Sequence[Overlap]]
    across: Sequence[Sequence[Overlap]]
    reweighted: Draws
    folds: int
    compat: PaperCompat

    @classmethod
    def of(cls, text: Panel, image: Panel, draws: int, seed: int, compat: PaperCompat) -> "Comparison":
        a, b = text.circuit(), image.circuit()
        whole, expected = [], []
        for positions in (MEASURED, OTHERWISE):
            found = overlaps(a, b, positions)
            whole += found
            expected += compat.expected(found, a, b, seed=seed)
        held = held_folds((text, image))
        return cls(
            whole,
            expected,
            halves=[overlaps(panel.circuit(panel.half(0)), panel.circuit(panel.half(1))) for panel in (text, image)],
            across=[overlaps(x.circuit(x.half(0)), y.circuit(y.half(1))) for x, y in ((text, image), (image, text))],
            reweighted=reweight(text, image, held, draws, seed, compat),
            folds=len(held),
            compat=compat,
        )

    def rows(self, draws: int, seed: int) -> Iterator[Row]:
        """A row for each segment and node kind, and for the mean of both kinds where it is defined."""
        for positions in (MEASURED, OTHERWISE):
            for segment, rule in positions.items():
                for kinds in (*((kind,) for kind in KINDS), KINDS):
                    yield self._row(segment, rule, kinds, draws, seed)

    def _row(self, segment: str, rule: str, kinds: Sequence[str], draws: int, seed: int) -> Row:
        chosen = [
            i
            for i, part in enumerate(self.whole)
            if (part.segment, part.positions) == (segment, rule) and part.kind in kinds
        ]
        found = [self.whole[i] for i in chosen]
        known = [i for i in chosen if math.isfinite(self._above(i, self.whole[i].iou))] or chosen
        value = _defined([self._above(i, self.whole[i].iou) for i in known])
        drawn = {i: _shuffled(self.whole[i].draws(draws, seed), seed + chosen.index(i)) for i in known}
        null = [np.array([self._above(i, float(one)) for one in drawn[i]]) for i in known]
        matched = _defined([self.whole[i].niou for i in known])
        above = _mean([_shuffled(self.whole[i].null(draws, seed), seed + chosen.index(i)) for i in known])
        return {
            "segment": segment,
            "positions": rule,
            "kind": kinds[0] if len(kinds) == 1 else BOTH,
            "nodes text": sum(part.pairs[-1].a for part in found),
            "nodes image": sum(part.pairs[0].b for part in found),
            "IoU": float(np.mean([self.whole[i].iou for i in known])),
            "expected IoU": float(np.mean([self.expected[i] for i in known])),
            "mean IoU of draws": float(np.mean(list(drawn.values()))),
            "nIoU": value,
            **self._interval(known, value),
            "highest possible nIoU": _defined([self._above(i, possible(self.whole[i])) for i in known]),
            "share of the possible": self._share(known) if math.isfinite(value) else math.nan,
            "null 95%": _quantile(_mean(null), 0.95),
            "percentile in null": float((above < matched - 1e-9).mean()) if math.isfinite(value) else math.nan,
            **self._halves(known),
        }

    def _above(self, index: int, iou: float) -> float:
        """nIoU of an IoU in the place of one of `whole`; nan where the sizes alone decide it."""
        return above(self.whole[index], iou, self.expected[index], self.compat)

    def _share(self, known: Sequence[int]) -> float:
        """nIoU of methods §7 as a share of that of the closest circuits of these sizes."""
        parts = [self.whole[i] for i in known]
        return _defined([part.niou for part in parts]) / _defined(list(map(highest, parts)))

    def _interval(self, chosen: Sequence[int], value: float) -> dict[str, float]:
        """Of the overlaps of methods §7 alone; the others have none. No nIoU is above 1, that of identical circuits."""
        if max(chosen) >= self.reweighted.shape[1]:
            return {"low": math.nan, "high": math.nan}
        low, high = student(value, self.reweighted[:, list(chosen)].mean(1), self.folds)
        return {"low": low, "high": min(high, 1.0) if math.isfinite(high) else high}

    def _halves(self, chosen: Sequence[int]) -> dict[str, float]:
        if max(chosen) >= len(self.halves[0]):
            return dict.fromkeys(("split half text", "split half image", "of ceiling"), math.nan)
        """Undefined where a kind's is: beside an nIoU of both kinds, that of one would be another number."""
        within = [
            float(np.mean([above(half[i], half[i].iou, half[i].expected, self.compat) for i in chosen]))
            for half in self.halves
        ]
        share = float(np.mean([self._ceiling(i) for i in chosen]))
        return {"split half text": within[0], "split half image": within[1], "of ceiling": share}

    def _ceiling(self, index: int) -> float:
        """Of the halves' overlaps; nan if the sizes decide one of them."""
        across, within = ([part[index] for part in parts] for parts in (self.across, self.halves))
        if not all(map(telling, [*across, *within])):
            return math.nan
        iou, expected = (float(np.mean([getattr(part, name) for part in across])) for name in ("iou", "expected"))
        return ceiling(iou, within[0].iou, within[1].iou, expected)


def above(part: Overlap, iou: float, expected: float, compat: PaperCompat) -> float:
    """nIoU of an IoU in the place of an overlap; nan where the sizes alone decide it."""
    return compat.normalise(iou, expected) if telling(part) else math.nan


def held_folds(both: Sequence[Panel]) -> list[int]:
    """The folds that hold prompts in both panels."""
    return [fold for fold in range(len(both[0].scores.prompts)) if all(p.scores.prompts[fold] > 0 for p in both)]


def reweight(text: Panel, image: Panel, held: Sequence[int], draws: int, seed: int, compat: PaperCompat) -> Draws:
    """nIoU [draw, overlap] of circuits found with random weights of the folds, the same in both panels.

    No draws if less than three folds hold prompts.
    """
    found = []
    for drawn in fold_weights(len(held), draws, seed) if len(held) > 2 else ():
        weights = np.zeros(len(text.scores.prompts))
        weights[list(held)] = drawn
        a, b = (panel.weighted(weights.tolist()) for panel in (text, image))
        parts = overlaps(a, b)
        expected = compat.expected(parts, a, b, seed=seed)
        found.append([above(part, part.iou, chance, compat) for part, chance in zip(parts, expected, strict=True)])
    return np.array(found).reshape(-1, len(MEASURED) * len(KINDS))


def _mean(columns: Sequence[Draws]) -> Draws:
    """Mean over node kinds, leaving out those where it is undefined."""
    stacked = np.stack(columns)
    defined = np.isfinite(stacked)
    total = np.where(defined, stacked, 0).sum(0)
    return np.where(defined.any(0), total / np.maximum(defined.sum(0), 1), math.nan)


def _defined(values: Sequence[float]) -> float:
    return float(_mean([np.array([value]) for value in values])[0])


def _shuffled(draws: Draws, seed: int) -> Draws:
    """Heads and neurons of random circuits are drawn independently."""
    return np.random.default_rng(seed).permutation(draws)


def _quantile(draws: Draws, level: float) -> float:
    defined = draws[np.isfinite(draws)]
    return float(np.quantile(defined, level)) if defined.size else math.nan
