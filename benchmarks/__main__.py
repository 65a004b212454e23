"""`python -m benchmarks`: the ratios of speed and memory that diptych promises, against bare Hugging Face calls.

Prints each as least – median – largest of some runs, and with `--write` puts them into benchmarks/numbers.md, with their
conditions, and into a plot. One thread, CPU time; on a GPU wall time. Nothing is downloaded.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import attribution, each, growth, peak, plain, prefix, questions, sweeps, workers
from benchmarks.attribution import BATCH
from benchmarks.bench import Bench, Organism, Subject
from benchmarks.headline import headline
from benchmarks.pages import between
from benchmarks.ratios import HEADER, Line, conditions

HERE = Path(__file__).parent
KEPT, PLOT, GROWTH = HERE / "ratios.json", HERE / "ratios.png", HERE / "growth.png"

SIZES: Mapping[str, Callable[..., Subject]] = {
    "organism": lambda **_: Organism("organism/qwen2vl", 1),
    "organism16": lambda **_: Organism("organism/qwen2vl", BATCH),
    "12": lambda **how: Bench(151_936, 1, 12, **how),
    "28": lambda **how: Bench(24_000, 1, 28, **how),
    "2b": lambda **how: Bench(151_936, 1, 28, width=1536, neurons=8960, heads=12, **how),
}
LINES: Mapping[str, Callable[[Subject, int], Iterator[Line]]] = {
    "attribution": attribution.lines,
    "each": each.lines,
    "plain": plain.lines,
    "prefix": prefix.lines,
    "sweeps": sweeps.lines,
    "unshared": sweeps.unshared,
    "peak": peak.lines,
    "growth": growth.lines,
    "workers": workers.lines,
    "questions": questions.lines,
}
DEFAULT = (
    "organism:attribution",
    "organism:each",
    "organism16:attribution",
    "organism16:each",
    "organism16:prefix",
    "12:attribution",
    "12:each",
    "12:prefix",
    "28:sweeps",
    "28:unshared",
    "12:peak",
    "12:growth",
    "12:questions",
    "organism:workers",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", nargs="*", default=DEFAULT, help=f"size:lines, of {', '.join(SIZES)} and {', '.join(LINES)}"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--write", action="store_true", help="keep in numbers.md what was measured, and plot it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    told = conditions() | {"dtype": given.dtype}
    print(f"{told['when']}, {told['machine']}, {told['device']}, {told['versions']}, {given.dtype}\n{HEADER}")
    for what in given.what:
        size, _, name = what.partition(":")
        how = {} if size.startswith("organism") else {"device": given.device, "dtype": getattr(torch, given.dtype)}
        for line in LINES[name](SIZES[size](**how), given.runs):
            print(line.row(), flush=True)
            if given.write:
                keep(line, told)


def keep(line: Line, told: Mapping[str, Any]) -> None:
    """Write the line in place of an older one of the same name, subject, device and dtype; and all into the page and the plot."""
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    kept[f"{line.name}; {line.subject}; {told['device']}; {told['dtype']}"] = {
        "line": line.plain(),
        "conditions": dict(told),
    }
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = measured()
    between("ratios", table(rows))
    between("headline", "\n".join(headline(rows)))
    lines = [line for line, _ in rows]
    plot(lines)
    if grown := [line for line in lines if line.points]:
        growth.plot(grown, GROWTH)
        between("growth", f"![Seconds against counts, both logarithmic, with the fitted exponents]({GROWTH.name})")


def measured() -> list[tuple[Line, Mapping[str, Any]]]:
    """All lines that are kept, with their conditions."""
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    return [(Line(**one["line"]), one["conditions"]) for one in kept.values()]


def table(rows: Sequence[tuple[Line, Mapping[str, Any]]]) -> str:
    """All lines, in Markdown."""
    names, rule = HEADER.split("\n")
    return "\n".join([f"{names} when, load |", f"{rule}---|", *map(_row, rows)])


def _row(one: tuple[Line, Mapping[str, Any]]) -> str:
    line, told = one
    return f"{line.row()} {told['when']}, {str(told['machine']).split(', ')[-1]} |"


def plot(lines: Sequence[Line]) -> None:
    """Each line with a target, as a share of it: from the least to the largest, with the median."""
    from matplotlib.figure import Figure

    aimed = [line for line in lines if line.target is not None][::-1]
    sheet = Figure(figsize=(8, 1 + 0.4 * len(aimed)), layout="constrained")
    axes = sheet.subplots()
    for place, line in enumerate(aimed):
        assert line.target is not None  # those are left out
        least, median, largest = (
            value / line.target if line.at_least else line.target / value for value in line.bounds
        )
        axes.plot([least, largest], [place, place], color="#5b646e", linewidth=2)
        axes.plot([median], [place], "o", color="#2a6f97")
    axes.axvline(1, color="#5b646e", linestyle="--", linewidth=0.8)
    axes.set_yticks(range(len(aimed)), [f"{line.name}\n{line.subject}" for line in aimed], fontsize=7)
    axes.set_xlabel("times as good as the target: least, median and largest run", fontsize=8)
    axes.set_xlim(left=0)
    sheet.savefig(PLOT, dpi=150)


if __name__ == "__main__":
    main()
