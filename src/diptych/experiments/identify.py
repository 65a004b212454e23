"""Identification: at which layers can the answer be read off the data's positions, and off the last one?"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._halving import Along, Halving
from diptych.experiments._layers import (
    Array,
    bounded_estimates,
    columns,
    conditions_of,
    lags,
    line,
    mapped,
    marked,
    said,
    unknown,
)
from diptych.experiments._parameters import Panels, Seed
from diptych.experiments._survey import Selection, Survey
from diptych.figures import Curves
from diptych.items import MODALITIES, Item, Modality
from diptych.lens import logit_lens
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.streams import record_streams
from diptych.models.vlm import VLM
from diptych.probe import allowed_classes, fit
from diptych.result import Row
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, Estimate, MaximumNull, max_statistic_null
from diptych.turns import Panel, depth, half_risen, undefined

VERSION = 3
USES = ("accuracy",)
AT_ONCE = 64
"""Rows that the unembedding is given at once: a row of logits is as long as the vocabulary."""
LEVEL = 0.05
"""How rarely the best layer of a probe of noise is taken for one that reads the answer."""
PLACES = ("data", "last position")


def identify(run: Run, *, panels: Panels = MODALITIES, seed: Seed = 0) -> Finding:
    """Accuracy by layer of a linear probe of the answer, and the answer's probability in the logit lens.

    Probe: ridge regression on the mean state of the data's positions, or on the last position's, fitted on *discover* and
    told on *test*, whose entities (clusters) it has not seen; it chooses among the answers that its question had on
    *discover*. Lens: softmax over the answer set's first tokens, the mean over positions. Layer l: what enters layer l;
    the last one leaves the model. The *identified layer*: the first at which the probe is half-way from always giving
    the commonest answer up to its best layer, if that one is right on more prompts than the commonest answer by more than
    the best of as many layers of noise (signs flipped by cluster, p <= .05).
    """
    survey = Survey.of(run)
    conditions = survey.conditions | {"seed": seed, "fitted on": "discover", "split": "test"}
    rows: list[Row] = []
    depths: dict[str, Estimate] = {}
    read: dict[str, dict[str, Panel]] = {place: {} for place in PLACES}
    figures = []
    for modality in panels:
        work = Halving(partial(read_states, modality=modality, answers=survey.answers), Along(-1))
        seen, new = (survey.items(modality, split) for split in ("discover", "test"))
        fitted, _ = mapped(run, seen, work, f"{modality} discover")
        told, clusters = mapped(run, new, work, f"{modality} test")
        known, given = (_items(chosen, run.batch_size) for chosen in (seen, new))
        probes = probe_layers(fitted, told, known, given)
        kept = probes.pop("kept") > 0
        commonest = probes.pop("commonest")[kept]
        if len(commonest) < 2:
            raise InputError(
                f"{int(kept.sum())} of {len(kept)} {modality} prompts of split 'test' have an answer that their question "
                f"had on 'discover'. A probe cannot tell others; expected at least 2. Use a task whose answers recur."
            )
        chance = float(commonest.mean())
        names = [name for name, one in zip(clusters, kept, strict=True) if one]
        values = {name: value[:, kept] for name, value in (probes | {n: told[n] for n in told if "lens" in n}).items()}
        shown = {name: bounded_estimates(value, names, seed) for name, value in values.items()}
        for place in PLACES:
            gains = values[f"probe, {place}"] - commonest
            read[place][modality] = gains, names
            found, null = depth(gains, names, half_risen, seed=seed), max_statistic_null(gains, names, seed=seed)
            depths[f"identified layer, {place}, {modality}"] = if_sure(found, null)
            conditions[f"p of the best layer, {place}, {modality}"] = null.p
        rows += _rows(modality, shown, chance)
        figures.append(_curves(modality, shown, chance, depths))
        conditions |= {f"n {modality}": len(names), f"n discover {modality}": len(known)}
        conditions |= {f"dropped {modality}": f"{int((~kept).sum())} answer not on discover with its question"}
    later: dict[str, Estimate] = {}
    for place, some in read.items():
        later |= lags(f"identified layer, {place}", some, depths, half_risen, seed)
    return Finding(
        summary=_summary(run.task.name, depths),
        rows=rows,
        conditions=conditions | conditions_of(depths | later) | {"interval": INTERVAL},
        figures=figures,
        notes=_notes(depths | later),
    )


@torch.no_grad()
def read_states(
    vlm: VLM, payload: tuple[int, list[Item]], *, modality: Modality, answers: AnswerTokens
) -> dict[str, Tensor]:
    """States of prompts (all of one shape) at each layer [layer, d_model, n], and the lens's probabilities [layer, n]."""
    _, items = payload
    prompts = [encode_item(vlm, item, modality) for item in items]
    call, layout = vlm.capture(collate(prompts)), prompts[0].layout
    with record_streams(vlm) as streams:
        vlm.run(call)
    data, last = layout.data, layout.generation
    choices = answers.choices.to(vlm.device)
    right = (choices == answers.of(items).to(vlm.device)[:, None]).float()  # [n, choice]

    def lens(positions: range) -> Tensor:
        some = max(1, AT_ONCE // len(items))
        parts = [positions[start : start + some] for start in range(0, len(positions), some)]
        sums = [
            _told(logits, choices, right).sum(1) for part in parts for logits in logit_lens(vlm, call, streams, part)
        ]
        layers = len(streams)
        return torch.stack(sums).unflatten(0, (len(parts), layers)).sum(0).cpu() / len(positions)

    return {
        "states, data": torch.stack([s[:, data].float().mean(1).T.cpu() for s in streams]),
        "states, last position": torch.stack([s[:, last].float().mean(1).T.cpu() for s in streams]),
        "lens, data": lens(range(data.start, data.stop)),
        "lens, last position": lens(range(last.start, last.stop)),
    }


def _told(logits: Tensor, choices: Tensor, right: Tensor) -> Tensor:
    """The answer's share of the probability of all answers [n, pos]."""
    return (logits[..., choices.to(logits.device)].softmax(-1) * right.to(logits.device)[:, None]).sum(-1)


def probe_layers(
    fitted: Mapping[str, Array], told: Mapping[str, Array], known: Sequence[Item], given: Sequence[Item]
) -> dict[str, Array]:
    """Whether a probe of each layer names each given item's answer, by place [layer, n].

    `kept` [n]: whether the answer can be named at all; `commonest` [n]: whether it is the commonest known one.
    """
    classes = list(dict.fromkeys(item.answer for item in known))
    labels = torch.tensor([classes.index(item.answer) for item in known])
    allowed = allowed_classes([i.group for i in known], labels.tolist(), [i.group for i in given], len(classes))
    wanted = torch.tensor([classes.index(i.answer) if i.answer in classes else -1 for i in given])
    kept = (wanted >= 0) & allowed[torch.arange(len(given)), wanted]
    found: dict[str, Array] = {}
    for place in PLACES:
        pairs = zip(fitted[f"states, {place}"], told[f"states, {place}"], strict=True)
        right = [_probed(seen, new, labels, allowed, len(classes)) == wanted for seen, new in pairs]
        found[f"probe, {place}"] = torch.stack(right).double().numpy()
    return found | {"kept": kept.double().numpy(), "commonest": _commonest(labels, allowed, wanted)}


def _probed(seen: Array, new: Array, labels: Tensor, allowed: Tensor, classes: int) -> Tensor:
    return fit(torch.from_numpy(seen.T), labels, classes).predict(torch.from_numpy(new.T), allowed)


def _commonest(labels: Tensor, allowed: Tensor, wanted: Tensor) -> Array:
    """Whether each answer is the commonest known one, of those that its question has: what a probe of nothing says."""
    counts = labels.bincount(minlength=allowed.shape[1]).expand_as(allowed)
    return (counts.masked_fill(~allowed, -1).argmax(-1) == wanted).double().numpy()


def if_sure(found: Estimate, null: MaximumNull) -> Estimate:
    """Undefined unless the probe's best layer is right more often than the commonest answer, by more than noise is."""
    if null.p <= LEVEL or not math.isfinite(found.value):
        return found
    return undefined(
        found, f"no layer is surely read better than the commonest answer, p = {null.p:.2g} over all layers"
    )


def _items(selection: Selection[Item], batch_size: int) -> list[Item]:
    """The items in the order of the units' values."""
    return [item for unit in selection.units(batch_size) for item in unit.payload[1]]


def _rows(modality: Modality, shown: Mapping[str, Sequence[Estimate]], chance: float) -> list[Row]:
    layers = len(next(iter(shown.values())))
    found: list[Row] = []
    for layer in range(layers):
        told: dict[str, Any] = {"panel": modality, "layer": layer}
        for name, values in shown.items():
            told |= columns(name, values[layer])
        found.append(told | {"commonest answer": chance, "n": next(iter(shown.values()))[layer].n})
    return found


def _summary(task: str, depths: Mapping[str, Estimate]) -> str:
    known = {name.removeprefix("identified layer, "): f for name, f in depths.items() if math.isfinite(f.value)}
    if not known:
        counted = dict.fromkeys(f"{found.n} from {name.split(', ')[-1]}" for name, found in depths.items())
        return f"On {task}, no layer is identified: n = {' and '.join(counted)}; the notes say why."
    places = {name: " from ".join(name.split(", ")) for name in known}
    told = "; ".join(f"layer {said(found)} at the {places[name]}" for name, found in known.items())
    return f"On {task}, a linear probe is half-way to its best at {told}."


def _curves(
    modality: Modality, shown: Mapping[str, Sequence[Estimate]], chance: float, depths: Mapping[str, Estimate]
) -> Curves:
    own = {name.split(", ")[1]: found for name, found in depths.items() if name.endswith(modality)}
    return Curves(
        title=f"Answer read off states, {modality}",
        caption="Accuracy of linear probes fitted on discover and the answer's probability among all answers in the logit "
        "lens, on test, of what enters layer x; at the last x, of what leaves the model. Bands are 95% intervals.",
        x_title="layer",
        y_title="accuracy or probability",
        x=list(range(len(next(iter(shown.values()))))),
        series=[line(name, values) for name, values in shown.items()],
        lines_at=marked(own),
        levels=[(chance, "commonest answer")],
    )


def _notes(depths: Mapping[str, Estimate]) -> list[str]:
    return [
        "The probe reads the mean state of the data's positions: what only their order or a single one of them tells is lost.",
        "That a state can be read by a probe does not show that the model reads it.",
        *unknown(depths),
    ]
