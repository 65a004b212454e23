"""`python -m benchmarks.footprint`: the peak of AP-IG beside the weights, as `diptych.Footprint` says and as measured.

Small decoders of several shapes, by the tensors alive; then layers as wide as Pixtral-12B's, two, three and four of them, in
bfloat16 and with `memory="low"`, also by the process's own peak, with what 40 layers would take on the line through them.
`--write` puts both tables into benchmarks/numbers.md. Two CPU-minutes and 4 GB of memory; Linux alone.
"""

import argparse
import ctypes
import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.memory import PeakMemory

from benchmarks.pages import between
from benchmarks.ratios import conditions
from benchmarks.stacks import Stack
from diptych.attribution._directions import Memory
from diptych.attribution.ap_ig import ap_ig
from diptych.footprint import Footprint

SMALL = Stack()
SHAPES = (
    SMALL,
    replace(SMALL, layers=16),
    replace(SMALL, positions=1000),
    replace(SMALL, width=512),
    replace(SMALL, head_width=128),
    replace(SMALL, neurons=2816),
    replace(SMALL, prompts=4),
    replace(SMALL, dtype=torch.bfloat16),
    replace(SMALL, layers=8, prompts=2, dtype=torch.bfloat16),
    replace(SMALL, family="qwen2_vl"),
    replace(SMALL, family="gemma3", dtype=torch.bfloat16),
)
WIDE = Stack(
    width=5120, heads=32, head_width=128, keys=8, neurons=14_336, dtype=torch.bfloat16, vocabulary=1_000, layers=2
)
"""A layer of Pixtral-12B's decoder is as wide as these."""
LAYERS, POSITIONS, FULL, WEIGHTS = (2, 3, 4), (250, 1000), 40, 24.5
GB, MB = 1e9, 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/numbers.md")
    parser.add_argument("--only", choices=("small", "wide"), help="one of the two tables")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, rows in (("small", small), ("wide", wide)):
        if given.only in (None, name):
            told = conditions()
            page = "\n".join([f"{told['when']}, {told['machine']}, {told['versions']}.", "", *rows()])
            print(page, flush=True)
            if given.write:
                between(f"footprint {name}", page)


def small() -> Iterator[str]:
    """A table of shapes; two gradient points, of which the second finds all sums there."""
    yield "| shape | `memory` | measured, MB | formula, MB | measured / formula |"
    yield "|---|---|---|---|---|"
    for stack in SHAPES:
        for memory in ("high", "low"):
            measured, formula = tensors(stack, memory, steps=2), formula_of(stack, memory)
            yield f"| {stack.called} | {memory} | {measured / MB:.1f} | {formula / MB:.1f} | {measured / formula:.2f} |"


def wide() -> Iterator[str]:
    """A table of 12B-wide layers, and what the line through them says of 40."""
    yield "| layers | positions | tensors, GB | formula, GB | tensors / formula | the process, GB |"
    yield "|---|---|---|---|---|---|"
    for positions in POSITIONS:
        stacks = [replace(WIDE, layers=layers, positions=positions) for layers in LAYERS]
        found = []
        for stack in stacks:
            alive, grown = both(stack)
            found.append(alive)
            yield row(str(stack.layers), positions, alive, formula_of(stack, "low")) + f" {grown / GB:.2f} |"
        line = float(np.polyval(np.polyfit(LAYERS, found, 1), FULL))
        formula = formula_of(replace(WIDE, layers=FULL, positions=positions), "low")
        yield row(f"{FULL}, on the line through these", positions, line, formula) + " |"
    for memory in ("low", "high"):
        each = [formula_of(replace(WIDE, layers=FULL, positions=count), memory) / GB for count in POSITIONS]
        told = ", ".join(f"{one:.2f} GB for {count} positions" for one, count in zip(each, POSITIONS, strict=True))
        yield f"\n`{memory}`, {FULL} layers, by the formula: weights {WEIGHTS} GB, and per prompt {told}."


def row(layers: str, positions: int, alive: float, formula: float) -> str:
    return f"| {layers} | {positions} | {alive / GB:.3f} | {formula / GB:.3f} | {alive / formula:.2f} |"


def formula_of(stack: Stack, memory: Memory) -> int:
    """Bytes by the formula; of a decoder that has the layers, and of a deeper one by one that has two of them."""
    shallow = replace(stack, layers=2, positions=8)
    sizes = replace(Footprint.of(shallow.vlm), layers=stack.layers)
    return sizes.peak(stack.positions, stack.prompts, memory=memory)


def tensors(stack: Stack, memory: Memory, steps: int) -> int:
    """The most bytes of tensors alive, beside the weights and the prompts."""
    vlm, batch = stack.vlm, stack.batch
    vlm.capture(batch.clean)  # learns once how calls are stacked
    with PeakMemory() as used:
        ap_ig(vlm, batch, steps=steps, memory=memory)
    return used.peak


def both(stack: Stack) -> tuple[float, float]:
    """The most bytes of tensors alive, and by how much the process grew at most over what it had with the weights."""
    stack.vlm.capture(stack.batch.clean)  # makes both, and what is kept once
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what earlier stacks left
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    return tensors(stack, "low", steps=1), status("VmHWM") - before


def status(name: str) -> float:
    """Bytes by their name in /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line for line in lines if line.startswith(name)).split()[1])


if __name__ == "__main__":
    main()
