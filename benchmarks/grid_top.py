"""Time and memory of `Grid.top` on the neurons of a large model: 40 layers, 368 positions, 14,336 neurons (211 M).

    python benchmarks/grid_top.py [--ties 0.9] [--ragged]

Prints the time per size and the peak of memory above what was held before the call. `--ties`: the share of neurons
whose score is exactly 0, as in a prefix. `--ragged`: every second layer has half as many neurons.
"""

import argparse
import time

import torch

from diptych.grid import Grid
from diptych.layout import Layout

LAYERS, POSITIONS, HEADS, NEURONS = 40, 368, 32, 14_336
SIZES = (0.001, 0.05, 0.5, 1.0)


def scores(ties: float, ragged: bool) -> Grid:
    """Random scores, a share of them 0."""
    generator = torch.Generator().manual_seed(0)
    heads = torch.rand(LAYERS, POSITIONS, HEADS, generator=generator)
    neurons = torch.rand(LAYERS, POSITIONS, NEURONS, generator=generator)
    for layer in neurons:
        layer.sub_(ties).clamp_(min=0)
    there = ((), tuple(NEURONS // (1 + layer % 2) for layer in range(LAYERS))) if ragged else ((), ())
    return Grid(heads, neurons, Layout.of((15, 356), POSITIONS), "benchmark", there)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ties", type=float, default=0.0)
    parser.add_argument("--ragged", action="store_true")
    options = parser.parse_args()
    grid = scores(options.ties, options.ragged)
    print(f"{sum(grid.size()) / 1e6:.0f} M nodes, {options.ties:.0%} ties at 0, {torch.get_num_threads()} threads")
    for size in SIZES:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets the peak
        before, start, worked = _status("VmRSS"), time.perf_counter(), time.process_time()
        kept = grid.top(size).count()
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        memory = _status("VmHWM") - before
        print(
            f"size {size:5}: {seconds:.2f} s ({worked:.2f} s of CPU), {memory:.2f} GB above its input, {kept[1]:,} neurons"
        )


def _status(name: str) -> float:
    """A figure of this process in GB: VmRSS is what it holds, VmHWM the most it held since the peak was reset."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 2**20


if __name__ == "__main__":
    main()
