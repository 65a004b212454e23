"""Cross-patching: up to which layer does the picture still decide? Its positions take another picture's states."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from diptych import crosspatch
from diptych.experiments._halving import Along, Halving
from diptych.experiments._layers import (
    bounded_estimates,
    columns,
    conditions_of,
    lag_said,
    lags,
    line,
    mapped,
    marked,
    said,
    unknown,
)
from diptych.experiments._parameters import Panels, Seed
from diptych.experiments._survey import Survey
from diptych.figures import Curves
from diptych.items import MODALITIES, Contrast, Modality
from diptych.metrics import correct
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.vlm import VLM
from diptych.result import Row
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, Estimate
from diptych.turns import Panel, bounded_depth, crossing, onset, with_bounds

VERSION = 4
USES = ("accuracy",)


def cross_patch(run: Run, *, panels: Panels = MODALITIES, seed: Seed = 0) -> Finding:
    """Share of prompts that give their own answer or the donor's, when the data's positions take the donor's states at layer l.

    Donor: an item of the same question with another answer; both are answered correctly. Layer l is the state that
    enters layer l; the last one leaves the model. The *critical layer*, where the donor's curve is on top for the last
    time: from there on what the data held no longer decides. The *first layer* at which the donor wins: 0, unless what is
    written below does not reach the answer. Both come with bootstrap intervals.
    """
    survey = Survey.of(run)
    conditions = survey.conditions | {"seed": seed, "split": "test", "interval": INTERVAL}
    rows: list[Row] = []
    depths: dict[str, Estimate] = {}
    read: dict[str, Panel] = {}
    figures = []
    for modality in panels:
        selection = survey.pairs(modality, "test", seed=seed)
        work = Halving(partial(swap_states, modality=modality, answers=survey.answers), Along(-1))
        values, clusters = mapped(run, selection, work, modality)
        above = values["donor"] - values["own"]
        read[modality] = with_bounds((above, clusters), modality)
        found = {
            f"critical layer, {modality}": bounded_depth(above, clusters, crossing, seed=seed),
            f"first layer, {modality}": bounded_depth(above, clusters, onset, seed=seed),
        }
        shares = {name: bounded_estimates(share, clusters, seed) for name, share in values.items()}
        rows += _rows(modality, shares)
        figures.append(_curves(modality, shares, found))
        depths |= found
        conditions |= {f"{key} {modality}": value for key, value in selection.conditions().items()}
    later = lags("critical layer", read, depths, crossing, seed)
    return Finding(
        summary=_summary(run.task.name, depths, later),
        rows=rows,
        conditions=conditions | conditions_of(depths | later),
        figures=figures,
        notes=_notes(depths) + unknown(later),
    )


@torch.no_grad()
def swap_states(
    vlm: VLM, payload: tuple[int, list[Contrast]], *, modality: Modality, answers: AnswerTokens
) -> dict[str, Tensor]:
    """Whether each prompt (all of one shape) gives its own answer, and the donor's, by the layer patched: [layer, n]."""
    _, contrasts = payload
    prompts, donors = (
        [encode_item(vlm, getattr(contrast, side), modality) for contrast in contrasts]
        for side in ("clean", "counterfactual")
    )
    call, donor = (vlm.capture(collate(some)) for some in (prompts, donors))
    every = range(len(vlm.layers) + 1)
    own: list[Tensor] = []
    other: list[Tensor] = []
    for _, logits in crosspatch.cross_patch(vlm, call, donor, prompts[0].layout.data, every):
        for found, some in ((own, prompts), (other, donors)):
            wanted = answers.of([prompt.item for prompt in some]).to(vlm.device)
            found.append(correct(logits, wanted, answers.choices).cpu())
    return {"donor": torch.stack(other), "own": torch.stack(own)}


def _rows(modality: Modality, shares: Mapping[str, Sequence[Estimate]]) -> list[Row]:
    return [
        {"panel": modality, "layer": layer}
        | columns("donor's answer", donor)
        | columns("own answer", own)
        | {"another answer": 1 - donor.value - own.value, "n": own.n}
        for layer, (donor, own) in enumerate(zip(shares["donor"], shares["own"], strict=True))
    ]


def _summary(task: str, depths: Mapping[str, Estimate], later: Mapping[str, Estimate]) -> str:
    critical = {name.split(", ")[1]: found for name, found in depths.items() if name.startswith("critical")}
    told = " and ".join(f"{said(found, 1)} from {panel}{_before(found)}" for panel, found in critical.items())
    return f"On {task}, the data's positions stop deciding the answer at layer {told}{lag_said(later)}."


def _before(critical: Estimate) -> str:
    """Where the donor's answer still wins: a critical layer below 1 leaves one layer."""
    if not math.isfinite(critical.value):
        return ""
    return (
        " (the donor's answer wins before it)" if critical.value >= 1 else " (the donor's answer wins at layer 0 only)"
    )


def _curves(modality: Modality, shares: Mapping[str, Sequence[Estimate]], depths: Mapping[str, Estimate]) -> Curves:
    return Curves(
        title=f"Answers after patching the data's states from a donor, {modality}",
        caption="Share of test prompts that give the donor's or their own answer when what enters layer x at the data's "
        "positions is the donor's; at the last x it is what leaves the model. Bands are 95% intervals over clusters.",
        x_title="layer",
        y_title="share of prompts",
        x=list(range(len(shares["own"]))),
        series=[line(f"{name} answer", shares[key]) for name, key in (("donor's", "donor"), ("own", "own"))],
        lines_at=marked({name.split(", ")[0]: found for name, found in depths.items() if name.startswith("critical")}),
    )


def _notes(depths: Mapping[str, Estimate]) -> list[str]:
    notes = unknown(depths)
    late = [
        f"{said(found)} ({name.split(', ')[1]})"
        for name, found in depths.items()
        if name.startswith("first") and found.value > 0
    ]
    if late:
        notes.append(f"Written below layer {' and '.join(late)}, the donor's states do not reach the answer.")
    return notes
