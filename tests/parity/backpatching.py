"""Parity of back-patching: both of the reference's forms, and its loop."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from diptych.backpatch import Cell, back_patch, loop
from diptych.interventions import patch_residuals
from diptych.metrics import correct
from diptych.models.calls import DecoderCall
from diptych.models.handed import record_handed

from .golden import PANELS, Golden
from .quantity import LOGITS, Quantity, compare

Pairs = list[tuple[Tensor, Tensor]]


def quantities(golden: Golden) -> Iterator[Quantity]:
    """`repeat1` is back-patching; in `repeat0` all layers above the patched ones get their clean residual back."""
    stored = golden.tensors("backpatching")
    found: dict[str, Pairs] = {"": [], ", layers above put back": []}
    accuracies: Pairs = []
    for panel in PANELS:
        cases = [c for c in golden.json("backpatching")["cases"] if c["key"] in stored and c["modality"] == panel]
        patched = _patched(golden, panel, [_cell(case) for case in cases])
        for case in cases:
            logits = patched[_cell(case)] if case["repeat"] else _put_back(golden, case)
            found["" if case["repeat"] else ", layers above put back"].append((_centred(logits), stored[case["key"]]))
            accuracies.append((_accuracy(golden, panel, logits), torch.tensor([case["acc_limited"]])))
    for form, pairs in found.items():
        yield compare(f"back-patching logits{form}", pairs, LOGITS)
    yield compare("back-patching accuracy", accuracies, LOGITS)
    looped = [(_looped(golden, name), value) for name, value in stored.items() if ".looped." in name]
    yield compare("back-patching logits, looped", looped, LOGITS)


def _patched(golden: Golden, panel: str, some: list[Cell]) -> dict[Cell, Tensor]:
    call = golden.vlm.capture(golden.batch(panel).clean)
    return dict(back_patch(golden.vlm, call, golden.layout(panel).data, list(set(some))))


@torch.no_grad()
def _put_back(golden: Golden, case: Any) -> Tensor:
    vlm, layers = golden.vlm, len(golden.vlm.layers)
    call, clean = _clean(golden, case["modality"])
    above = case["dst"] + 1 + case["window"] // 2
    values = {layer: clean[layer] for layer in range(above, layers)}
    values |= {destination: clean[source] for source, destination in _cell(case).pairs(layers)}
    with patch_residuals(vlm, golden.layout(case["modality"]).data, values):
        return vlm.run(call)


@cache
@torch.no_grad()
def _clean(golden: Golden, panel: str) -> tuple[DecoderCall, list[Tensor]]:
    call = golden.vlm.capture(golden.batch(panel).clean)
    with record_handed(golden.vlm) as residuals:
        golden.vlm.run(call)
    return call, residuals


def _cell(case: Any) -> Cell:
    return Cell(case["dst"], case["window"], case["src"])


@torch.no_grad()
def _looped(golden: Golden, name: str) -> Tensor:
    """Each round patches from the round before; the first one is not patched."""
    panel, _, source, destination, _ = name.split(".")
    cell = Cell(int(destination.removeprefix("dst")), 1, int(source.removeprefix("src")))
    call = golden.vlm.capture(golden.batch(panel).clean)
    rounds = len(golden.tensors("backpatching")[name]) - 1
    found = loop(golden.vlm, call, golden.layout(panel).data, cell, rounds)
    return torch.stack([_centred(logits) for logits in (golden.vlm.run(call), *found)])


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(-1, keepdim=True)


def _accuracy(golden: Golden, panel: str, logits: Tensor) -> Tensor:
    right = correct(logits, golden.batch(panel).answers, torch.tensor(golden.meta["limited_labels"]))
    return right.mean()[None]
