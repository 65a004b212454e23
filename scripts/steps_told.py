"""What docs/steps.json tells of the numbers that `steps_measured` takes: means, comparisons at equal cost, searches."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from steps_measured import CONTROLLED, FIXED, SIZES, SWEEP, WAYS, Array, Way

from diptych.faithfulness import minimal_size, search
from diptych.racing import Raced, race
from diptych.statistics import cluster_bootstrap, ratio_of_means

THRESHOLD = 0.8
ORDERS = 20
"""Random orders of the prompts that a race is tried in."""
REFERENCE_FORWARDS = 4 * len(SWEEP)
"""Per prompt, of the reference code's sweep: four forwards per size."""
REFINED = tuple(way for way in WAYS if len(way.steps) > 1)

Numbers = Mapping[str, Array]
Told = dict[str, Any]


def told(found: Numbers) -> Told:
    """An entry of the record, of one organism, task and panel."""
    return {
        "n": {
            "discover": int(found["steps"].shape[1]),
            "select": int(found["total"].size),
            "sweep": int(found["sweep total"].size),
        },
        "ways": {str(way): of_way(found, way) for way in WAYS},
        "at equal cost": {str(way): at_equal_cost(found, way) for way in REFINED},
        "random prompts refined": {
            str(way): likeness(values) for way, values in zip(CONTROLLED, found["control"], strict=True)
        },
        "minimal": minimal(found["sweep kept"], found["sweep total"]),
    }


def of_way(found: Numbers, way: Way) -> Told:
    """Mean steps, forwards and backwards per prompt, likeness to the reference, and F at each of `SIZES`."""
    place, steps = WAYS.index(way), float(found["steps"][WAYS.index(way)].mean())
    return {
        "steps": steps,
        "forwards": 2 + steps,
        "backwards": steps,
        **likeness(found["likeness"][place]),
        "error": float(np.median(errors(found, way))),
        "F": [float(kept.mean() / found["total"].mean()) for kept in effects(found, place)],
    }


def likeness(values: Sequence[float]) -> Told:
    return {"correlation": float(values[0]), "top": float(values[1])}


def errors(found: Numbers, way: Way) -> Array:
    """Completeness error of each prompt at the number of steps that it got."""
    rows = [FIXED.index(Way(way.rule, (int(steps),))) for steps in found["steps"][WAYS.index(way)]]
    return np.array([found["errors"][row, prompt] for prompt, row in enumerate(rows)])


def effects(found: Numbers, place: int) -> Array:
    """m(circuit) − m(empty) [size, prompt] of a way's circuits."""
    return found["kept"].reshape(len(WAYS), len(SIZES), -1)[place]


def shares(steps: float, counts: Sequence[int]) -> dict[int, float]:
    """The numbers of steps next to a mean one, and what each counts in a line between them over log steps."""
    below, above = (
        max(count for count in counts if count <= steps),
        min(count for count in counts if count >= steps),
    )
    if below == above:
        return {below: 1.0}
    share = math.log(steps / below) / math.log(above / below)
    return {below: 1 - share, above: share}


def at_equal_cost(found: Numbers, way: Way) -> Told:
    """Adaptive minus fixed steps of the same rule, the fixed ones' numbers being on a line over log steps."""
    counts = [fixed.steps[0] for fixed in FIXED if fixed.rule == way.rule]
    mixed = shares(float(found["steps"][WAYS.index(way)].mean()), counts)
    places = {WAYS.index(Way(way.rule, (count,))): share for count, share in mixed.items()}

    def difference(values: Array) -> Array:
        return np.asarray(values[WAYS.index(way)] - sum(share * values[place] for place, share in places.items()))

    kept = found["kept"].reshape(len(WAYS), len(SIZES), -1)
    faithful = [ratio_of_means(one, found["total"], list(found["clusters"])) for one in difference(kept)]
    return {**likeness(difference(found["likeness"])), "F": [[one.value, one.low, one.high] for one in faithful]}


def minimal(kept: Array, total: Array) -> Told:
    """The minimal circuit by the sweep, by bisection and by races, and the forwards per prompt of each."""
    margins = kept - THRESHOLD * total
    curve = kept.mean(1) / total.mean()
    swept = minimal_size(SWEEP, list(curve), THRESHOLD)
    tried: list[float] = []

    def passes(size: float) -> bool:
        tried.append(size)
        return bool(margins[SWEEP.index(size)].mean() >= 0)

    bisected = search(SWEEP, passes)
    raced = [_raced(margins[:, np.random.default_rng(seed).permutation(len(total))]) for seed in range(ORDERS)]
    passing = curve >= THRESHOLD
    return {
        "sweep": swept,
        "crossings": int((passing[1:] != passing[:-1]).sum()),
        "bisection": {"size": bisected, "off": _off(bisected, swept), "forwards": 2 + len(tried)},
        "race": {
            "off": [_off(one.size, swept) for one in raced],
            "forwards": float(np.mean([one.forwards for one in raced])) / len(total),
        },
    }


def _raced(margins: Array) -> Raced:
    def measured(some: slice, size: float) -> Array:
        return np.asarray(margins[SWEEP.index(size), some])

    return race(lambda some, standing, known: standing.look(partial(measured, some), known), margins.shape[1], SWEEP)


def _off(size: float | None, other: float | None) -> int:
    """How many sizes of the sweep lie between two; None is above all."""
    places = [len(SWEEP) if one is None else SWEEP.index(one) for one in (size, other)]
    return places[0] - places[1]


def overall(pairs: Sequence[Told]) -> Told:
    """Over all organisms, tasks and panels: means of each way, and of the differences with intervals over organism × task."""
    clusters = [f"{pair['model']} {pair['task']}" for pair in pairs]
    return {
        "ways": {str(way): {name: _mean(pairs, way, name) for name in _columns()} for way in WAYS},
        "at equal cost": {str(way): _compared(pairs, way, clusters) for way in REFINED},
        "random prompts refined": {
            str(way): {
                name: _estimate(
                    [pair["ways"][str(way)][name] - pair["random prompts refined"][str(way)][name] for pair in pairs],
                    clusters,
                )
                for name in ("correlation", "top")
            }
            for way in CONTROLLED
        },
        "minimal": _searches(pairs),
    }


def _columns() -> tuple[str, ...]:
    return ("steps", "forwards", "backwards", "correlation", "top", "error", "F")


def _mean(pairs: Sequence[Told], way: Way, name: str) -> Any:
    values = np.mean([pair["ways"][str(way)][name] for pair in pairs], 0)
    return values.tolist()


def _compared(pairs: Sequence[Told], way: Way, clusters: list[str]) -> Told:
    """Mean differences, and in how many pairs the top nodes are shared more, as much, or less than by fixed steps."""
    some = [pair["at equal cost"][str(way)] for pair in pairs]
    signs = [int(np.sign(round(one["top"], 9))) for one in some]
    return {
        "correlation": _estimate([one["correlation"] for one in some], clusters),
        "top": _estimate([one["top"] for one in some], clusters),
        "F": [_estimate([one["F"][place][0] for one in some], clusters) for place in range(len(SIZES))],
        "F surely higher": [sum(one["F"][place][1] > 0 for one in some) for place in range(len(SIZES))],
        "F surely lower": [sum(one["F"][place][2] < 0 for one in some) for place in range(len(SIZES))],
        "more, as much, less": [signs.count(sign) for sign in (1, 0, -1)],
    }


def _estimate(values: Sequence[float], clusters: list[str]) -> list[float]:
    found = cluster_bootstrap(values, clusters)
    return [found.value, found.low, found.high]


def _searches(pairs: Sequence[Told]) -> Told:
    """Mean forwards per prompt, how often the sweep's size is found, and the largest number of sizes off it."""
    some = [pair["minimal"] for pair in pairs]
    off = {"bisection": [[one["bisection"]["off"]] for one in some], "race": [one["race"]["off"] for one in some]}
    return {"sweep": {"forwards": REFERENCE_FORWARDS}} | {
        name: {
            "forwards": float(np.mean([one[name]["forwards"] for one in some])),
            "most forwards": float(np.max([one[name]["forwards"] for one in some])),
            "same": float(np.mean([np.mean(np.array(values) == 0) for values in off[name]])),
            "most sizes off": int(max(np.abs(values).max() for values in off[name])),
        }
        for name in off
    }
