"""What the shared prefix's keys and values, computed once, would save of a run and of a step of AP-IG (decision 0026)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

from benchmarks.bench import Subject
from benchmarks.ratios import Line, Work, in_turns, ratios
from diptych.models.calls import EMBEDDINGS, DecoderCall
from diptych.models.past import alone
from diptych.models.trace import trace
from diptych.models.vlm import VLM

Opened = Callable[[], AbstractContextManager[object]]
SYSTEM, TEXT = 60, 94
"""Positions of a long system prompt, and of it and a text item behind it."""


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """How many times as long all positions take as those behind the prefix: of the subject's prompts and of long ones."""
    vlm, batch = subject.vlm, subject.batch
    layouts = {
        batch.layout.prefix.stop: vlm.capture(batch.clean),
        SYSTEM: vlm.capture(words(len(batch), TEXT)),
    }
    for prefix, call in layouts.items():
        told = f"prefix of {prefix} of {call.input_ids.shape[1]} positions"
        for name, (whole, behind) in works(vlm, call, prefix).items():
            behind()  # warm
            found = in_turns({"whole": whole, "behind": behind}, runs)
            yield Line(f"{name}, {told}: before / after", subject.called, ratios(found["whole"], found["behind"]))


def works(vlm: VLM, call: DecoderCall, prefix: int) -> Mapping[str, tuple[Work, Work]]:
    """A forward, and a forward and backward, of all positions and of those behind the prefix."""
    own = trace(vlm, call, [prefix])
    if own.past is None:
        raise SystemExit(f"{vlm.name} cannot run later positions alone: {own.why}")
    behind = partial(alone, vlm, own.past.until(prefix), slice(prefix, call.input_ids.shape[1]))
    return {
        name: (partial(work, vlm, call, nullcontext), partial(work, vlm, call, behind))
        for name, work in {"run": forward, "step": step}.items()
    }


@torch.no_grad()
def forward(vlm: VLM, call: DecoderCall, opened: Opened) -> None:
    with opened():
        vlm.run(call)


def step(vlm: VLM, call: DecoderCall, opened: Opened) -> None:
    embeddings = call.embeddings.clone().requires_grad_()
    moved = call.with_leaves(lambda name, leaf: embeddings if name.endswith(EMBEDDINGS) else leaf)
    with opened():
        value = vlm.run(moved)[:, 0].sum()
    torch.autograd.grad(value, embeddings)


def words(prompts: int, positions: int) -> dict[str, torch.Tensor]:
    """Prompts of one random text."""
    ids = torch.randint(20, 60, (1, positions), generator=torch.Generator().manual_seed(0)).repeat(prompts, 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": torch.zeros_like(ids)}
