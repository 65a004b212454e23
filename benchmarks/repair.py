"""`python -m benchmarks.repair`: CPU time of `generate` under a back-patch, against the same call without one.

The bound is 1 + (src + 1) / L forwards of the decoder on the prompt; vision tower and unembedding run once either way. The
prompt is read by `generate` for one new token; a later step is a seventh of what seven more tokens take. Plain and patched
calls are measured in turns in one process, on one thread; the least of several rounds counts. Nothing is downloaded.
"""

import argparse
import os
import platform
import time
from contextlib import nullcontext

import torch

from benchmarks.bench import Bench
from diptych.deployed import BackPatch

MORE = 7
"""Tokens behind the first."""


def seconds(bench: Bench, patch: BackPatch | None, new_tokens: int) -> float:
    """CPU seconds of one greedy generation."""
    with patch.apply(bench.vlm.model) if patch else nullcontext():
        start = time.process_time()
        bench.vlm.generate(bench.batch.clean, max_new_tokens=new_tokens, do_sample=False)
        return time.process_time() - start


def decoder_seconds(bench: Bench) -> float:
    """CPU seconds of the decoder's forward on the prompt, without vision tower and unembedding."""
    call = bench.vlm.capture(bench.batch.clean)
    with torch.no_grad():
        start = time.process_time()
        bench.vlm.sites.decoder(*call.args, **call.kwargs)
        return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sources", type=int, nargs="+", default=[2, 5, 8, 11])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(chosen.vocabulary, chosen.prompts)
    layers = len(bench.vlm.layers)
    patches = {src: BackPatch(src, 0) for src in chosen.sources}
    seconds(bench, patches[chosen.sources[0]], 2)  # warm
    read: dict[int | None, list[float]] = {src: [] for src in (None, *patches)}
    wrote: dict[int | None, list[float]] = {src: [] for src in (None, *patches)}
    decoder = []
    for _ in range(chosen.rounds):
        decoder.append(decoder_seconds(bench))
        for src in read:
            read[src].append(seconds(bench, patches.get(src) if src is not None else None, 1))
            wrote[src].append(seconds(bench, patches.get(src) if src is not None else None, 1 + MORE))
    plain, forward = min(read[None]), min(decoder)
    step = (min(wrote[None]) - plain) / MORE
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"torch {torch.__version__}; prompt read in {plain:.2f} CPU s, {forward:.2f} of them the decoder; "
        f"a later token in {step:.3f}"
    )
    print(
        "| src | prompt, CPU s | times plain | decoder forwards | bound | a later token, CPU s |\n|---|---|---|---|---|---|"
    )
    for src in patches:
        patched = min(read[src])
        forwards = 1 + (patched - plain) / forward
        later = (min(wrote[src]) - patched) / MORE
        print(
            f"| {src} | {patched:.2f} | {patched / plain:.2f} | {forwards:.2f} | {1 + (src + 1) / layers:.2f} | {later:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
