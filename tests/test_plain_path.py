"""Scores and curves with every optimisation on are those of a plain loop, within 1e-5 of the largest (issue 11).

The loop takes prompts, path points and circuits one at a time, through models whose parameters are trained, with logits
at every position. Runs of some positions alone are held against whole runs in test_backpatch, test_cuts and test_trace.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from diptych.activations import Activations
from diptych.attribution._rules import midpoints
from diptych.attribution.ap_ig import ap_ig
from diptych.batch import Batch
from diptych.grid import Grid
from diptych.interventions import run_circuits
from diptych.items import Modality
from diptych.metrics import logit_diff
from diptych.models.calls import Path
from diptych.models.encode import encode
from diptych.models.sites import Site
from diptych.models.vlm import VLM
from prompts import answers, batch, contrasts
from tiny import FAMILIES, KERNELS, tiny

WITHIN = 1e-5
STEPS = 3
SIZES = (0.01, 0.1, 0.3, 0.7, 1.0)
every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
ATTRIBUTIONS: dict[str, dict[str, Any]] = {
    "summed gradients of a batch, parameters frozen, one position unembedded": {},
    "path points that share a run": {"at_once": 2},
    "low memory": {"memory": "low"},
    "all of them": {"memory": "low", "at_once": STEPS},
}
BATCHES = {"each circuit alone": 1, "some circuits share a run": 4, "all do": 64}


def logits_of(vlm: VLM, call: Any) -> torch.Tensor:
    """At the last position, of logits at all."""
    return vlm.read(call, range(call.input_ids.shape[1]))[:, -1]


def values_of(vlm: VLM, inputs: Any) -> Activations:
    with torch.no_grad(), vlm.record() as recording:
        logits_of(vlm, vlm.capture(inputs))
    return recording.activations()


def gradients(vlm: VLM, call: Any, some: Batch) -> dict[Site, torch.Tensor]:
    """What a backward pass through the whole model leaves at each site."""
    kept: dict[Site, torch.Tensor] = {}

    def keep(site: Site) -> Callable[[torch.Tensor], torch.Tensor]:
        def look(live: torch.Tensor) -> torch.Tensor:
            live.retain_grad()
            return kept.setdefault(site, live)

        return look

    with vlm.edit_inputs({site: keep(site) for site in vlm.sites}):
        logit_diff(logits_of(vlm, call), some.answers, some.counter_answers).sum().backward()
    return {site: live.grad for site, live in kept.items() if live.grad is not None}


def attributed(vlm: VLM, some: Batch) -> list[torch.Tensor]:
    """|direction × gradient|, summed over a head's width, of one prompt: heads, then neurons."""
    clean, other = values_of(vlm, some.clean), values_of(vlm, some.counterfactual)
    path = Path.between(vlm.capture(some.clean), vlm.capture(some.counterfactual))
    each = [gradients(vlm, path.at(float(alpha))[0], some) for alpha in midpoints(STEPS)]

    def products(site: Site) -> torch.Tensor:
        a, b = (getattr(values, site.kind)[site.layer][0] for values in (clean, other))
        return torch.stack([(b - a) * found[site][0] / STEPS for found in each]).sum(0).abs()

    heads, neurons = (torch.stack([products(site) for site in kind]) for kind in (vlm.sites.heads, vlm.sites.neurons))
    return [heads.sum(-1), neurons]


def plain_scores(vlm: VLM, modality: Modality) -> list[torch.Tensor]:
    """The mean over prompts, each attributed alone in a model that trains."""
    singles = encode(vlm, contrasts(modality), answers(vlm), batch_size=1).batches
    vlm.model.requires_grad_(True)
    try:
        each = [attributed(vlm, one) for one in singles]
    finally:
        vlm.model.zero_grad(set_to_none=True)
        vlm.model.requires_grad_(False)
    return [torch.stack(kind).mean(0) for kind in zip(*each, strict=True)]


def top_by_sort(nodes: torch.Tensor, size: float) -> torch.Tensor:
    kept = torch.zeros(nodes.numel(), dtype=torch.bool)
    kept[nodes.flatten().sort(descending=True, stable=True).indices[: int(size * 1000) * nodes.numel() // 1000]] = True
    return kept.view(nodes.shape)


@torch.no_grad()
def plain_curve(vlm: VLM, modality: Modality, scores: Grid) -> torch.Tensor:
    """Last-position logits [size, prompt, vocab], each of a run of its own with nodes chosen one by one by `where`."""

    def hold(kept: torch.Tensor, other: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda live: torch.where(kept[..., None] if live.ndim == 4 else kept, live, other)

    found = []
    for size in SIZES:
        kept = {"heads": top_by_sort(scores.heads, size), "neurons": top_by_sort(scores.neurons, size)}
        for one in encode(vlm, contrasts(modality), answers(vlm), batch_size=1).batches:
            values = values_of(vlm, one.counterfactual)
            edits = {s: hold(kept[s.kind][s.layer], getattr(values, s.kind)[s.layer]) for s in vlm.sites}
            with vlm.edit_inputs(edits):
                found.append(logits_of(vlm, vlm.capture(one.clean)))
    return torch.cat(found).unflatten(0, (len(SIZES), -1))


def apart(found: torch.Tensor, plain: torch.Tensor) -> float:
    """The largest difference, as a share of the largest plain value."""
    assert plain.abs().max() > 1e-3
    return float((found - plain).abs().max() / plain.abs().max())


@every_model
def test_scores_are_those_of_a_plain_loop(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    plain = plain_scores(vlm, "image")

    found = {name: ap_ig(vlm, batch(vlm, "image"), steps=STEPS, **how).scores for name, how in ATTRIBUTIONS.items()}

    largest = {name: max(map(apart, kinds, plain)) for name, kinds in found.items()}
    assert {name: error < WITHIN for name, error in largest.items()} == dict.fromkeys(ATTRIBUTIONS, True)


@every_model
def test_a_curve_is_that_of_a_plain_loop(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image")
    scores = ap_ig(vlm, some, steps=1).scores
    plain = plain_curve(vlm, "image", scores)
    call, values = vlm.capture(some.clean), values_of(vlm, some.counterfactual)

    found = {n: run_circuits(vlm, call, scores.tops(SIZES), values, batch_size=b) for n, b in BATCHES.items()}

    assert apart(plain[0], plain[-1]) > 1e-2
    assert {name: apart(logits, plain) < WITHIN for name, logits in found.items()} == dict.fromkeys(BATCHES, True)
