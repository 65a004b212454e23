"""Curves over layers: mean and interval at each layer, and the layer at which they turn, in words and conditions."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.experiments._survey import Selection, clusters
from diptych.experiments._text import fixed
from diptych.figures import Series
from diptych.run import Run
from diptych.statistics import Estimate, bounded_mean, cluster_bootstrap
from diptych.turns import Panel, Turn, lag, undefined

Array = np.ndarray[Any, Any]
VERDICTS = {1: "so the image is late", 0: "so neither is surely late", -1: "so the text is late"}
"""By the side of 0 on which the interval of a lag is."""


def mapped(
    run: Run, selection: Selection[Any], work: Callable[..., dict[str, Tensor]], name: str
) -> tuple[dict[str, Array], list[str]]:
    """The work's values for all prompts of a selection, prompts last, and the cluster of each prompt."""
    units = selection.units(run.batch_size)
    found = [values for _, values in run.map(work, units, name=name)]
    joined = {name: torch.cat([values[name] for values in found], -1).double().numpy() for name in found[0]}
    return joined, clusters(units)


def estimates(values: Array, clusters: Sequence[str], seed: int) -> list[Estimate]:
    """The mean over prompts and its interval at each layer; `values`: [layer, n]."""
    return [cluster_bootstrap(row, clusters, seed=seed) for row in values]


def bounded_estimates(values: Array, clusters: Sequence[str], seed: int) -> list[Estimate]:
    """The same of values from 0 to 1, such as accuracies."""
    return [bounded_mean(row, clusters, seed=seed) for row in values]


def columns(name: str, estimate: Estimate) -> dict[str, Any]:
    """A number and its interval as columns of a table."""
    return {name: estimate.value, f"{name}, low": estimate.low, f"{name}, high": estimate.high}


def line(name: str, found: Sequence[Estimate]) -> Series:
    """A line with its band."""
    return Series(name, [e.value for e in found], [e.low for e in found], [e.high for e in found])


def lags(
    name: str, panels: Mapping[str, Panel], depths: Mapping[str, Estimate], turn: Turn, seed: int
) -> dict[str, Estimate]:
    """How many layers later a layer is from the image than from text (`depths`), by name; nothing where a panel lacks.

    Its interval is that of the panels' curves. Undefined where the layer itself is, from either panel.
    """
    if len(panels) < 2:
        return {}
    image, text = (depths[f"{name}, {panel}"] for panel in ("image", "text"))
    reasons = [one.reason for one in (image, text) if not math.isfinite(one.value)]
    found = replace(lag(panels["image"], panels["text"], turn, seed=seed), value=image.value - text.value)
    return {f"{name}, image minus text": undefined(found, reasons[0]) if reasons else found}


def lag_said(found: Mapping[str, Estimate]) -> str:
    """Whether the image is late, as the end of a sentence; nothing where that is not known."""
    known = [one for one in found.values() if math.isfinite(one.value)]
    return "".join(
        f"; image minus text: {fixed(one.value, 1, sign='+')} "
        f"[{fixed(one.low, 1, sign='+')}, {fixed(one.high, 1, sign='+')}], "
        f"{VERDICTS[int(one.low > 0) - int(one.high < 0)]}"
        for one in known
    )


def conditions_of(depths: Mapping[str, Estimate]) -> dict[str, float]:
    """Layers and their intervals, by name."""
    return {
        key: float(value)
        for name, depth in depths.items()
        for key, value in columns(name, depth).items()
        if value is not None
    }


def said(depth: Estimate, digits: int = 0) -> str:
    """A layer with its interval and n, in words."""
    if not math.isfinite(depth.value):
        return f"undefined (n = {depth.n}: {depth.reason})"
    return f"{fixed(depth.value, digits)} [{fixed(depth.low, digits)}, {fixed(depth.high, digits)}] (n = {depth.n})"


def unknown(depths: Mapping[str, Estimate]) -> list[str]:
    """Which layers are undefined and why, for notes."""
    missing = {name: depth for name, depth in depths.items() if not math.isfinite(depth.value)}
    return [f"The {name} is undefined (n = {depth.n}): {depth.reason}." for name, depth in missing.items()]


def marked(depths: Mapping[str, Estimate]) -> list[tuple[float, str]]:
    """Vertical lines at layers that are known; those at one layer are one line."""
    names: dict[float, list[str]] = {}
    for name, depth in depths.items():
        if math.isfinite(depth.value):
            names.setdefault(depth.value, []).append(name)
    return [(layer, ", ".join(some)) for layer, some in names.items()]
