"""Gaps: how much better questions about entities are answered from text than from pictures (methods §11)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from diptych.statistics import DRAWS, Estimate, bounded_mean, paired_difference, wilcoxon
from diptych.statistics.resampling import by_cluster


@dataclass(frozen=True, eq=False)
class Gap:
    """Accuracy from `text` and from the `image`, and their `difference` (text − image), also entity by entity."""

    text: Estimate
    image: Estimate
    difference: Estimate
    differences: Float[np.ndarray, " entity"] = field(repr=False)
    questions: int

    @property
    def entities(self) -> int:
        """How many entities the estimates are of."""
        return len(self.differences)

    @cached_property
    def p(self) -> float:
        """That of Wilcoxon's signed-rank test over entities' differences (zeros: Pratt)."""
        return wilcoxon(self.differences)


def gap(
    text: ArrayLike,
    image: ArrayLike,
    entities: Sequence[str],
    *,
    bounds: tuple[float, float] = (-1, 1),
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Gap:
    """Accuracy of each entity's questions, averaged over entities, each of which counts alike.

    `text`, `image`: how right each question's answer is, from 0 to 1 [question]; `entities`: the entity of each question;
    `bounds`: what text − image cannot leave, which is 0 to 1 where every question is one that text answers right.
    Intervals are over entities: `bounded_mean` of accuracies, `paired_difference` of the gap. Raises `InputError` for
    values that are none, not finite or not of one length. Source: Cohen et al. 2412.14133, §3.
    """
    from_text, from_image = by_entity(text, entities), by_entity(image, entities)
    differences = from_text - from_image
    names = sorted(set(entities))
    estimate = partial(bounded_mean, clusters=names, draws=draws, level=level, seed=seed)
    return Gap(
        estimate(from_text),
        estimate(from_image),
        paired_difference(differences, names, bounds, level=level),
        differences,
        len(entities),
    )


def by_entity(values: ArrayLike, entities: Sequence[str]) -> Float[np.ndarray, " entity"]:
    """The mean of the values of each entity's questions; entities in alphabetical order."""
    columns, members = by_cluster(values, entities)
    return np.array([columns[0, rows].mean() for rows in members])
