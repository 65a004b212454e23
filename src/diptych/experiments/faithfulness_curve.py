"""Faithfulness curve: how small a circuit still does the task, chosen on select and reported on test."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from diptych.compare import stability
from diptych.errors import InputError
from diptych.experiments._curve import areas, curves, notes, row, said_areas, summary
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import Ablation, Order
from diptych.experiments._parameters import Count, Halvings, MetricName, Options, Positions, Seed, Several, Share, Sizes
from diptych.experiments._ranked import Ranked, measured, rankings
from diptych.experiments._survey import Selection
from diptych.faithfulness import bisect, minimal_size
from diptych.items import Contrast, Modality
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, Estimate

VERSION = 4
USES = ("accuracy", "discover")
SIZES = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


def faithfulness_curve(
    run: Run,
    *,
    modality: Modality = "image",
    sizes: Sizes = SIZES,
    threshold: Share = 0.8,
    halvings: Halvings = 3,
    metric: MetricName = "logit_diff",
    ablation: Ablation = "counterfactual",
    random_circuits: Count = 3,
    rediscoveries: Several = 20,
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """F = (m(circuit) − m(empty))/(m(model) − m(empty)) over circuit size, everything outside ablated.

    The minimal circuit is the smallest size whose F on *select*, and that of all larger sizes, is at least `threshold`;
    the gap to the next smaller of `sizes` is then halved `halvings` times. `ablation`: what a node outside becomes: its
    value in the counterfactual run, 0, or its mean over the clean prompts that the circuit was discovered on.
    `rediscoveries`: circuits found anew on resampled folds, for the minimal circuit's stability. `discovery`: parameters
    of `discover` that differ from their defaults, such as `{"method": "ap"}`. `positions`: what a position is if prompts
    differ in length; sizes are shares of the nodes at these positions.
    """
    if list(sizes) != sorted(set(sizes)) or sizes[-1] != 1:
        raise InputError(f"sizes are {sizes}; expected increasing fractions that end with 1.0.")
    asked: Options = {"metric": metric, "seed": seed, "positions": positions} | discovery
    ranked = Ranked.of(run, modality, asked, seed)
    work = ranked.work(run, ablation, metric)
    select = _Select(run, work, ranked.chosen["select"], ranked.main)
    size = select.minimal(sizes, threshold, halvings)
    reported = sorted({*sizes, *([] if size is None else [size])})
    orders = rankings(ranked.main, ranked.reduction, random_circuits, seed)
    test = measured(run, partial(work, sizes=reported, orders=orders), ranked.chosen["test"], "test")
    rows = [row(modality, reported, index, test, select.tried) for index in range(len(reported))]
    area = areas(reported, test, ranked.reduction)
    return Finding(
        summary=summary(run.task.name, modality, threshold, rows[reported.index(size)] if size is not None else None),
        rows=rows,
        conditions=ranked.conditions({"metric": metric, "ablation": ablation, "threshold": threshold, "seed": seed})
        | {"minimal size": size, "selected on": "select", "interval": INTERVAL}
        | area
        | (_stability(ranked.folds, ranked.main, size, rediscoveries, seed) if size is not None else {}),
        figures=[curves(modality, metric, ablation, reported, rows, size, threshold)],
        notes=[*notes(test, select.tried, ablation), said_areas(area)],
    )


class _Select:
    """Faithfulness on the select split, of the sizes tried so far."""

    def __init__(self, run: Run, work: Callable[..., Any], chosen: Selection[Contrast], main: Order) -> None:
        self._measure = lambda sizes, name: measured(
            run, partial(work, sizes=sizes, orders={"circuit": main}), chosen, name
        )
        self.tried: dict[float, Estimate] = {}

    def minimal(self, sizes: Sequence[float], threshold: float, halvings: int) -> float | None:
        """The minimal size, from this split alone: of the sizes given, then between it and the next smaller one."""
        measured = self._measure(sizes, "select")
        self.tried = {size: measured.estimate(index) for index, size in enumerate(sizes)}
        return choose(self.tried, threshold, halvings, self._passes)

    def _passes(self, size: float, threshold: float) -> bool:
        self.tried[size] = self._measure([size], f"select at {size}").estimate(0)
        return self.tried[size].value >= threshold


def choose(
    tried: Mapping[float, Estimate], threshold: float, halvings: int, passes: Callable[[float, float], bool]
) -> float | None:
    """The minimal size among those tried, then by bisection; the empty circuit has no faithfulness."""
    sizes = list(tried)
    found = minimal_size(sizes, [tried[size].value for size in sizes], threshold)
    if found is None:
        return None
    below = max((size for size in sizes if size < found), default=0.0)
    return bisect(lambda size: passes(size, threshold), below, found, halvings)


def _stability(folds: FoldScores, main: Order, size: float, rediscoveries: int, seed: int) -> dict[str, float | int]:
    """Mean IoU of circuits of this size found on resampled folds; no run of the model."""
    chance = np.random.default_rng(seed)
    held = [fold for fold, prompts in enumerate(folds.prompts.tolist()) if prompts]
    picks = [chance.choice(held, size=len(held)).tolist() for _ in range(rediscoveries)]
    found = stability([main(folds.mean(pick)).top(size) for pick in picks])
    told = {f"stability of {kind}": value for kind, (value, _) in found.items()}
    expected = {f"stability of random {kind}": value for kind, (_, value) in found.items()}
    return told | expected | {"rediscoveries": rediscoveries}
