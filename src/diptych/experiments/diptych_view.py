"""Diptych view: single prompts in both panels, with the scores of their heads and the circuits of all sizes over them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._example import show
from diptych.experiments._measured import helpful_first
from diptych.experiments._parameters import Count, MetricName, Options, Positions, Seed, Share
from diptych.experiments._picture import map_over, picture_positions
from diptych.experiments._survey import FoldScores, Survey
from diptych.experiments._text import fixed, from_tensor, to_tensor
from diptych.experiments.discover import attribute
from diptych.grid import Circuit, Scores
from diptych.items import MODALITIES, Contrast, Modality
from diptych.layout import Layout
from diptych.models.encode import AnswerTokens, encode, encode_item
from diptych.models.vlm import VLM
from diptych.result import Diptych, Pair, Panel, Result, Row, Side
from diptych.run import Finding, Run, Unit

VERSION = 1
USES = ("accuracy", "discover", "faithfulness_curve")
NAMED = 3  # heads of a layer and position that are told by name


def diptych_view(
    run: Run,
    *,
    examples: Count = 3,
    threshold: Share = 0.8,
    metric: MetricName = "logit_diff",
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    curve: Options = {},  # noqa: B006 (the same)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """Scores of the heads for single test prompts in both panels, and which heads the circuit of each size holds.

    `examples`: prompts shown, of those answered correctly in both panels. Scores are the prompt's own, by the method of
    `discover`; circuits are those of the whole task. `discovery`, `curve`: parameters of
    `discover` and of `faithfulness_curve` that differ from their defaults.
    """
    survey = Survey.of(run)
    shared = {"metric": metric, "seed": seed, "positions": positions}
    panels = {
        modality: _Ranked(run, modality, discovery, {"threshold": threshold} | curve, shared) for modality in MODALITIES
    }
    sizes = sorted({size for panel in panels.values() for size in panel.faithfulness})
    usable = {m: survey.contrasts(m, "test", seed=seed, positions=positions).used for m in MODALITIES}
    pairs = shared_contrasts(run.task.name, {m: {c.clean.id: c for c in used} for m, used in usable.items()})[:examples]
    sides: dict[Modality, list[dict[str, Any]]] = {}
    for modality, panel in panels.items():
        work = partial(
            look,
            modality=modality,
            method=panel.method,
            arguments=panel.arguments,
            circuits=[panel.scores.top(size) for size in sizes],
            answers=survey.answers,
        )
        units = [Unit(pair[modality].clean.id, pair[modality]) for pair in pairs]
        sides[modality] = [from_tensor(values["side"]) for _, values in run.map(work, units, name=modality)]
    figure = _figure(pairs, sides, sizes, panels)
    rows = [row for pair in figure.pairs for side in pair.sides for row in _rows(pair, side)]
    return Finding(
        summary=_summary(run.task.name, rows, len(pairs)),
        rows=rows,
        conditions=survey.conditions
        | {"n test": len(pairs), "split": "test", "metric": metric, "positions": positions, "seed": seed}
        | {f"minimal size, {name}": panel.minimal for name, panel in panels.items()},
        figures=[figure],
        notes=[
            "These are single prompts, picked by their place in the data and not for what they show.",
            *sorted({side["reason"] for some in sides.values() for side in some if "reason" in side}),
        ],
    )


class _Ranked:
    """One panel's scores in the order of its circuits, and how faithful those are."""

    def __init__(self, run: Run, modality: Modality, discovery: Options, curve: Options, shared: Options) -> None:
        found = run.get("discover", modality=modality, **(shared | discovery))
        measured = run.get("faithfulness_curve", modality=modality, discovery=discovery, **(shared | curve))
        asked = found.identity["parameters"]
        self.method: str = asked["method"]
        self.arguments: Options = {"metric": asked["metric"], "reduction": asked["reduction"]} | asked["options"]
        order = helpful_first(str(found.conditions["metric"]), str(found.conditions["reduction"]))
        self.scores: Scores = order(FoldScores.of(run, found).mean())
        self.faithfulness = _by_size(measured)
        self.minimal = measured.conditions["minimal size"]


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
    circuits: Sequence[Circuit],
    answers: AnswerTokens,
) -> dict[str, Tensor]:
    """One panel of a prompt as JSON: scores of its heads, and the smallest circuit that holds each."""
    (batch,) = encode(vlm, [contrast], answers, batch_size=1).batches
    heads = attribute(method, vlm, batch, arguments).scores.heads.float().cpu()  # [layer, pos, head]
    places = entering(circuits, batch.layout)
    strongest = heads.abs().topk(min(NAMED, heads.shape[2]), -1).indices
    named = [
        [_named(heads[layer, pos], places[layer, pos], some) for pos, some in enumerate(row)]
        for layer, row in enumerate(strongest.tolist())
    ]
    scored = [[_short(value) for value in row] for row in heads.sum(-1)]
    side = {"scores": scored, "first": places.amin(-1).tolist(), "named": named}
    return {"side": to_tensor(looked_up(vlm, contrast, modality, answers) | side)}


def _named(scores: Tensor, places: Tensor, some: Sequence[int]) -> list[tuple[str, float, int]]:
    """These heads of one layer and position, but those without score."""
    return [(f"head {head}", _short(scores[head]), int(places[head])) for head in some if scores[head]]


def entering(circuits: Sequence[Circuit], layout: Layout) -> Tensor:
    """For each head at each position of a prompt, the place of the smallest circuit that holds it; their number if none.

    `circuits`: of growing size, each within the next; returns [layer, pos, head].
    """
    held = torch.stack([circuit.expand(layout).heads for circuit in circuits])
    return (~held).sum(0)


def shared_contrasts(task: str, found: dict[Modality, dict[str, Contrast]]) -> list[dict[Modality, Contrast]]:
    """The contrasts of items that can be used in both panels; raises `InputError` if there is none."""
    both = [one for one in found["text"] if one in found["image"]]
    if not both:
        raise InputError(
            f"No test item of '{task}' is answered correctly in both panels. Use a model that does the task, or more items."
        )
    return [{modality: found[modality][one] for modality in MODALITIES} for one in both]


def _by_size(curve: Result) -> dict[float, Row]:
    return {float(str(row["size"])): row for row in curve.rows}


def _figure(
    pairs: Sequence[dict[Modality, Contrast]],
    sides: dict[Modality, list[dict[str, Any]]],
    sizes: Sequence[float],
    panels: dict[Modality, _Ranked],
) -> Diptych:
    drawn = []
    for place, pair in enumerate(pairs):
        item = pair["text"].clean
        both = [_side(sides[modality][place]) for modality in MODALITIES]
        drawn.append(Pair(f"Item {item.id}", item.query, item.answer, both))
    known = [panel.minimal for panel in panels.values() if panel.minimal is not None]
    return Diptych(
        title="Scores of single prompts in both panels",
        caption="Scores of the prompt's own heads (sum over a layer's heads at each position). What the circuit of the chosen "
        "size does not hold is faded; circuits are those of the whole task.",
        value_title="score",
        layers=[str(layer) for layer in range(len(drawn[0].sides[0].scores))],
        sizes=list(sizes),
        said=[_said(size, panels) for size in sizes],
        start=sizes.index(max(known)) if known else len(sizes) - 1,
        pairs=drawn,
    )


def _side(plain: dict[str, Any]) -> Side:
    names = ("scores", "first", "named", "cells", "columns")
    return Side(Panel(**plain["panel"]), **{name: plain[name] for name in names})


def _said(size: float, panels: dict[Modality, _Ranked]) -> str:
    """How faithful the circuits of this size are, and of which panels it is the minimal one."""
    told = []
    for modality, panel in panels.items():
        value = panel.faithfulness.get(size, {}).get("faithfulness")
        minimal = ", the minimal circuit" if panel.minimal == size else ""
        told.append(f"{modality} {fixed(value)}{minimal}" if value is not None else f"{modality} not measured")
    return f"faithfulness on test: {'; '.join(told)}"


def _rows(pair: Pair, side: Side) -> list[Row]:
    """Which head is strongest in each segment of a panel that has scores."""
    rows: list[Row] = []
    for segment in dict.fromkeys(side.panel.segments):
        inside = [pos for pos, name in enumerate(side.panel.segments) if name == segment]
        nodes = [(node, layer, pos) for layer, row in enumerate(side.named) for pos in inside for node in row[pos]]
        if nodes:
            (name, score, _), layer, pos = max(nodes, key=lambda one: abs(one[0][1] or 0.0))
            place = {"item": pair.title, "panel": side.panel.modality, "segment": segment}
            rows.append(
                place | {"strongest": f"layer {layer}, {name}", "token": side.panel.tokens[pos], "score": score}
            )
    return rows


def _summary(task: str, rows: Sequence[Row], n: int) -> str:
    best = max(rows, key=lambda row: abs(float(str(row["score"] or 0))))
    return (
        f"In {n} test prompts of {task}, the highest single score is {fixed(best['score'])}: {best['strongest']}, at "
        f"{best['token']!r} in the {best['segment']} from {best['panel']}."
    )


def _short(value: Tensor) -> float:
    """Three significant digits: a page holds many."""
    return float(f"{float(value):.3g}")
