"""`python -m benchmarks.knockout`: windows of an attention knockout per bare forward (methods §12; target 1.8).

A bare forward is the Hugging Face model on the same prompts, vision tower and all, logits at the last position alone;
beside it stands the decoder without the tower. Sliding windows are cut one after the other, each resumed from its first
layer. All are measured in turns in one process, on one thread; the least of several rounds counts. Nothing is downloaded.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping

import torch
from benchmarks.bench import Bench

from diptych.cuts import Cut, cut_off, default_window, layer_sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(vocabulary=151_936, prompts=given.prompts, layers=given.layers)
    window = default_window(given.layers)
    found = measure(bench, window, given.rounds)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    print(
        f"{given.layers} layers, windows of {window}, {given.prompts} prompts of 252 tokens, CPU seconds, least of {given.rounds}"
    )
    print("| what | CPU s | windows per bare forward | windows per bare decoder |\n|---|---|---|---|")
    for name, seconds in found.items():
        rates = (
            [given.layers * found[bare] / seconds for bare in ("bare forward", "bare decoder")]
            if "sweep" in name
            else []
        )
        print(f"| {name} | {seconds:.2f} | {' | '.join(f'{rate:.2f}' for rate in rates) or ' | '} |")


@torch.no_grad()
def measure(bench: Bench, window: int, rounds: int) -> dict[str, float]:
    """CPU seconds by what was done, the least of several rounds in turns."""
    vlm, batch = bench.vlm, bench.batch
    call, places = vlm.capture(batch.clean), Cut.named("data:query+generation").slices(batch.layout)
    layers = len(vlm.layers)

    def sweep() -> None:
        for _ in cut_off(vlm, call, places, layer_sets("sliding", layers, window)):
            pass

    def from_the_start() -> None:
        for some in layer_sets("sliding", layers, window):
            with vlm.knockout(*places, some):
                vlm.run(call)

    work: Mapping[str, Callable[[], object]] = {
        "bare forward": lambda: vlm.model(**batch.clean, logits_to_keep=1, use_cache=False),
        "bare decoder": lambda: vlm.run(call),
        "sweep, resumed": sweep,
        "sweep, from layer 0": from_the_start,
    }
    least = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, function in work.items():
            started = time.process_time()
            function()
            least[name] = min(least[name], time.process_time() - started)
    return least


if __name__ == "__main__":
    main()
