"""Knockout: through which layers does information reach the answer? Attention between segments is cut, layer by layer."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.cuts import Cut, LayerSets, cut_off, default_window, layer_sets
from diptych.errors import InputError
from diptych.experiments._halving import Along, Halving
from diptych.experiments._layers import (
    Array,
    columns,
    conditions_of,
    lag_said,
    lags,
    line,
    mapped,
    said,
    unknown,
)
from diptych.experiments._parameters import Count, CutNames, Kinds, Panels, Seed
from diptych.experiments._survey import Survey
from diptych.figures import Curves
from diptych.items import MODALITIES, Contrast, Modality
from diptych.metrics import correct, logit_diff, probability
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.trace import trace
from diptych.models.vlm import VLM
from diptych.result import Row
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, Estimate, bounded_mean, cluster_bootstrap, ratio_of_means
from diptych.turns import Panel, Turn, depth, fallen

VERSION = 3
USES = ("accuracy",)
WHOLE = "data:query+generation"
"""The cut whose suffixes tell by which layer the data has been read."""
READ: Mapping[str, Turn] = {"first reading layer": fallen(0.1), "reading layer": fallen(0.5)}
"""Layer → its turn: a share of what the answer needs of the data has been read by the end of it."""
CHANGE = "relative change of the answer's probability"
CAPTIONS: Mapping[LayerSets, str] = {
    "sliding": "the window of {window} layers around x",
    "prefix": "all layers up to x",
    "suffix": "all layers from x on",
    "complement": "all layers but the window of {window} around x",
}


def knockout(
    run: Run,
    *,
    cuts: CutNames = (WHOLE, "data:generation", "query:generation"),
    layers: Kinds = ("sliding", "suffix"),
    window: Count | None = None,
    heads: tuple[str, ...] = (),
    panels: Panels = MODALITIES,
    seed: Seed = 0,
) -> Finding:
    """How much of the answer's probability is lost when attention between two segments is cut in a set of layers.

    `cuts`: from where to where, as in 'data:query+generation'. `layers`: sliding windows of `window` layers (by default
    9, and about a third of a model of fewer than 24 layers), prefixes 0 to l, suffixes l to the last, complements of
    windows. `heads`: those to cut, as in '3.0' for head 0 of layer 3; all by default. Prompts: those of *test* that are
    answered correctly. The *reading layer* of a panel: the last layer l before cutting the data off from all that
    follows, from l on, costs less than half of what cutting it off everywhere costs; so half of what is read has been
    read by the end of that layer. The *first reading layer*: the same of a tenth, so reading begins there.
    """
    named = [Cut.named(name) for name in cuts]  # refused, if need be, before anything is computed
    chosen = _heads(heads)
    survey = Survey.of(run)
    conditions = survey.conditions | {"seed": seed, "split": "test", "interval": INTERVAL}
    rows: list[Row] = []
    read: dict[str, Panel] = {}
    for modality in panels:
        selection = survey.contrasts(modality, "test", seed=seed, positions="span")
        work = partial(
            knock_out, modality=modality, cuts=named, kinds=layers, window=window, heads=chosen, answers=survey.answers
        )
        values, clusters = mapped(run, selection, Halving(work, Along(-1)), modality)
        for name, cut in zip(cuts, named, strict=True):
            for kind in layers:
                rows += _rows(values, clusters, modality, cut, kind, seed)
            if name == WHOLE and "suffix" in layers:
                read[modality] = _lost(values, cut), clusters
        conditions |= {f"{key} {modality}": value for key, value in selection.conditions().items()}
        size = values[_name(named[0], layers[0], "probability")].shape[0]
        conditions |= {"layers": size, "window": window or default_window(size)}
    depths = {f"{name}, {m}": depth(*read[m], turn, seed=seed) for name, turn in READ.items() for m in read}
    later = lags("reading layer", read, depths, READ["reading layer"], seed)
    return Finding(
        summary=_summary(run.task.name, rows, depths, later),
        rows=rows,
        conditions=conditions | conditions_of(depths | later) | {"heads": ", ".join(heads) or "all"},
        figures=[_curves(rows, cut, kind, int(conditions["window"])) for cut in named for kind in layers],
        notes=_notes(int(conditions["layers"]), int(conditions["window"]), window, depths | later),
    )


@torch.no_grad()
def knock_out(
    vlm: VLM,
    payload: tuple[int, list[Contrast]],
    *,
    modality: Modality,
    cuts: Sequence[Cut],
    kinds: Sequence[LayerSets],
    window: int | None,
    heads: Mapping[int, Sequence[int]] | None,
    answers: AnswerTokens,
) -> dict[str, Tensor]:
    """Probability, logit difference and rightness of each prompt (all of one shape), under every set of layers and plain."""
    _, contrasts = payload
    prompts = [encode_item(vlm, contrast.clean, modality) for contrast in contrasts]
    call, layout = vlm.capture(collate(prompts)), prompts[0].layout
    right, wrong = (
        answers.of([getattr(c, side) for c in contrasts]).to(vlm.device) for side in ("clean", "counterfactual")
    )

    def measured(logits: Tensor) -> dict[str, Tensor]:
        return {
            "probability": probability(logits, right, wrong).cpu(),
            "logit difference": logit_diff(logits, right, wrong).cpu(),
            "accuracy": correct(logits, right, answers.choices).cpu(),
        }

    places = {cut: cut.slices(layout) for cut in cuts}
    own = trace(vlm, call, sorted({rows.start for rows, _ in places.values()}))
    found = {f"plain {name}": value for name, value in measured(own.logits).items()}
    size = len(vlm.layers)
    for cut in cuts:
        for kind in kinds:
            sets = layer_sets(kind, size, window or default_window(size))
            under = [measured(logits) for logits in cut_off(vlm, call, places[cut], sets, heads, own)]
            found |= {_name(cut, kind, name): torch.stack([one[name] for one in under]) for name in under[0]}
    return found


def _name(cut: Cut, kind: LayerSets, measure: str) -> str:
    return f"{cut}, {kind} {measure}"


def _heads(names: Sequence[str]) -> dict[int, list[int]] | None:
    """Layer → heads, from names such as '3.0'."""
    found: dict[int, list[int]] = {}
    for name in names:
        layer, _, head = name.partition(".")
        if not (layer.isdecimal() and head.isdecimal()):
            raise InputError(f"No head can be named '{name}'. Expected a layer and a head in it, as in '3.0'.")
        found.setdefault(int(layer), []).append(int(head))
    return found or None


def _rows(
    values: Mapping[str, Array], clusters: Sequence[str], modality: Modality, cut: Cut, kind: LayerSets, seed: int
) -> list[Row]:
    def under(measure: str) -> Array:
        return values[_name(cut, kind, measure)]

    plain, lower = values["plain probability"], under("logit difference") - values["plain logit difference"]
    return [
        dict[str, Any](panel=modality, cut=str(cut), layers=kind, layer=layer)
        | columns("change", ratio_of_means(under("probability")[layer] - plain, plain, clusters, seed=seed))
        | columns("logit difference", cluster_bootstrap(lower[layer], clusters, seed=seed))
        | columns("accuracy", bounded_mean(under("accuracy")[layer], clusters, seed=seed))
        | {"n": len(clusters)}
        for layer in range(len(lower))
    ]


def _lost(values: Mapping[str, Array], cut: Cut) -> Array:
    """By how much cutting each suffix lowers the probability [layer, n]; the empty suffix costs nothing."""
    lost = values["plain probability"] - values[_name(cut, "suffix", "probability")]
    return np.concatenate([lost, np.zeros_like(lost[:1])])


def _summary(task: str, rows: Sequence[Row], depths: Mapping[str, Estimate], later: Mapping[str, Estimate]) -> str:
    told = [
        f"{words} by the end of {_by_panel(depths, name)}"
        for name, words in (
            ("reading", "half of what the answer needs of the data has been read"),
            ("first", "a tenth"),
        )
    ]
    if depths:
        return f"On {task}, {', '.join(told)}{lag_said(later)}."
    worst = min(rows, key=lambda row: float(str(row["change"])))
    return (
        f"On {task}, the costliest cut is {worst['cut']} from {worst['panel']} ({worst['layers']}, layer {worst['layer']}): "
        f"it changes the answer's probability by {float(str(worst['change'])):+.0%} (n = {worst['n']})."
    )


def _by_panel(depths: Mapping[str, Estimate], start: str) -> str:
    found = {name.split(", ")[1]: one for name, one in depths.items() if name.startswith(start)}
    return " and ".join(f"layer {said(one)} from {panel}" for panel, one in found.items())


def _curves(rows: Sequence[Row], cut: Cut, kind: LayerSets, window: int) -> Curves:
    panels = dict.fromkeys(row["panel"] for row in rows)
    shown = {p: [r for r in rows if (r["panel"], r["cut"], r["layers"]) == (p, str(cut), kind)] for p in panels}
    return Curves(
        title=f"Attention cut from {cut}: {kind}",
        caption=f"{CHANGE.capitalize()} on test when, in {CAPTIONS[kind].format(window=window)}, {' and '.join(cut.rows)} "
        f"cannot attend to {cut.columns}; bands are 95% intervals over clusters.",
        x_title="layer",
        y_title="relative change",
        x=[float(str(row["layer"])) for row in next(iter(shown.values()))],
        series=[line(str(panel), [_change(row) for row in some]) for panel, some in shown.items()],
        levels=[(0.0, "no change")],
    )


def _change(row: Row) -> Estimate:
    value, low, high = (float(str(row[f"change{bound}"])) for bound in ("", ", low", ", high"))
    return Estimate(value, low, high, int(str(row["n"])), "", "", 0, 0)


def _notes(layers: int, used: int, asked: int | None, depths: Mapping[str, Estimate]) -> list[str]:
    notes = ["The relative change is that of the mean probability over prompts, not the mean of relative changes."]
    if asked is None and used < default_window(1000):
        notes.append(f"Windows are {used} layers wide, since the model has {layers}; 9 is usual for 24 and more.")
    return notes + unknown(depths)
