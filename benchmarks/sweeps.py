"""Sweeps over layers per bare forward: the Hugging Face model on the same prompt, tower and all."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from benchmarks.bench import Subject
from benchmarks.ratios import Line, Work, in_turns, ratios
from diptych.backpatch import Cell, back_patch, cells
from diptych.crosspatch import cross_patch
from diptych.cuts import Cut, cut_off, default_window, layer_sets
from diptych.freezing import freeze
from diptych.models.calls import DecoderCall

CUT = "data:query+generation"


@torch.no_grad()
def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """Cells, windows, patched layers and frozen layers per bare forward."""
    vlm, batch = subject.vlm, subject.batch
    call, layers, bare = vlm.capture(batch.clean), len(vlm.layers), bare_forward(subject)
    some, sets = sampled(layers), layer_sets("sliding", layers, default_window(layers))
    places, data, half = Cut.named(CUT).slices(batch.layout), batch.layout.data, layers // 2
    donor = vlm.capture(batch.counterfactual)
    bare()  # warm
    sweeps: Mapping[str, tuple[int, float | None, Work]] = {
        "back-patching: cells": (len(some), 2.5, lambda: list(_patched(subject, call, some))),
        "knockout: windows": (len(sets), 1.8, lambda: list(cut_off(vlm, call, places, sets))),
        "cross-patching: layers": (
            layers + 1,
            None,
            lambda: list(cross_patch(vlm, call, donor, data, range(layers + 1))),
        ),
        "freezing: layers": (half, None, lambda: list(freeze(vlm, call, data, range(half), half))),
    }
    for name, (count, target, work) in sweeps.items():
        found = in_turns({"bare": bare, "sweep": work}, runs)
        yield Line(f"{name} per forward", subject.called, ratios(found["bare"], found["sweep"], count), target)


@torch.no_grad()
def unshared(subject: Subject, runs: int) -> Iterator[Line]:
    """The same without what decision 0024 shares: cells one set of destinations at a time, windows from the first layer."""
    vlm, batch = subject.vlm, subject.batch
    call, layers, bare = vlm.capture(batch.clean), len(vlm.layers), bare_forward(subject)
    groups = by_destinations(sampled(layers), layers)
    sets = layer_sets("sliding", layers, default_window(layers))[:: max(1, layers // 4)]
    places = Cut.named(CUT).slices(batch.layout)

    def patched() -> None:
        for group in groups:
            list(_patched(subject, call, group))

    def from_the_start() -> None:
        for chosen in sets:
            with vlm.knockout(*places, chosen):
                vlm.run(call)

    found = in_turns({"bare": bare, "cells": patched, "windows": from_the_start}, runs)
    for name, count in (("cells", sum(map(len, groups))), ("windows", len(sets))):
        yield Line(f"unshared {name} per forward", subject.called, ratios(found["bare"], found[name], count))


def bare_forward(subject: Subject) -> Work:
    """The Hugging Face model on the clean prompts."""
    return partial(subject.vlm.model, **subject.batch.clean, logits_to_keep=1, use_cache=False)


def _patched(subject: Subject, call: DecoderCall, some: Sequence[Cell]) -> Iterator[object]:
    batch = subject.batch
    return back_patch(subject.vlm, call, batch.layout.data, some, batch_size=8 * len(batch))


def sampled(layers: int) -> list[Cell]:
    """The cells of a whole sweep that end in one layer in three, so that they cost about what all do on average."""
    return [cell for cell in cells(layers) if cell.pairs(layers)[-1][1] == layers // 3]


def by_destinations(some: list[Cell], layers: int) -> list[list[Cell]]:
    """Cells that overwrite the same layers: no two of them end in one pair."""
    found: dict[tuple[int, ...], list[Cell]] = {}
    for cell in some:
        found.setdefault(tuple(destination for _, destination in cell.pairs(layers)), []).append(cell)
    return list(found.values())
