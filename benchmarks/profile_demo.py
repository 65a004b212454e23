"""`python -m benchmarks.profile_demo`: where the CPU time of `diptych demo` goes, by experiment, in and outside model calls.

In a model call is what happens below the `__call__` of a PyTorch module or below `torch.autograd`; diptych's own hooks there
are told apart. `--write` puts the table into benchmarks/numbers.md. Takes as long as the demo: some three minutes.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import torch

import diptych
from benchmarks.pages import between
from benchmarks.ratios import conditions
from benchmarks.sampling import outwards, sampled
from diptych.cli import demo
from diptych.experiments import DEMO_TASKS
from diptych.run.run import Run

OURS = str(Path(diptych.__file__).parent)
CALLS = {torch.nn.Module._wrapped_call_impl.__code__, torch.autograd.grad.__code__, torch.Tensor.backward.__code__}
COMPUTES = Run._compute.__code__
LIMIT = 0.10
"""What a stage may spend outside model calls."""

How = Literal["model", "hooks", "outside"]


@dataclass(frozen=True, order=True)
class Place:
    """The experiment that is computed, whether the model is, and the function of diptych that is."""

    stage: str
    how: How
    function: str


def place(frame: FrameType) -> Place:
    """Where a stack stands: whichever of a model call and a function of ours is further in decides whose time it is."""
    frames = list(outwards(frame))
    ours = next((n for n, one in enumerate(frames) if one.f_code.co_filename.startswith(OURS)), len(frames))
    call = next((n for n, one in enumerate(frames) if one.f_code in CALLS), len(frames))
    how: How = "outside" if call == len(frames) else "model" if call < ours else "hooks"
    return Place(_stage(frames), how, _function(frames[ours]) if ours < len(frames) else "")


def _stage(frames: list[FrameType]) -> str:
    names = [one.f_code.co_filename for one in frames]
    if any(name.startswith("<frozen importlib") for name in names):
        return "imports"
    if any(name.startswith(f"{OURS}/models/load") for name in names):
        return "loading the model"
    computing = next((one for one in frames if one.f_code is COMPUTES), None)
    if computing is not None:
        return str(computing.f_locals["running"].experiment.name)
    return "report" if any(name.startswith(f"{OURS}/report") for name in names) else "tasks and start"


def _function(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).relative_to(OURS)}:{frame.f_code.co_qualname}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", help="a task of the demo's; may be given several times")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/numbers.md")
    parser.add_argument("--keep", type=Path, help="a file for the profile itself")
    parser.add_argument("--read", type=Path, help="a profile that was kept, in place of a new one")
    given = parser.parse_args()
    found = read(given.read) if given.read else profile(given.task or list(DEMO_TASKS))
    if given.keep:
        given.keep.write_text(json.dumps([[*vars(one).values(), seconds] for one, seconds in found.items()]))
    page = "\n".join(table(found))
    print(page, *(f"\n{line}" for line in functions(found)))
    if given.write:
        told = conditions()
        between("profile", f"{told['when']}, {told['machine']}, {told['versions']}.\n\n{page}")


def profile(tasks: list[str]) -> Counter[Place]:
    """CPU seconds of a fresh demo by place."""
    with tempfile.TemporaryDirectory() as folder, sampled(place) as found:
        demo(Path(folder), "organism/qwen2vl", tasks)
    return found


def read(file: Path) -> Counter[Place]:
    rows = json.loads(file.read_text())
    return Counter({Place(*row[:-1]): row[-1] for row in rows})


def table(found: Mapping[Place, float]) -> list[str]:
    """Each stage with its seconds, its shares, and what takes most of it outside model calls; in the order of the latter."""
    whole = sum(found.values())
    stages: dict[str, Counter[str]] = {}
    for one, seconds in found.items():
        stages.setdefault(one.stage, Counter())[one.how] += seconds
    lines = [
        "| stage | CPU s | of the demo | in model calls | in our hooks there | outside | most of it in |",
        "|---|---|---|---|---|---|---|",
    ]
    for stage, parts in sorted(stages.items(), key=lambda item: -item[1]["outside"]):
        own = sum(parts.values())
        shares = " | ".join(f"{parts[how] / own:.0%}" for how in ("model", "hooks", "outside"))
        lines.append(f"| {stage} | {own:.1f} | {own / whole:.0%} | {shares} | {_most(found, stage)} |")
    shares = [sum(parts[how] for parts in stages.values()) / whole for how in ("model", "hooks", "outside")]
    return [*lines, f"| all | {whole:.1f} | 100% | {' | '.join(f'{share:.0%}' for share in shares)} | |"]


def functions(found: Mapping[Place, float]) -> list[str]:
    """The twenty functions that most time is spent in outside model calls or in hooks."""
    own = Counter({one: seconds for one, seconds in found.items() if one.how != "model"})
    return [f"{seconds:6.1f} s  {one.stage}, {one.how}: {one.function}" for one, seconds in own.most_common(40)]


def _most(found: Mapping[Place, float], stage: str) -> str:
    own: Counter[str] = Counter()
    for one, seconds in found.items():
        if one.stage == stage and one.how == "outside":
            own[one.function] += seconds
    return ", ".join(f"`{function}` {seconds:.1f} s" for function, seconds in own.most_common(2))


if __name__ == "__main__":
    main()
