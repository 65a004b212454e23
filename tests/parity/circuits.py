"""Parity of what is made of scores: rankings, circuits, their faithfulness, overlaps and interchanges."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.activations import Activations
from diptych.attribution.ap_ig import ap_ig
from diptych.compare import overlaps
from diptych.grid import KINDS, Circuit, Scores
from diptych.interventions import run_circuits
from diptych.metrics import Metric, accuracy, logit, logit_diff, probability
from diptych.models.calls import DecoderCall
from diptych.paper_compat import PAPER_A
from diptych.swap import Combination, carry, interchanged, splice

from .golden import PANELS, Golden
from .quantity import ATTRIBUTION as SCORES
from .quantity import EXACT, LOGITS, RATIOS, ROUNDED, Quantity, compare, numbers

SEGMENTS = {"D": "data", "Q": "query", "G": "generation"}
SOURCES = {"V": "image", "L": "text", "R": "random"}
NAMES = {"heads": "head", "neurons": "neurons"}

Pairs = list[tuple[Tensor, Tensor]]


def quantities(golden: Golden) -> Iterator[Quantity]:
    """Everything about circuits that the set holds."""
    yield compare(
        "head scores",
        [(scores(golden, p).heads, golden.tensors("ranking")[f"{p}.head_scores"]) for p in PANELS],
        SCORES,
    )
    yield compare("circuit membership", _membership(golden), EXACT)
    yield from _faithfulness(golden)
    yield from _overlap(golden)
    if golden.has("interchange.json"):
        yield from _interchange(golden)


@cache
def scores(golden: Golden, panel: str) -> Scores:
    """Paper A's scores: AP-IG with 5 right steps and its departures."""
    return ap_ig(golden.vlm, golden.batch(panel), rule="right", steps=5, **PAPER_A.attribution).scores


def _membership(golden: Golden) -> Pairs:
    """The circuits of each size against the first nodes of the reference's sorted lists."""
    ranked, pairs = golden.tensors("ranking"), []
    for panel in PANELS:
        for case in golden.json("faithfulness")["sizes"][panel]:
            listed = (ranked[f"{panel}.{kind}_sorted"][: case[f"n_{kind}"]] for kind in KINDS)
            theirs, ours = golden.circuit(panel, *listed), _top(golden, panel, case["percent"])
            pairs += [(a.double(), b.double()) for a, b in zip(ours, theirs, strict=True)]
    return pairs


def _top(golden: Golden, panel: str, size: float) -> Circuit:
    return scores(golden, panel).top(size)


def _faithfulness(golden: Golden) -> Iterator[Quantity]:
    stored = golden.json("faithfulness")
    cases = [(p, _top(golden, p, case["percent"]), case) for p in PANELS for case in stored["sizes"][p]]
    cases += [(p, _extra(golden, p, name, case), case) for p in PANELS for name, case in stored["extra"][p].items()]
    yield from _effects(golden, "faithfulness", cases)
    metrics: dict[str, Metric] = {
        "metric_logit": logit,
        "metric_prob": probability,
        "metric_acc": accuracy(torch.tensor(golden.meta["limited_labels"])),
    }
    for name, metric in metrics.items():
        measured = [(case[name], _measure(golden, p, circuit, metric)) for p, circuit, case in cases if name in case]
        ratios = [(_ratio(*values), numbers(case["per_prompt"])) for case, values in measured]
        yield compare(f"faithfulness, {name}, per prompt", ratios, RATIOS)


def _effects(golden: Golden, name: str, cases: Sequence[tuple[str, Circuit, Any]]) -> Iterator[Quantity]:
    """Logit differences of the model, the circuit and the empty circuit, and both ways of putting them together."""
    measured = [(case, _measure(golden, panel, circuit, logit_diff)) for panel, circuit, case in cases]
    for index, part in enumerate(("circuit_ld", "all_ablated_ld", "clean_ld")):
        yield compare(f"{name}, {part}", [(values[index], numbers(case[part])) for case, values in measured], LOGITS)
    yield compare(f"{name}, per prompt", [(_ratio(*v), numbers(case["per_prompt"])) for case, v in measured], LOGITS)
    means = [(torch.tensor([PAPER_A.faithful(*map(_array, v))]), numbers([case["mean"]])) for case, v in measured]
    yield compare(f"{name}, mean of ratios", means, LOGITS)


@torch.no_grad()
def _measure(golden: Golden, panel: str, circuit: Circuit, metric: Metric) -> tuple[Tensor, Tensor, Tensor]:
    """The metric per prompt under the circuit, the empty circuit (the counterfactual run itself) and the model."""
    batch, (call, clean, counterfactual, values) = golden.batch(panel), _runs(golden, panel)
    (live,) = run_circuits(golden.vlm, call, [circuit], values)
    value = partial(_value, metric, batch.answers, batch.counter_answers, clean)
    return value(live), value(counterfactual), value(clean)


@cache
@torch.no_grad()
def _runs(golden: Golden, panel: str) -> tuple[DecoderCall, Tensor, Tensor, Activations]:
    """The clean call, the clean and the counterfactual logits, and the counterfactual activations."""
    vlm, batch = golden.vlm, golden.batch(panel)
    call = vlm.capture(batch.clean)
    with vlm.record() as recording:
        counterfactual = vlm.run(vlm.capture(batch.counterfactual))
    return call, vlm.run(call), counterfactual, recording.activations()


def _value(metric: Metric, answers: Tensor, counter_answers: Tensor, clean: Tensor, logits: Tensor) -> Tensor:
    return metric(logits, answers, counter_answers, clean)


def _ratio(circuit: Tensor, empty: Tensor, model: Tensor) -> Tensor:
    return (circuit - empty) / (model - empty)


def _array(values: Tensor) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return values.double().numpy()


def _extra(golden: Golden, panel: str, name: str, case: Any) -> Circuit:
    """Only heads or only neurons of the quarter, or an explicit random circuit."""
    if "heads" in case:
        return golden.circuit(panel, case["heads"], case["neurons"])
    quarter = _top(golden, panel, 0.25)
    dropped = quarter.neurons if name.startswith("heads_only") else quarter.heads
    dropped[:] = False
    return quarter


def _overlap(golden: Golden) -> Iterator[Quantity]:
    """The names l_ and vl_ are swapped within segments there, so that their mean alone is compared."""
    ious, drawn, shown = [], [], []
    for key, stored in golden.json("intersection").items():
        sizes = key.split("_")
        pair = [_top(golden, panel, float(size)) for panel, size in zip(PANELS, sizes, strict=True)]
        random = golden.tensors(f"random_circuits_{key}")
        chance = [
            golden.circuit(p, *(random[f"{s}_{k}"] for k in KINDS)) for p, s in (("textual", "l"), ("visual", "vl"))
        ]
        found, baseline = _segments(*pair), _segments(*chance)
        ious += [(found[name], _theirs(stored["dict"], name, "iou")) for name in found]
        drawn += [(baseline[name], _theirs(stored["dict"], name, "baseline")) for name in baseline]
        for notebook, positions in (("no_pos_in_data", False), ("with_pos", True)):
            theirs = stored["notebook"][notebook]["normalized_D_Q_G"][0]
            shown.append((_shown(found, baseline, positions), numbers(theirs)))
    yield compare("overlap, IoU", ious, ROUNDED)
    yield compare("overlap, IoU of the reference's random circuits", drawn, ROUNDED)
    yield compare("overlap, normalised as plotted (i_minus_2b)", shown, ROUNDED)


def _segments(text: Circuit, image: Circuit) -> dict[tuple[str, str, bool], Tensor]:
    """(segment, kind, positions kept) → IoU, mean of both directions."""
    letters = {segment: letter for letter, segment in SEGMENTS.items()}
    found = [*overlaps(text, image), *overlaps(text, image, {"data": "kept"})]
    return {(letters[x.segment], x.kind, x.positions == "kept"): torch.tensor([x.iou]) for x in found}


def _theirs(stored: Any, name: tuple[str, str, bool], what: str) -> Tensor:
    letter, kind, positions = name
    ends = "" if positions else "_no_pos"
    both = [stored[f"{side}_{letter}_{NAMES[kind]}_{what}{ends}"] for side in ("l", "vl")]
    return torch.tensor([sum(both) / 2])


def _shown(found: dict[Any, Tensor], baseline: dict[Any, Tensor], positions: bool) -> Tensor:
    """Heads and neurons rounded to three digits and averaged, then normalised as the notebook does."""
    shown = []
    for letter in SEGMENTS:
        keep = positions or letter != "D"
        means = [np.mean([round(float(of[letter, kind, keep]), 3) for kind in KINDS]) for of in (found, baseline)]
        shown.append(PAPER_A.normalise(*map(float, means)))
    return torch.tensor(shown)


def _interchange(golden: Golden) -> Iterator[Quantity]:
    """The fourteen combinations; a random part is taken as it is listed."""
    stored, listed = golden.json("interchange"), golden.tensors("interchange_neurons")
    cases, members = [], []
    for key, case in stored.items():
        explicit = golden.circuit(case["prompts"], case["heads"], listed[key])
        cases.append((case["prompts"], explicit, case))
        if "R" not in key:
            spliced = _spliced(golden, combination(key, case["prompts"]))
            members += [(a.double(), b.double()) for a, b in zip(spliced, explicit, strict=True)]
    yield compare("interchange, circuit membership", members, EXACT)
    yield from _effects(golden, "interchange", cases)
    if golden.has("interchange_normalised.json"):
        yield compare("interchange, normalised", [_normalised(golden, cases)], RATIOS)


def combination(key: str, panel: str) -> Combination:
    """`DV_QL_LV`: data from the visual circuit, query from the textual one, last position from the visual one."""
    return Combination(PANELS[panel], *(SOURCES[part[1]] for part in key.split("_")))


def _spliced(golden: Golden, wanted: Combination) -> Circuit:
    own, other = (_top(golden, p, 0.25) for p in sorted(PANELS, key=lambda p: PANELS[p] != wanted.into))
    return splice(own, carry(other, own.layout), wanted.swapped)


def _normalised(golden: Golden, cases: Sequence[tuple[str, Circuit, Any]]) -> tuple[Tensor, Tensor]:
    """Data, query and generation: means of ratios of both directions, put together as the reference does."""
    keys = [combination(key, case["prompts"]) for key, case in golden.json("interchange").items()]
    values = [PAPER_A.faithful(*map(_array, _measure(golden, p, circuit, logit_diff))) for p, circuit, _ in cases]

    def mean(part: str, random: bool = False) -> list[float]:
        return [v for k, v in zip(keys, values, strict=True) if k.part == part and (k.source == "random") == random]

    found = [interchanged(mean("own"), mean(part), mean(part, random=True)) for part in SEGMENTS.values()]
    (theirs,) = golden.json("interchange_normalised")["normalised_clamped_min0"]
    return torch.tensor(np.array(found)).clamp(min=0), numbers(theirs)
