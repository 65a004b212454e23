"""One panel of a single prompt: its tokens and picture, the scores of its nodes, and which circuits hold them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._example import show
from diptych.experiments._parameters import Options
from diptych.experiments._picture import map_over, picture_positions
from diptych.experiments._text import from_tensor, to_tensor
from diptych.experiments.discover import attribute
from diptych.grid import Scores
from diptych.items import Contrast, Modality
from diptych.layout import Layout
from diptych.models.encode import AnswerTokens, encode, encode_item
from diptych.models.vlm import VLM

KINDS = ("head", "neuron")
NAMED = 3
"""Nodes of a kind that are told by number at each layer and position."""
LEAST = 0.05
"""Share of the layer's highest score that such a node has at least: a page holds many."""


@torch.no_grad()
def looked_up(vlm: VLM, contrast: Contrast, modality: Modality, answers: AnswerTokens) -> dict[str, Any]:
    """The panel as the model receives it, and where its positions lie in the picture, if they do."""
    panel = from_tensor(show(vlm, (contrast.clean, modality), answers=answers)["panel"])
    if modality == "text":
        return {"panel": panel, "cells": [], "columns": 1}
    prompt = encode_item(vlm, contrast.clean, modality)
    try:
        drawn = map_over(vlm, prompt)
    except InputError as error:
        return {"panel": panel, "cells": [], "columns": 1, "reason": str(error)}
    placed = {"cells": picture_positions(vlm, prompt), "columns": drawn["columns"]}
    return {"panel": panel | {"picture": drawn["picture"]}} | placed


def look(
    vlm: VLM,
    contrast: Contrast,
    *,
    modality: Modality,
    method: str,
    arguments: Options,
    layout: Layout,
    places: Sequence[Tensor],
    answers: AnswerTokens,
) -> dict[str, Tensor]:
    """One panel of a prompt as JSON: scores of its nodes, and the place of the smallest circuit that holds each.

    `places`: as of `entering`, on the circuits' `layout`.
    """
    (batch,) = encode(vlm, [contrast], answers, batch_size=1).batches
    index = batch.layout.onto(layout)
    found = zip(KINDS, attribute(method, vlm, batch, arguments).scores, places, strict=True)
    nodes = [
        _nodes(kind, scores.float().cpu(), place[:, index]) for kind, scores, place in found if scores.shape[2]
    ]  # experts have no neurons of their own
    return {"side": to_tensor(looked_up(vlm, contrast, modality, answers) | {"nodes": nodes})}


def _nodes(kind: str, scores: Tensor, places: Tensor) -> dict[str, Any]:
    """The fields of `figures.Nodes` from [layer, pos, node]."""
    sizes = scores.abs()
    strongest = sizes.topk(min(NAMED, scores.shape[2]), -1).indices
    least = LEAST * sizes.amax((1, 2))
    named = [
        [_named(scores[layer, pos], places[layer, pos], some, least[layer]) for pos, some in enumerate(row)]
        for layer, row in enumerate(strongest.tolist())
    ]
    summed = [[_short(value) for value in row] for row in scores.sum(-1)]
    return {"kind": kind, "scores": summed, "first": places.amin(-1).tolist(), "named": named}


def _named(scores: Tensor, places: Tensor, some: Sequence[int], least: Tensor) -> list[tuple[int, float, int]]:
    """These nodes of one layer and position, but those that score less, or nothing."""
    return [
        (node, _short(scores[node]), int(places[node])) for node in some if scores[node] and scores[node].abs() >= least
    ]


def entering(scores: Scores, sizes: Sequence[float]) -> list[Tensor]:
    """For each head and each neuron, the place of the smallest circuit that holds it; the number of circuits if none does.

    `sizes`: growing; returns [layer, pos, head] and [layer, pos, neuron].
    """
    places = [torch.zeros(nodes.shape, dtype=torch.int16) for nodes in scores]
    for size in sizes:
        for place, held in zip(places, scores.top(size), strict=True):
            place.add_(~held)
    return places


def _short(value: Tensor) -> float:
    """Three significant digits: a page holds many."""
    return float(f"{float(value):.3g}")
