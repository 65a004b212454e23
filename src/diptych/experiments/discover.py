"""Discover: which heads and neurons, at which positions, carry the task in one panel."""

import json
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.attribution._integrate import Attribution
from diptych.experiments._survey import Survey
from diptych.grid import Scores
from diptych.items import Contrast, Modality
from diptych.layout import SEGMENTS, Layout
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.registry import find
from diptych.result import Heatmap, Row
from diptych.run import Finding, Run

VERSION = 1
USES = ("accuracy",)


def discover(
    run: Run,
    *,
    modality: Modality = "image",
    method: str = "ap_ig",
    metric: str = "logit_diff",
    reduction: str = "l1",
    folds: int = 8,
    seed: int = 0,
) -> Finding:
    """Scores of all nodes on the discover split, over correctly answered prompts and their counterfactuals.

    `folds`: the contrasts are dealt into this many parts whose mean scores are kept apart, so that other experiments
    can compare halves and resample.
    """
    survey = Survey.of(run)
    chosen = survey.contrasts(modality, "discover", seed=seed)
    work = partial(
        score, method=method, metric=metric, reduction=reduction, answers=survey.answers, layout=chosen.layout
    )
    found = list(run.map(work, chosen.units(run.batch_size, folds=folds)))
    grids = _by_fold([values for _, values in found])
    scores = _mean(grids, chosen.layout, str(survey.conditions["model_digest"]))
    completeness = torch.cat([values["completeness"] for _, values in found]).numpy()
    steps = torch.cat([values["steps"] for _, values in found]).numpy()
    return Finding(
        summary=_summary(run.task.name, modality, scores),
        rows=_rows(modality, scores),
        conditions=survey.conditions
        | chosen.conditions()
        | {"method": method, "metric": metric, "reduction": reduction, "seed": seed, "folds": len(grids["prompts"])}
        | {"layout": json.dumps(chosen.layout.to_json())}
        | {
            "gradient points (mean)": float(steps.mean()),
            "completeness error (median)": float(np.median(completeness)),
        },
        figures=[_map(kind, modality, scores) for kind in ("heads", "neurons")],
        notes=[
            f"The integral's completeness error is {np.median(completeness):.1%} in the median and {np.quantile(completeness, 0.9):.1%} "
            f"at the 90th percentile of prompts, with {steps.mean():.1f} gradient points on average.",
            "Scores rank nodes; how much a node matters by itself is measured by exact patching.",
        ],
        grids=grids,
    )


def score(
    vlm: VLM,
    payload: tuple[int, list[Contrast]],
    *,
    method: str,
    metric: str,
    reduction: str,
    answers: AnswerTokens,
    layout: Layout,
) -> dict[str, Tensor]:
    """Mean scores of one chunk of contrasts, with its fold, its size and its completeness."""
    fold, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts), layout=layout).batches
    found: Attribution = find("attribution", method)(vlm, batch, metric=metric, reduction=reduction)
    return {
        "heads": found.scores.heads.float(),
        "neurons": found.scores.neurons.float(),
        "prompts": torch.tensor(len(batch)),
        "fold": torch.tensor(fold),
        "completeness": found.completeness,
        "steps": found.steps,
    }


def _by_fold(units: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack the mean scores of each fold: [fold, layer, pos, node]."""
    folds = sorted({int(unit["fold"]) for unit in units})
    parts = [[unit for unit in units if int(unit["fold"]) == fold] for fold in folds]
    prompts = torch.tensor([sum(int(unit["prompts"]) for unit in part) for part in parts])
    means = {kind: [sum(u[kind] * u["prompts"] for u in part) for part in parts] for kind in ("heads", "neurons")}
    stacked = {
        kind: torch.stack([total / n for total, n in zip(totals, prompts, strict=True)])
        for kind, totals in means.items()
    }
    return stacked | {"prompts": prompts}


def _mean(grids: dict[str, Tensor], layout: Layout, model: str) -> Scores:
    share = grids["prompts"] / grids["prompts"].sum()
    heads, neurons = (torch.einsum("f,flpn->lpn", share, grids[kind]) for kind in ("heads", "neurons"))
    return Scores(heads, neurons, layout, model)


def _rows(modality: Modality, scores: Scores) -> list[Row]:
    """Share of all score per kind and segment."""
    rows: list[Row] = []
    for kind in ("heads", "neurons"):
        nodes: Tensor = getattr(scores, kind)
        for segment in SEGMENTS:
            inside = nodes[:, scores.layout.segment(segment)]
            depth = inside.abs().sum((1, 2)) / inside.abs().sum().clamp_min(1e-12)
            middle = float((depth * torch.arange(len(depth))).sum())
            share = float(inside.abs().sum() / nodes.abs().sum())
            rows.append(
                {
                    "panel": modality,
                    "kind": kind,
                    "segment": segment,
                    "share of score": share,
                    "mean layer": middle if share else None,
                }
            )
    return rows


def _summary(task: str, modality: Modality, scores: Scores) -> str:
    segments = [(float(scores.at(s).heads.abs().sum()), s) for s in SEGMENTS]
    total, (most, segment) = sum(value for value, _ in segments), max(segments)
    layer, position, head = np.unravel_index(int(scores.heads.argmax()), scores.heads.shape)
    return (
        f"From {modality}, {most / total:.0%} of the head scores of {task} lie in the {segment} positions; "
        f"the strongest head is layer {layer}, head {head} at position {position} ({_where(scores.layout, int(position))})."
    )


def _where(layout: Layout, position: int) -> str:
    return next(span.name for span in layout.spans if span.start <= position < span.stop)


def _map(kind: str, modality: Modality, scores: Scores) -> Heatmap:
    nodes: Tensor = getattr(scores, kind)
    layout = scores.layout
    values: list[Any] = nodes.abs().sum(-1).tolist()
    return Heatmap(
        title=f"Patching effect of {kind}, {modality}",
        caption=f"Sum of the scores of all {kind} at each layer and position, mean over prompts, in units of the metric.",
        x_title="position",
        y_title="layer",
        value_title="score",
        x=[str(position) for position in range(layout.length)],
        y=[str(layer) for layer in range(nodes.shape[0])],
        values=values,
        bands=[(span.name, span.start, span.stop) for span in layout.spans],
    )
