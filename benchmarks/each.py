"""Each optimisation alone: how many times as long the same work takes without it."""

from collections.abc import Iterator, Mapping
from functools import partial

import torch

from benchmarks.attribution import BATCH, STEPS, Bare
from benchmarks.bench import Subject
from benchmarks.ratios import Line, Work, in_turns, ratios
from diptych.attribution.ap_ig import ap_ig
from diptych.faithfulness import MIB_SIZES
from diptych.interventions import run_circuits


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """Time before / after; below 1 what is saved is memory (see `peak`)."""
    for name, (before, after) in optimisations(Bare(subject)).items():
        after()  # warm
        found = in_turns({"before": before, "after": after}, runs)
        yield Line(f"{name}: before / after", subject.called, ratios(found["before"], found["after"]))


def optimisations(work: Bare) -> Mapping[str, tuple[Work, Work]]:
    """What is done without and with each of them; later positions alone are measured by `sweeps` and its `unshared`."""
    vlm, scores, call = work.vlm, work.scores, work.call
    attributed = partial(ap_ig, vlm, work.batch, rule="right", steps=STEPS)
    swept = partial(run_circuits, vlm, call, list(scores.tops(MIB_SIZES)), work.replacement())
    return {
        "one ranking for all sizes": (
            lambda: [scores.top(size) for size in MIB_SIZES],
            lambda: list(scores.tops(MIB_SIZES)),
        ),
        "circuits that share a run": (lambda: swept(batch_size=1), lambda: swept(batch_size=BATCH)),
        "path points that share a run if they are short": (partial(attributed, at_once=1), attributed),
        "pictures of a batch together": (
            lambda: vlm.capture_each([work.batch.clean]),
            lambda: vlm.capture(work.batch.clean),
        ),
        "a step with parameters frozen": (partial(trained, work), work.step),
        "the last position alone unembedded": (partial(unembedded, work), work.run),
        'AP-IG, memory="low"': (attributed, partial(attributed, memory="low")),
    }


def trained(work: Bare) -> None:
    """A bare step's backward pass with the gradients of all parameters."""
    model = work.vlm.model.requires_grad_(True)
    try:
        work.value(work.call.embeddings.clone().requires_grad_()).backward()
    finally:
        model.zero_grad(set_to_none=True)
        model.requires_grad_(False)


@torch.no_grad()
def unembedded(work: Bare) -> None:
    """The logits of all positions."""
    work.vlm.read(work.call, range(work.call.input_ids.shape[1]))
