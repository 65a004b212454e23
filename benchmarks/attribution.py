"""`python -m benchmarks.attribution`: CPU time of AP-IG and of a faithfulness curve, against the floor and a plain loop.

The floor is bare Hugging Face forwards and backwards of the same shapes (methods §15). The plain loop takes one prompt
at a time, with trainable parameters, logits at all positions and, for a curve, four forwards per size. All three are
measured in turns in one process, on one thread; the least of several rounds counts. Nothing is downloaded.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping

import torch
from benchmarks.bench import Bench
from tests.memory import PeakMemory
from torch import Tensor

from diptych.attribution.ap_ig import ap_ig
from diptych.faithfulness import MIB_SIZES
from diptych.interventions import run_circuits
from diptych.metrics import logit_diff

STEPS = 5


def floor_of_ap_ig(bench: Bench) -> None:
    """2F and k(F + B) of the bare model: parameters frozen, vision once per picture, the last position unembedded."""
    vlm, batch = bench.vlm, bench.batch
    with torch.no_grad():
        for inputs in (batch.clean, batch.counterfactual):
            vlm.model(**inputs, logits_to_keep=1, use_cache=False)
    call = bench_call(bench)
    for _ in range(STEPS):
        embeddings = call["inputs_embeds"].clone().requires_grad_()
        hidden = vlm.sites.decoder(**{**call, "inputs_embeds": embeddings}).last_hidden_state
        logits = vlm.sites.unembedding(hidden[:, -1:])[:, -1]
        value = logit_diff(logits, batch.answers, batch.counter_answers).sum()
        torch.autograd.grad(value, embeddings)


def floor_of_curve(bench: Bench) -> None:
    """(2 + S)F of the bare model."""
    vlm, batch = bench.vlm, bench.batch
    with torch.no_grad():
        for inputs in (batch.clean, batch.counterfactual):
            vlm.model(**inputs, logits_to_keep=1, use_cache=False)
        for _ in MIB_SIZES:
            vlm.sites.unembedding(vlm.sites.decoder(**bench_call(bench)).last_hidden_state[:, -1:])


def bench_call(bench: Bench) -> dict[str, Tensor]:
    """The decoder's own arguments, made once before anything is measured."""
    return CALLS.setdefault(bench, dict(bench.vlm.capture(bench.batch.clean).kwargs))


CALLS: dict[Bench, dict[str, Tensor]] = {}


def our_ap_ig(bench: Bench) -> None:
    ap_ig(bench.vlm, bench.batch, rule="right", steps=STEPS)


def our_ap_ig_in_low_memory(bench: Bench) -> None:
    ap_ig(bench.vlm, bench.batch, rule="right", steps=STEPS, memory="low")


@torch.no_grad()
def our_curve(bench: Bench) -> None:
    vlm, batch = bench.vlm, bench.batch
    call = vlm.capture(batch.clean)
    vlm.run(call)
    with vlm.record() as recording:
        vlm.run(vlm.capture(batch.counterfactual))
    circuits = (bench.scores.top(size) for size in MIB_SIZES)
    run_circuits(vlm, call, circuits, recording.activations(), batch_size=1)


def plain_ap_ig(bench: Bench) -> None:
    """One prompt at a time, trainable parameters, all-position logits, gradients by `backward`."""
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
            edits = {site: keep_gradient(kept, site) for site in vlm.sites}
            with vlm.edit_inputs(edits):
                logits = vlm.model(**clean, use_cache=False).logits[:, -1]
            logit_diff(logits, batch.answers[row : row + 1], batch.counter_answers[row : row + 1]).sum().backward()
            for site, value in kept.items():
                total[site] += (second.values[site] - first.values[site]) * value.grad  # type: ignore[index]
    vlm.model.zero_grad(set_to_none=True)
    vlm.model.requires_grad_(False)


def keep_gradient(kept: dict[object, Tensor], site: object) -> Callable[[Tensor], Tensor]:
    def look(live: Tensor) -> Tensor:
        live.retain_grad()
        kept[site] = live
        return live

    return look


@torch.no_grad()
def plain_curve(bench: Bench) -> None:
    """Per prompt and size: the model, the counterfactual, the circuit and the empty circuit, with all-position logits."""
    vlm = bench.vlm
    for clean, counterfactual in bench.singles:
        for size in MIB_SIZES:
            circuit = bench.scores.top(size)
            vlm.model(**clean, use_cache=False)
            with vlm.record() as recording:
                vlm.model(**counterfactual, use_cache=False)
            for kept in (circuit, circuit.map(torch.zeros_like)):
                edits = {s: ablation(kept.heads[s.layer], recording.values[s]) for s in vlm.sites.heads}
                edits |= {s: ablation(kept.neurons[s.layer], recording.values[s]) for s in vlm.sites.neurons}
                with vlm.edit_inputs(edits):
                    vlm.model(**clean, use_cache=False)


def ablation(kept: Tensor, other: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda live: torch.where(kept[..., None] if live.ndim == 4 else kept, live, other)


COMPARED: Mapping[str, tuple[Callable[[Bench], None], Callable[[Bench], None], Callable[[Bench], None]]] = {
    "AP-IG, 5 points": (our_ap_ig, floor_of_ap_ig, plain_ap_ig),
    "curve of 10 sizes": (our_curve, floor_of_curve, plain_curve),
}


def least(bench: Bench, functions: tuple[Callable[[Bench], None], ...], rounds: int) -> list[float]:
    """CPU seconds of each function, the least of several rounds in turns; the last one runs in the first round alone."""
    found: list[list[float]] = [[] for _ in functions]
    for turn in range(rounds):
        for times, function in zip(found, functions if turn == 0 else functions[:-1], strict=False):
            start = time.process_time()
            function(bench)
            times.append(time.process_time() - start)
    return [min(times) for times in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(chosen.vocabulary, chosen.prompts)
    our_curve(bench)  # warm
    bench_call(bench)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}"
    )
    print(
        "| what | diptych, CPU s | floor | plain loop | share of the floor | times the plain loop |\n|---|---|---|---|---|---|"
    )
    for name, functions in COMPARED.items():
        ours, floor, plain = least(bench, functions, chosen.rounds)
        print(
            f"| {name} | {ours:.2f} | {floor:.2f} | {plain:.2f} | {floor / ours:.2f} | {plain / ours:.1f} |", flush=True
        )
    (low, _) = least(bench, (our_ap_ig_in_low_memory, floor_of_ap_ig), 1)
    peaks = {}
    for name, function in (("high", our_ap_ig), ("low", our_ap_ig_in_low_memory)):
        with PeakMemory() as used:
            function(bench)
        peaks[name] = used.peak / 2**20
    print(
        f'memory="low": {low:.2f} CPU s; peak of tensors alive {peaks["low"]:.0f} MiB against {peaks["high"]:.0f} MiB'
    )


if __name__ == "__main__":
    main()
