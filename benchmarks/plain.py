"""AP-IG and a curve as a plain loop does them: one prompt at a time, trainable parameters, logits at all positions."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.attribution import STEPS, Bare
from benchmarks.bench import Bench, Subject
from benchmarks.ratios import Line, in_turns, ratios
from diptych.faithfulness import MIB_SIZES
from diptych.metrics import logit_diff


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """How many times as long the plain loop takes as diptych; of a random model, since it takes prompts apart."""
    if not isinstance(subject, Bench):
        raise SystemExit("The plain loop runs on random models: choose 12, 28 or 2b.")
    work = Bare(subject)
    for name, ours, plain in (
        (f"AP-IG, {STEPS} points", work.ap_ig, lambda: attribute(subject)),
        (f"curve of {len(MIB_SIZES)} sizes", lambda: work.sweep(MIB_SIZES), lambda: curve(subject)),
    ):
        found = in_turns({"ours": ours, "plain": plain}, runs)
        yield Line(f"{name}: plain loop / diptych", subject.called, ratios(found["plain"], found["ours"]))


def attribute(bench: Bench) -> None:
    """Gradients by `backward`, activations of every prompt kept."""
    vlm, batch = bench.vlm, bench.batch
    vlm.model.requires_grad_(True)
    for row, (clean, counterfactual) in enumerate(bench.singles):
        with torch.no_grad(), vlm.record() as first:
            vlm.model(**clean, use_cache=False)
        with torch.no_grad(), vlm.record() as second:
            vlm.model(**counterfactual, use_cache=False)
        kept: dict[object, Tensor] = {}
        total = {site: torch.zeros_like(value) for site, value in first.values.items()}
        for _ in range(STEPS):
            with vlm.edit_inputs({site: _keep_gradient(kept, site) for site in vlm.sites}):
                logits = vlm.model(**clean, use_cache=False).logits[:, -1]
            logit_diff(logits, batch.answers[row : row + 1], batch.counter_answers[row : row + 1]).sum().backward()
            for site, value in kept.items():
                total[site] += (second.values[site] - first.values[site]) * value.grad  # type: ignore[index]
    vlm.model.zero_grad(set_to_none=True)
    vlm.model.requires_grad_(False)


@torch.no_grad()
def curve(bench: Bench) -> None:
    """Per prompt and size: the model, the counterfactual, the circuit and the empty circuit."""
    vlm = bench.vlm
    for clean, counterfactual in bench.singles:
        for size in MIB_SIZES:
            circuit = bench.scores.top(size)
            vlm.model(**clean, use_cache=False)
            with vlm.record() as recording:
                vlm.model(**counterfactual, use_cache=False)
            for kept in (circuit, circuit.map(torch.zeros_like)):
                edits = {s: _ablation(kept.heads[s.layer], recording.values[s]) for s in vlm.sites.heads}
                edits |= {s: _ablation(kept.neurons[s.layer], recording.values[s]) for s in vlm.sites.neurons}
                with vlm.edit_inputs(edits):
                    vlm.model(**clean, use_cache=False)


def _keep_gradient(kept: dict[object, Tensor], site: object) -> Callable[[Tensor], Tensor]:
    def look(live: Tensor) -> Tensor:
        live.retain_grad()
        kept[site] = live
        return live

    return look


def _ablation(kept: Tensor, other: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda live: torch.where(kept[..., None] if live.ndim == 4 else kept, live, other)
