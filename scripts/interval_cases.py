"""Intervals and the simulated data sets that they are tried on, with the value planted there.

To add an interval, write a function of a seed and a number of clusters that makes one data set and returns its interval,
and add a `Case` to CASES; then run `python scripts/simulate_intervals.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from diptych.compare import overlaps
from diptych.experiments import _comparison, _interchange
from diptych.experiments._folds import FoldScores
from diptych.experiments._panels import Panel
from diptych.gaps import by_entity, gap
from diptych.grid import Grid
from diptych.layout import Layout
from diptych.paper_compat import PaperCompat
from diptych.statistics import bounded_mean, cluster_bootstrap, paired_difference, ratio_of_means, student

SIMULATIONS = 1000
LEVEL = 0.95

Chance = np.random.Generator
Interval = tuple[float, float]
Code = Callable[..., object]
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Case:
    """An interval: how to make one from simulated data, the value planted there, and in which code it is computed.

    `few`: numbers of clusters of which it is only told how often the interval holds the value.
    """

    name: str
    about: str
    interval: Callable[[int, int], Interval]
    planted: float | Callable[[int], float]
    code: Sequence[Code]
    clusters: tuple[int, ...] = (12, 24, 48, 96)
    few: tuple[int, ...] = ()


def prompts(chance: Chance, clusters: int) -> tuple[Array, list[str]]:
    """An effect of mean 0 per prompt, half of its variance shared within clusters of 1 to 3 prompts; and their names."""
    index = np.repeat(np.arange(clusters), chance.integers(1, 4, clusters))
    values = (chance.normal(size=clusters)[index] + chance.normal(size=len(index))) / np.sqrt(2)
    return values, [str(cluster) for cluster in index]


def mean_interval(seed: int, clusters: int) -> Interval:
    values, names = prompts(np.random.default_rng([seed, clusters]), clusters)
    found = cluster_bootstrap(values, names, seed=seed)
    return found.low, found.high


RIGHT, ALIKE = 0.96, 0.3
"""Share of prompts answered right, and the correlation of two answers of one cluster."""


def share_interval(seed: int, clusters: int) -> Interval:
    """Of an accuracy: clusters of 1 to 3 prompts, some easier than others."""
    chance = np.random.default_rng([seed, clusters])
    sizes = chance.integers(1, 4, clusters)
    weight = 1 / ALIKE - 1
    easy = chance.beta(RIGHT * weight, (1 - RIGHT) * weight, clusters).repeat(sizes)
    found = bounded_mean(
        chance.random(sizes.sum()) < easy, [str(one) for one in np.arange(clusters).repeat(sizes)], seed=seed
    )
    return found.low, found.high


HELPED, HURT = 0.06, 0.02
"""Shares of prompts that are answered right only with a patch, and only without it."""


def gain_interval(seed: int, clusters: int) -> Interval:
    """Of a gain in accuracy on the same prompts."""
    chance = np.random.default_rng([seed, clusters])
    sizes = chance.integers(1, 4, clusters)
    gains = chance.choice([1.0, -1.0, 0.0], p=[HELPED, HURT, 1 - HELPED - HURT], size=sizes.sum())
    found = paired_difference(gains, [str(one) for one in np.arange(clusters).repeat(sizes)])
    return found.low, found.high


RARE = 0.03
"""Share of prompts that a patch helps where it hurts none."""


def rare_gain_interval(seed: int, clusters: int) -> Interval:
    """Of a small gain that no prompt works against, one prompt per cluster."""
    chance = np.random.default_rng([seed, clusters])
    found = paired_difference(chance.random(clusters) < RARE, list(map(str, range(clusters))))
    return found.low, found.high


def faithfulness(seed: int, clusters: int) -> tuple[Array, Array, list[str]]:
    """Of a circuit .7: effects of the model are positive and skewed, the circuit's part of them is noisy."""
    chance = np.random.default_rng([seed, clusters])
    shared, names = prompts(chance, clusters)
    model = np.exp(0.5 * shared) + 1 + 0.5 * chance.normal(size=len(names))
    return 0.7 * model + 0.5 * chance.normal(size=len(names)), model, names


def ratio_interval(seed: int, clusters: int) -> Interval:
    found = ratio_of_means(*faithfulness(seed, clusters), seed=seed)
    return found.low, found.high


OWN, SWAPPED, RANDOM = 0.8, 0.65, 0.2
"""Faithfulness of the circuit, of the swapped one, and of random nodes on average."""


def effects(chance: Chance, clusters: int) -> _interchange.Effects:
    """One direction: 20 random circuits whose own faithfulness differs by .05, all noisy by prompt."""
    shared, names = prompts(chance, clusters)
    model = np.exp(0.5 * shared) + 1
    draws = RANDOM + 0.05 * chance.normal(size=(20, 1))
    shares = {"own": np.array([[OWN]]), "other": np.array([[SWAPPED]]), "random": draws}
    cases = {name: share * model + 0.3 * chance.normal(size=(len(share), len(names))) for name, share in shares.items()}
    return _interchange.Effects(model, np.zeros(len(names)), cases, names)


def swap_interval(seed: int, clusters: int) -> Interval:
    chance = np.random.default_rng([seed, clusters])
    both = [effects(chance, clusters), effects(chance, clusters)]
    found = _interchange.Interchange(both, seed).normalised("other", "random")
    return found.low, found.high


FOLDS, WEIGHTS, SIZE = 8, 100, 0.15
TEXT, IMAGE = Layout.of((1, 3), 6), Layout.of((1, 5), 8)


@cache
def truth() -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Mean scores of the heads and neurons of two panels, alike where they are the same node; skewed as scores are."""
    chance = torch.Generator().manual_seed(0)
    shared = [torch.randn(4, 1, width, generator=chance) for width in (8, 32)]

    def panel(layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
        noise = (torch.randn(4, layout.length, base.shape[2], generator=chance) for base in shared)
        heads, neurons = (torch.exp(base + 0.7 * own) for base, own in zip(shared, noise, strict=True))
        return heads, neurons

    return panel(TEXT), panel(IMAGE)


def discovered(chance: Chance) -> tuple[Panel, Panel]:
    """Both panels' scores by fold: as variable between folds as they are large."""
    text, image = (
        Panel(modality, FoldScores(*map(noisy, means), torch.ones(FOLDS), layout, "m"), SIZE, {})
        for modality, means, layout, noisy in (
            ("text", truth()[0], TEXT, lambda mean: _folds(mean, chance)),
            ("image", truth()[1], IMAGE, lambda mean: _folds(mean, chance)),
        )
    )
    return text, image


def _folds(mean: torch.Tensor, chance: Chance) -> torch.Tensor:
    return (mean * (1 + torch.from_numpy(chance.normal(size=(FOLDS, *mean.shape))))).float()


def query_niou(text: Grid, image: Grid) -> float:
    """nIoU of the query, mean of heads and neurons: the row of the table."""
    return float(np.mean([part.niou for part in overlaps(text, image) if part.segment == "query"]))


@cache
def overlap_interval(seed: int, clusters: int) -> Interval:
    text, image = discovered(np.random.default_rng([seed, clusters]))
    drawn = _comparison.reweight(text, image, range(clusters), WEIGHTS, seed, PaperCompat())
    return student(query_niou(text.circuit(), image.circuit()), drawn[:, 2:4].mean(1), clusters)


@cache
def of_as_many(clusters: int) -> float:
    """The mean nIoU of circuits found on as many prompts: what the interval is for."""
    chance = np.random.default_rng(1)
    return float(np.mean([query_niou(*(p.circuit() for p in discovered(chance))) for _ in range(4 * SIMULATIONS)]))


def of_population(clusters: int) -> float:
    """The nIoU of circuits found on all prompts there could be, which the interval does not claim to hold."""
    text, image = (Grid(*means, layout, "m").top(SIZE) for means, layout in zip(truth(), (TEXT, IMAGE), strict=True))
    return query_niou(text, image)


KNOWN, LOST = 0.8, 0.25
"""Share of questions about entities that are answered right by name, and what of it is lost by picture."""


def gap_interval(seed: int, clusters: int) -> Interval:
    """Of entities with three or four questions each, some better known than others."""
    chance = np.random.default_rng([seed, clusters])
    questions = chance.integers(3, 5, size=clusters)
    known = chance.beta(5 * KNOWN, 5 - 5 * KNOWN, size=clusters).repeat(questions)
    names = [str(entity) for entity in np.arange(clusters).repeat(questions)]
    right = chance.random((2, known.size)) < (known, known * (1 - LOST))
    found = gap(right[0], right[1], names, seed=seed).difference
    return found.low, found.high


OVERLAP = (_comparison.reweight, student)
CASES = (
    Case("mean", "percentiles, expanded for few clusters", mean_interval, 0.0, (cluster_bootstrap,)),
    Case(
        "accuracy",
        "bounded_mean of a share near 1",
        share_interval,
        RIGHT,
        (bounded_mean,),
        (192,),
        (12, 24, 48, 96),
    ),
    Case(
        "gain in accuracy",
        "paired_difference, few of them not 0",
        gain_interval,
        HELPED - HURT,
        (paired_difference,),
        (96, 192),
        (12, 24, 48),
    ),
    Case(
        "gain in accuracy, small and of one sign",
        "paired_difference, three of a hundred 1 and the others 0",
        rare_gain_interval,
        RARE,
        (paired_difference,),
        clusters=(200,),
        few=(60, 100),
    ),
    Case(
        "ratio of means", "faithfulness, percentiles expanded for few clusters", ratio_interval, 0.7, (ratio_of_means,)
    ),
    Case(
        "normalised swap",
        "(F_swap − F_random)/(F_own − F_random), two directions, 20 random circuits",
        swap_interval,
        (SWAPPED - RANDOM) / (OWN - RANDOM),
        (_interchange.Interchange,),
    ),
    Case(
        "overlap",
        "nIoU of circuits found on as many prompts (clusters: folds)",
        overlap_interval,
        of_as_many,
        OVERLAP,
        clusters=(FOLDS,),
    ),
    Case(
        "overlap, of circuits found on all prompts there could be",
        "the same interval, which is not for this value (clusters: folds)",
        overlap_interval,
        of_population,
        OVERLAP,
        clusters=(),
        few=(FOLDS,),
    ),
    Case(
        "entity gap",
        "mean over entities of text − image, 3 or 4 questions each (clusters: entities)",
        gap_interval,
        KNOWN * LOST,
        (gap, by_entity, paired_difference),
        clusters=(60, 180),
        few=(12, 20),
    ),
)
