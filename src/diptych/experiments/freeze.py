"""Freezing: how many layers does the picture need at its own positions before it can be read?"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych import freezing
from diptych.experiments._earliness import Earliness, bars, by_id, told
from diptych.experiments._halving import Along, Halving
from diptych.experiments._layers import (
    Array,
    bounded_estimates,
    columns,
    conditions_of,
    line,
    mapped,
    marked,
    said,
    unknown,
)
from diptych.experiments._parameters import Count, Seed
from diptych.experiments._survey import Survey
from diptych.figures import Bars, Curves, Series
from diptych.items import MODALITIES, Item
from diptych.metrics import correct
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.vlm import VLM
from diptych.result import Row
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, Estimate, cluster_bootstrap
from diptych.turns import enough, undefined

VERSION = 4
USES = ("accuracy", "cross_patch")
EARLY = 5 / 32
"""The share of the layers within which an item is early: s < 5 of 32 layers (Paper B)."""


def freeze(run: Run, *, until: Count | None = None, early: Count | None = None, seed: Seed = 0) -> Finding:
    """The earliest layer whose state of the picture is enough, if it is held through the layers that read it.

    What enters layer l at the picture's positions enters layers l + 1 to `until` there too; then the positions evolve
    again. `until`: by default the critical layer of `cross_patch`, rounded up. A prompt's *earliest sufficient layer* is
    the lowest from which on it is answered correctly; the *sufficient layer* is the median over prompts. Prompts: those
    of *test* that are answered correctly. The layer is undefined if the picture is held up to layer 1 at most, for it
    could not be later. A prompt is early if the median of the other prompts of its cluster is below `early` layers (by
    default 5 of 32), else late; both groups' accuracies from text and from the image are told, and their gaps.
    """
    survey = Survey.of(run)
    selection = survey.answered("image", "test")
    last, how = (until, "given") if until is not None else _critical(run, survey, seed)
    work = Halving(partial(hold_states, until=last, answers=survey.answers), Along(-1, same=("layers",)))
    values, clusters = mapped(run, selection, work, "image")
    size, right = int(values["layers"][0]), values["right"]
    last, early = len(right) - 1, early or max(1, round(EARLY * size))
    first = earliest(right)
    sufficient = sufficient_layer(first, clusters, last, seed)
    shares = bounded_estimates(right, clusters, seed)
    used = [item for unit in selection.units(run.batch_size) for item in unit.payload[1]]
    sorted_out = _earliness(run, by_id(used, first) if last > 1 else {}, early)
    groups = sorted_out.rows({m: survey.right(m, "test") for m in MODALITIES} if sorted_out.grouped else {})
    depths = {"sufficient layer": sufficient}
    return Finding(
        summary=_summary(
            run.task.name, sufficient, f"up to layer {last} ({how})", told(groups, sorted_out.outside, early)
        ),
        rows=[*_rows(shares, first), *groups],
        conditions=survey.conditions
        | selection.conditions()
        | conditions_of(depths)
        | {"until": last, "until is": how, "early below layer": early, "seed": seed, "split": "test"}
        | {"clusters in neither group": sorted_out.outside}
        | {"interval": INTERVAL},
        figures=[_curve(shares, depths, last), _histogram(first, last), *bars(groups, early)],
        notes=[
            "A layer is sufficient if all layers from it on are, so a prompt that is right by chance is not early.",
            *unknown(depths),
            *(sorted_out.notes() if last > 1 else []),
        ],
    )


@torch.no_grad()
def hold_states(vlm: VLM, payload: tuple[int, list[Item]], *, until: int, answers: AnswerTokens) -> dict[str, Tensor]:
    """Whether each prompt (all of one shape) is answered correctly, by the layer whose state is held: [layer, n]."""
    _, items = payload
    prompts = [encode_item(vlm, item, "image") for item in items]
    call, last = vlm.capture(collate(prompts)), min(until, len(vlm.layers) - 1)
    wanted = answers.of(items).to(vlm.device)
    held = freezing.freeze(vlm, call, prompts[0].layout.data, range(last + 1), last)
    right = torch.stack([correct(logits, wanted, answers.choices).cpu() for _, logits in held])
    return {"right": right, "layers": torch.tensor([len(vlm.layers)])}


def earliest(right: Array) -> Array:
    """For each column of [layer, n] the first layer from which on all are right; the last one where it is not, either."""
    wrong = right < 0.5
    after = np.where(wrong.any(0), len(right) - wrong[::-1].argmax(0), 0)
    return np.minimum(after, len(right) - 1)


def _critical(run: Run, survey: Survey, seed: int) -> tuple[int, str]:
    """The critical layer of pictures, rounded up; where it is undefined, the picture is held to the end."""
    panels = tuple(survey.panels())
    found = run.get("cross_patch", panels=panels, seed=seed).conditions.get("critical layer, image")
    if not isinstance(found, int | float) or not math.isfinite(found):
        return 10**6, "the last layer, since the critical layer is undefined"
    return max(1, math.ceil(found)), f"the critical layer {found:.1f}, rounded up"


def sufficient_layer(first: Array, clusters: Sequence[str], until: int, seed: int) -> Estimate:
    """The median over prompts; undefined where it could only be 0 or 1, or of few clusters."""
    found = enough(cluster_bootstrap(first, clusters, _median, seed=seed), clusters)
    if until > 1:
        return found
    return undefined(found, f"the picture is held up to layer {until} only, so no later layer could be found")


def _earliness(run: Run, layers: Mapping[str, float], early: int) -> Earliness:
    return Earliness.of([item for item in run.task.split("test") if item.paired], layers, early)


def _median(values: Array) -> float:
    return float(np.median(values))


def _rows(shares: Sequence[Estimate], first: Array) -> list[Row]:
    return [
        dict[str, Any](layer=layer, group="")
        | columns("right", share)
        | {"earliest here": int((first == layer).sum()), "n": share.n}
        for layer, share in enumerate(shares)
    ]


def _summary(task: str, sufficient: Estimate, held: str, gaps: str) -> str:
    return f"On {task}, half of the prompts are answered from the picture's state at layer {said(sufficient)}, held {held}{gaps}."


def _curve(shares: Sequence[Estimate], depths: Mapping[str, Estimate], last: int) -> Curves:
    return Curves(
        title="Answers with the picture's state frozen, image",
        caption=f"Share of test prompts answered correctly when what enters layer x at the picture's positions is held there "
        f"up to layer {last}; nothing is held at the last x. Bands are 95% intervals over clusters.",
        x_title="layer",
        y_title="share answered correctly",
        x=list(range(len(shares))),
        series=[line("image", shares)],
        lines_at=marked(depths),
    )


def _histogram(first: Array, last: int) -> Bars:
    return Bars(
        title="Earliest sufficient layer, image",
        caption=f"Number of test prompts (n = {len(first)}) by the first layer from which on the frozen state is enough.",
        x_title="layer",
        y_title="prompts",
        categories=[str(layer) for layer in range(last + 1)],
        series=[Series("image", [int((first == layer).sum()) for layer in range(last + 1)])],
    )
