"""How time grows with prompts, positions, layers and sizes: the exponent of a straight line through its logarithms."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.attribution import Bare
from benchmarks.bench import Bench, Subject
from benchmarks.ratios import Line, Work, in_turns
from diptych.attribution.ap_ig import ap_ig

SMALL = partial(Bench, 8_000)
SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.6, 0.7, 1.0)


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """Exponents: 1 is time in proportion. Of random models of their own, whatever the subject."""
    for name, (counts, works) in GROWING.items():
        made = works(counts)
        in_turns(made, 1)  # warm
        yield grown(name, "a Qwen2-VL of width 512", counts, in_turns(made, runs))


def grown(name: str, of: str, counts: Sequence[float], seconds: Mapping[str, Sequence[float]]) -> Line:
    """The exponent of each run, with the seconds that it is fitted to by count."""
    slopes = [slope(counts, run) for run in zip(*(seconds[str(count)] for count in counts), strict=True)]
    what = f"{counts[0]:g} to {counts[-1]:g}, {of}"
    return Line(
        f"growth with {name}: exponent", what, slopes, points={str(count): seconds[str(count)] for count in counts}
    )


def slope(counts: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent of seconds in counts."""
    return float(np.polyfit([math.log(count) for count in counts], [math.log(value) for value in seconds], 1)[0])


def plot(lines: Sequence[Line], file: Path) -> None:
    """Median seconds against each count, from the least to the largest, with the straight line through their logarithms."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(2.1 * len(lines), 2.4), layout="constrained")
    for axes, line in zip(sheet.subplots(1, len(lines), squeeze=False)[0], lines, strict=True):
        assert line.points is not None  # only those are drawn
        counts = [float(count) for count in line.points]
        medians = [statistics.median(seconds) for seconds in line.points.values()]
        exponent, height = np.polyfit(np.log(counts), np.log(medians), 1)
        axes.loglog(counts, np.exp(height) * np.array(counts) ** exponent, color="#5b646e", linewidth=1)
        for count, seconds in zip(counts, line.points.values(), strict=True):
            axes.plot([count, count], [min(seconds), max(seconds)], color="#2a6f97", linewidth=2)
        axes.plot(counts, medians, "o", color="#2a6f97", markersize=4)
        axes.set_title(f"exponent {exponent:.2f}", fontsize=8)
        axes.set_xlabel(line.name.removeprefix("growth with ").removesuffix(": exponent"), fontsize=8)
        axes.set_xticks(counts, [f"{count:g}" for count in counts])
        axes.minorticks_off()
        axes.set_yticks(medians, [f"{median:.2g}" for median in medians])
        axes.tick_params(labelsize=7)
    sheet.get_axes()[0].set_ylabel("seconds", fontsize=8)
    sheet.savefig(file, dpi=110)


def attributed(make: Callable[[int], Bench]) -> Callable[[Sequence[float]], dict[str, Work]]:
    def works(counts: Sequence[float]) -> dict[str, Work]:
        return {str(count): partial(_ap_ig, make(int(count))) for count in counts}

    return works


def swept(counts: Sequence[float]) -> dict[str, Work]:
    work = Bare(SMALL(1, 4))
    return {str(count): partial(work.sweep, SIZES[: int(count)]) for count in counts}


def _ap_ig(bench: Bench) -> None:
    ap_ig(bench.vlm, bench.batch, steps=2)


def _positions(count: int) -> Bench:
    """A picture that makes a prompt of about so many positions."""
    return SMALL(1, 4, side=2 * round(math.sqrt(count - 56)))


GROWING: Mapping[str, tuple[Sequence[float], Callable[[Sequence[float]], dict[str, Work]]]] = {
    "prompts": ((1, 2, 4), attributed(lambda count: SMALL(count, 4))),
    "positions": ((120, 252, 540), attributed(_positions)),
    "layers": ((4, 8, 16), attributed(lambda count: SMALL(1, count))),
    "sizes of a curve": ((3, 6, 12), swept),
}
