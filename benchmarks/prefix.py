"""What a long prefix, computed once, saves of AP-IG and of a curve (decision 0034)."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from unittest.mock import patch

import torch

from benchmarks.attribution import BATCH, STEPS
from benchmarks.bench import Subject
from benchmarks.ratios import Line, Work, in_turns, ratios
from diptych.attribution.ap_ig import ap_ig
from diptych.batch import Batch, Inputs
from diptych.faithfulness import MIB_SIZES
from diptych.grid import Grid
from diptych.interventions import run_circuits
from diptych.items import Contrast, Item
from diptych.layout import Layout
from diptych.models import beginning
from diptych.models.beginning import begin
from diptych.models.vlm import VLM

POSITIONS = 94
PREFIXES = (30, 60)
"""Of a template's own system prompt and of a long one, each with a text item behind it: 94 positions in all."""


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """How many times as long all positions take as those behind the prefix."""
    vlm = subject.vlm
    for prefix in PREFIXES:
        batch = words(len(subject.batch), prefix)
        for name, work in works(vlm, batch).items():
            with whole():
                work()  # warm
            found = in_turns({"whole": partial(_whole, work), "behind": work}, runs)
            told = f"prefix of {prefix} of {POSITIONS} positions"
            yield Line(f"{name}, {told}: before / after", subject.called, ratios(found["whole"], found["behind"]))


def works(vlm: VLM, batch: Batch) -> Mapping[str, Work]:
    """AP-IG, and a curve of random scores."""
    sites, chance = vlm.sites, torch.Generator().manual_seed(3)
    heads, neurons = (
        torch.rand(len(kind), batch.layout.length, kind[0].count, generator=chance)
        for kind in (sites.heads, sites.neurons)
    )
    scores = Grid(heads, neurons, batch.layout, vlm.digest, sites.there)
    return {
        f"AP-IG, {STEPS} points": lambda: ap_ig(vlm, batch, rule="right", steps=STEPS),
        f"curve of {len(MIB_SIZES)} sizes": lambda: curve(vlm, batch, scores),
    }


@torch.no_grad()
def curve(vlm: VLM, batch: Batch, scores: Grid) -> None:
    """Circuits of all sizes, as the experiment runs them."""
    clean, other = vlm.capture(batch.clean), vlm.capture(batch.counterfactual)
    found = begin(vlm, (clean, other), batch.layout.prefix.stop, len(MIB_SIZES))
    with found.behind(other), vlm.record() as recording:
        vlm.run(other)
    values = recording.activations()
    run_circuits(vlm, clean, scores.tops(MIB_SIZES), values, batch_size=BATCH, beginning=found)


def whole() -> AbstractContextManager[object]:
    """While open, no prefix is worth computing once."""
    return patch.object(beginning, "LOST", 1.0)


def _whole(work: Work) -> None:
    with whole():
        work()


def words(prompts: int, prefix: int) -> Batch:
    """Prompts of random words that begin alike and differ in those behind the prefix."""
    chance = torch.Generator().manual_seed(0)
    alike = torch.randint(5, 60, (1, POSITIONS), generator=chance).repeat(prompts, 1)
    data = slice(prefix, prefix + (POSITIONS - prefix) // 2)
    items = [Item(name, "words", None, "query", name) for name in ("yes", "no")]
    places = torch.arange(prompts)
    return Batch(
        tuple(Contrast("text", *items) for _ in range(prompts)),
        *(_inputs(alike, data, seed) for seed in (1, 2)),
        10 + places,
        40 + places,
        Layout.of((data.start, data.stop), POSITIONS),
    )


def _inputs(alike: torch.Tensor, data: slice, seed: int) -> Inputs:
    ids, chance = alike.clone(), torch.Generator().manual_seed(seed)
    ids[:, data] = torch.randint(5, 60, ids[:, data].shape, generator=chance)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": torch.zeros_like(ids)}
