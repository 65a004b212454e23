"""Peak memory of AP-IG beyond the weights, counted by tensors alive, against a formula and a bare forward and backward."""

from collections.abc import Iterator
from functools import partial

from tests.memory import PeakMemory

from benchmarks.attribution import STEPS, Bare
from benchmarks.bench import Subject
from benchmarks.ratios import Line
from diptych.attribution.ap_ig import ap_ig


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """Peaks are the same in every run, so there is one."""
    work = Bare(subject)
    peaks = {}
    memory = {
        name: partial(ap_ig, subject.vlm, subject.batch, rule="right", steps=STEPS, memory=name)
        for name in ("high", "low")
    }
    for name, run in ({"bare": work.floor} | memory).items():
        with PeakMemory() as used:
            run()
        peaks[name] = used.peak
    for name in memory:
        told = f'AP-IG, memory="{name}": peak / bare forward and backward'
        yield Line(told, subject.called, [peaks[name] / peaks["bare"]])
    more = (peaks["high"] - peaks["bare"]) / nodes(subject)
    yield Line('AP-IG, memory="high": what is beyond a bare one / values of all nodes', subject.called, [more])


def nodes(subject: Subject) -> int:
    """Bytes of the values of all nodes of a batch: prompts · positions · layers · (heads · width + neurons) · bytes."""
    count = sum(site.there * site.width for site in subject.vlm.sites)
    return len(subject.batch) * subject.batch.layout.length * count * subject.vlm.dtype.itemsize
