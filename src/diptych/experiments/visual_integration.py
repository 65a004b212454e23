"""Visual integration: at which layers do the states of query and last position depend on the picture?"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from diptych.experiments._halving import Along, Halving
from diptych.experiments._layers import (
    columns,
    conditions_of,
    estimates,
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
from diptych.layout import Layout
from diptych.models.calls import DecoderCall
from diptych.models.encode import collate, encode_item
from diptych.models.streams import record_streams
from diptych.models.vlm import VLM
from diptych.result import Row
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, Estimate
from diptych.turns import Panel, depth, half_risen

VERSION = 3
USES = ("accuracy",)
PLACES = ("query", "generation")


def visual_integration(run: Run, *, panels: Panels = MODALITIES, seed: Seed = 0) -> Finding:
    """How far states behind the data are from what they would be without it, and with another item's, by layer.

    *Without*: the same prompt, in which no other position attends to the data at any layer, so positions and words are
    the same and the states hold nothing of the data (which a prompt of text alone, shorter, or an averaged picture
    would not keep apart). *Another*: the counterfactual's data. Distance: |a − b| / |without|, the mean over the
    segment's positions. Prompts: those of *test* that are answered correctly. The *integration layer*: the first at
    which the last position is half as far from the state with another item's data as it gets.
    """
    survey = Survey.of(run)
    conditions = survey.conditions | {"seed": seed, "split": "test", "interval": INTERVAL}
    rows: list[Row] = []
    depths: dict[str, Estimate] = {}
    read: dict[str, Panel] = {}
    figures = []
    for modality in panels:
        selection = survey.contrasts(modality, "test", seed=seed, positions="span")
        work = Halving(partial(compare_states, modality=modality), Along(-1))
        values, clusters = mapped(run, selection, work, modality)
        read[modality] = values["generation, another"], clusters
        found = depth(*read[modality], half_risen, seed=seed)
        depths[f"integration layer, {modality}"] = found
        distances = {name: estimates(distance, clusters, seed) for name, distance in values.items()}
        rows += _rows(modality, distances)
        figures.append(_curves(modality, distances, found))
        conditions |= {f"{key} {modality}": value for key, value in selection.conditions().items()}
    later = lags("integration layer", read, depths, half_risen, seed)
    return Finding(
        summary=_summary(run.task.name, depths, later),
        rows=rows,
        conditions=conditions | conditions_of(depths | later),
        figures=figures,
        notes=[
            "Without: attention to the data from all other positions is cut in all layers; positions and words stay the "
            "same. Distances are relative to the length of the state without the data, so they can exceed 1.",
            *unknown(depths | later),
        ],
    )


@torch.no_grad()
def compare_states(vlm: VLM, payload: tuple[int, list[Contrast]], *, modality: Modality) -> dict[str, Tensor]:
    """Relative distances of states of prompts (all of one shape) at query and generation: [layer, n]."""
    _, contrasts = payload
    prompts = [encode_item(vlm, contrast.clean, modality) for contrast in contrasts]
    others = [encode_item(vlm, contrast.counterfactual, modality) for contrast in contrasts]
    call, other = vlm.capture(collate(prompts)), vlm.capture(collate(others))
    layout = prompts[0].layout
    seen, another, without = streams_of(vlm, call), streams_of(vlm, other), streams_without(vlm, call, layout)
    found: dict[str, list[Tensor]] = {f"{place}, {what}": [] for place in PLACES for what in ("without", "another")}
    for here, there, blind in zip(seen, another, without, strict=True):
        for place in PLACES:
            at = layout.segment(place)
            length = blind[:, at].float().norm(dim=-1)
            for what, reference in (("without", blind), ("another", there)):
                distance = (here[:, at].float() - reference[:, at].float()).norm(dim=-1) / length
                found[f"{place}, {what}"].append(distance.mean(1).cpu())
    return {name: torch.stack(values) for name, values in found.items()}


def streams_of(vlm: VLM, call: DecoderCall) -> list[Tensor]:
    """What enters each layer in a run, and what leaves the last."""
    with record_streams(vlm) as kept:
        vlm.run(call)
    return kept


def streams_without(vlm: VLM, call: DecoderCall, layout: Layout) -> list[Tensor]:
    """The same in a run in which no other position attends to the data: where attention looks ahead, those before it do."""
    every, rest = range(len(vlm.layers)), (layout.prefix, slice(layout.query.start, layout.length))
    with vlm.knockout(rest[0], layout.data, every), vlm.knockout(rest[1], layout.data, every):
        return streams_of(vlm, call)


def _rows(modality: Modality, distances: Mapping[str, Sequence[Estimate]]) -> list[Row]:
    layers = len(next(iter(distances.values())))
    return [
        {"panel": modality, "layer": layer}
        | {k: v for name, found in distances.items() for k, v in columns(name, found[layer]).items()}
        | {"n": next(iter(distances.values()))[layer].n}
        for layer in range(layers)
    ]


def _summary(task: str, depths: Mapping[str, Estimate], later: Mapping[str, Estimate]) -> str:
    told = " and ".join(f"{said(found)} from {name.split(', ')[1]}" for name, found in depths.items())
    return (
        f"On {task}, the last position is half as far as it gets from its state with another item's data at layer "
        f"{told}{lag_said(later)}."
    )


def _curves(modality: Modality, distances: Mapping[str, Sequence[Estimate]], found: Estimate) -> Curves:
    return Curves(
        title=f"Distance of states from those without the data, {modality}",
        caption="Relative distance of what enters layer x from the state without the data, and from that with another "
        "item's data, on test; at the last x, of what leaves the model. Bands are 95% intervals over clusters.",
        x_title="layer",
        y_title="relative distance",
        x=list(range(len(next(iter(distances.values()))))),
        series=[
            line(f"{name.replace('generation', 'last position')} data", values) for name, values in distances.items()
        ],
        lines_at=marked({"integration layer": found}),
    )
