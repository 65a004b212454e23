"""Discover: which heads and neurons, at which positions, carry the task in one panel."""

import inspect
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.attribution._integrate import Attribution
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.experiments._folds import FoldScores
from diptych.experiments._halving import Halving
from diptych.experiments._measured import helpful_first
from diptych.experiments._parameters import Folds, MetricName, Options, Positions, Reduction, Seed, Share
from diptych.experiments._rounds import Rounds
from diptych.experiments._survey import Selection, Survey
from diptych.figures import Heatmap
from diptych.grid import Scores
from diptych.items import Contrast, Modality
from diptych.layout import SEGMENTS, Layout
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.registry import find
from diptych.result import Row
from diptych.run import Finding, Run
from diptych.run.unit import Values

VERSION = 3
USES = ("accuracy",)
FIXED = ("metric", "reduction")
"""What every method takes by name."""


def discover(
    run: Run,
    *,
    modality: Modality = "image",
    method: str = "ap_ig",
    metric: MetricName = "logit_diff",
    reduction: Reduction = "l1",
    options: Options = {},  # noqa: B006 (read only; written into the identity)
    folds: Folds = 8,
    stable: Share | None = None,
    stable_size: Share = 0.05,
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """Scores of all nodes on the discover split, over correctly answered prompts and their counterfactuals.

    `options`: further arguments of the method, such as `{"rule": "right", "steps": 5}` for Paper A's AP-IG. `folds`: the
    clusters are dealt into this many parts whose mean scores are kept apart, so that other experiments can compare
    halves and resample. `stable`: prompts are scored in growing rounds until the circuits of `stable_size` from their two
    halves agree by this Jaccard index, or none is left; without it, all are. `positions`: what a position is if prompts
    differ in length (`diptych.alignment.align`).
    """
    arguments = {"metric": metric, "reduction": reduction} | options
    require_method(method, arguments)
    survey = Survey.of(run)
    chosen = survey.contrasts(modality, "discover", seed=seed, positions=positions)
    work = partial(score, method=method, arguments=arguments, answers=survey.answers, layout=chosen.layout)

    def values(name: str, some: Selection[Contrast]) -> list[Values]:
        return [one for _, one in run.map(Halving(work, pooled), some.units(run.batch_size, folds=folds), name=name)]

    def joined(found: list[Values]) -> FoldScores:
        return FoldScores.stored(by_fold(found, folds), chosen.layout, str(survey.conditions["model_digest"]))

    scored = Rounds(stable, stable_size, folds, helpful_first(metric, reduction)).score(chosen, values, joined)
    grids = by_fold(scored.values, folds)
    scores = joined(scored.values).mean()
    completeness, steps = (torch.cat([found[k] for found in scored.values]).numpy() for k in ("completeness", "steps"))
    return Finding(
        summary=_summary(run.task.name, modality, scores, chosen.alignment.pooled),
        rows=_rows(modality, scores),
        conditions=survey.conditions
        | scored.chosen.conditions()
        | {"method": method, "metric": metric, "reduction": reduction, "options": json.dumps(options)}
        | chosen.alignment_conditions()
        | {"seed": seed, "folds": folds}
        | scored.conditions()
        | {
            "gradient points (mean)": float(steps.mean()),
            "completeness error (median)": float(np.median(completeness)),
        },
        figures=[_map(kind, modality, scores) for kind in ("heads", "neurons")],
        notes=[
            *scored.notes(),
            *_completeness(completeness, steps),
            "Scores rank nodes; how much a node matters by itself is measured by exact patching.",
            *_pooled(chosen.alignment.pooled),
        ],
        grids=grids,
    )


def _completeness(errors: "np.ndarray[Any, Any]", steps: "np.ndarray[Any, Any]") -> list[str]:
    """A note on the integral, if the method takes one."""
    if not np.isfinite(errors).all():
        return []
    return [
        f"The integral's completeness error is {np.median(errors):.1%} in the median and {np.quantile(errors, 0.9):.1%} at "
        f"the 90th percentile of prompts, with {steps.mean():.1f} gradient points on average."
    ]


def score(
    vlm: VLM,
    payload: tuple[int, list[Contrast]],
    *,
    method: str,
    arguments: Options,
    answers: AnswerTokens,
    layout: Layout,
) -> dict[str, Tensor]:
    """Mean scores of one chunk of contrasts, pooled onto `layout`, with its fold, its size and its completeness."""
    fold, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=len(contrasts)).batches
    found = attribute(method, vlm, batch, arguments)
    scores = found.scores.pool(layout)
    return {
        "heads": scores.heads.float(),
        "neurons": scores.neurons.float(),
        "there": torch.tensor(scores.there),
        "prompts": torch.tensor(len(batch)),
        "fold": torch.tensor(fold),
        "completeness": found.completeness,
        "steps": found.steps,
    }


def pooled(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean scores of one chunk of contrasts from those of its parts."""
    counts = torch.stack([part["prompts"] for part in parts])
    means = {
        kind: torch.einsum("p,p...->...", counts / counts.sum(), torch.stack([part[kind] for part in parts]))
        for kind in ("heads", "neurons")
    }
    each = {name: torch.cat([part[name] for part in parts]) for name in ("completeness", "steps")}
    shared = {name: parts[0][name] for name in ("fold", "there")}
    return means | each | shared | {"prompts": counts.sum()}


def require_method(method: str, arguments: Options) -> None:
    """Raise `InputError` unless the method can be called with a model, a batch and these arguments."""
    function = find("attribution", method)
    try:
        known = inspect.signature(function).parameters
        inspect.signature(function).bind("vlm", "batch", **{name: arguments[name] for name in FIXED})
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Method '{method}' cannot be called: {error}. Expected "
            f"`def {Path(method).stem}(vlm: VLM, batch: Batch, *, metric: str, reduction: str) -> Attribution`; further "
            f"arguments have defaults, or are options."
        ) from error
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise InputError(f"Method '{method}' has no option {unknown[0]!r}. Known: {', '.join(list(known)[2:])}.")


def attribute(method: str, vlm: VLM, batch: Batch, arguments: Options) -> Attribution:
    """Run the method of that name; raises `InputError` for an argument that it does not take."""
    require_method(method, arguments)
    found = find("attribution", method)(vlm, batch, **arguments)
    if not isinstance(found, Attribution):
        raise InputError(
            f"Method '{method}' returned a {type(found).__name__}. Expected an `Attribution`, as `diptych.ap` returns."
        )
    return found


def by_fold(units: list[dict[str, Tensor]], folds: int) -> dict[str, Tensor]:
    """Stack the mean scores of each fold, [fold, layer, pos, node]; a fold without contrasts scores 0."""
    prompts = torch.zeros(folds, dtype=torch.int64)
    totals = {kind: torch.zeros(folds, *units[0][kind].shape) for kind in ("heads", "neurons")}
    for unit in units:
        prompts[unit["fold"]] += unit["prompts"]
        for kind, total in totals.items():
            total[unit["fold"]] += unit[kind] * unit["prompts"]
    weights = prompts.clamp_min(1).view(-1, 1, 1, 1)
    means = {kind: total / weights for kind, total in totals.items()}
    return means | {"prompts": prompts, "there": units[0]["there"]}


def _rows(modality: Modality, scores: Scores) -> list[Row]:
    """Share of all score per kind and segment."""
    rows: list[Row] = []
    for kind in ("heads", "neurons"):
        nodes: Tensor = getattr(scores, kind)
        for segment in SEGMENTS:
            inside = nodes[:, scores.layout.segment(segment)]
            depth = inside.abs().sum((1, 2)) / inside.abs().sum().clamp_min(1e-12)
            middle = float((depth * torch.arange(len(depth))).sum())
            share = float(inside.abs().sum() / nodes.abs().sum().clamp_min(1e-12))
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


def _pooled(names: Sequence[str]) -> list[str]:
    """A note on spans that differ in length, if any."""
    said = "These spans differ in length between prompts and are one position, with the sum of their tokens' scores: "
    return [f"{said}{', '.join(names)}."] if names else []


def _summary(task: str, modality: Modality, scores: Scores, pooled: Sequence[str]) -> str:
    segments = [(float(scores.at(s).heads.abs().sum()), s) for s in SEGMENTS]
    total, (most, segment) = sum(value for value, _ in segments), max(segments)
    if not total:
        return f"From {modality}, every head score of {task} is 0."
    layer, position, head = np.unravel_index(int(scores.heads.argmax()), scores.heads.shape)
    name = scores.layout.labels[position]
    where = f"in the whole span '{name}'" if name in pooled else f"at position {position} ({name})"
    return (
        f"From {modality}, {most / total:.0%} of the head scores of {task} lie in the {segment} positions; "
        f"the strongest head is layer {layer}, head {head} {where}."
    )


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
