"""`python -m benchmarks.backpatching`: cells of a back-patching sweep per bare forward, CPU time, in one process.

A random Qwen2-VL of 28 layers. Of the sweep over all windows, the cells that end in every seventh layer are run, which
cost nearly what all cells do on average (both are printed). In between come bare forwards of the Hugging Face model on the
same prompt, with logits at all positions and at the last one. Nothing is downloaded.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from benchmarks.bench import Bench

from diptych.backpatch import Cell, back_patch, cells
from diptych.experiments.cell_prediction import cost

LAYERS, EVERY, FIRST, BETWEEN = 28, 7, 3, 40


def seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


@torch.no_grad()
def measure(bench: Bench, some: list[Cell], batch_size: int) -> tuple[float, float, float]:
    """CPU seconds per cell, per bare forward, and per bare forward with one position unembedded."""
    vlm, data = bench.vlm, bench.batch.layout.data
    call = vlm.capture(bench.batch.clean)
    swept, bare, kept = 0.0, [], []
    sweep = back_patch(vlm, call, data, some, batch_size=batch_size)
    for _ in range(0, len(some), BETWEEN):
        swept += seconds(lambda: list(islice(sweep, BETWEEN)))
        bare.append(seconds(lambda: vlm.model(**bench.batch.clean, use_cache=False)))
        kept.append(seconds(lambda: vlm.model(**bench.batch.clean, use_cache=False, logits_to_keep=1)))
    return swept / len(some), sum(bare) / len(bare), sum(kept) / len(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=24_000)
    parser.add_argument("--batch-size", type=int, default=8)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(chosen.vocabulary, 1, LAYERS)
    every = cells(LAYERS)
    some = [cell for cell in every if cell.pairs(LAYERS)[-1][1] % EVERY == FIRST]
    measure(bench, some[:1], 1)  # warm
    cell, bare, kept = measure(bench, some, chosen.batch_size)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    print(f"{len(some)} of {len(every)} cells; layers per cell: {cost(some, LAYERS) / len(some):.3f} of all, ", end="")
    print(f"in the whole sweep {cost(every, LAYERS) / len(every):.3f}")
    print(f"{cell:.3f} CPU s per cell; bare forward {bare:.3f}, with the last position unembedded {kept:.3f}")
    print(f"cells per bare forward: {bare / cell:.2f}, with the last position unembedded {kept / cell:.2f}")


if __name__ == "__main__":
    main()
