"""How time grows with prompts, positions, layers and sizes: the exponent of a straight line through its logarithms."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

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
        found = in_turns(made, runs)
        slopes = [slope(counts, [found[str(count)][run] for count in counts]) for run in range(runs)]
        yield Line(f"growth with {name}: exponent", f"{counts[0]:g} to {counts[-1]:g}, 4 layers of width 512", slopes)


def slope(counts: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent of seconds in counts."""
    return float(np.polyfit([math.log(count) for count in counts], [math.log(value) for value in seconds], 1)[0])


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
    "layers": ((2, 4, 8), attributed(lambda count: SMALL(1, count))),
    "sizes of a curve": ((3, 6, 12), swept),
}
