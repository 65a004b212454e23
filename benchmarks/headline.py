"""The first table of the page of numbers: a question a line, answered by what was measured last."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.ratios import Line

Kept = tuple[Line, Mapping[str, Any]]

QUESTIONS: Sequence[tuple[str, str, str]] = (
    (
        "How near is attribution (AP-IG) to the model calls it needs?",
        "AP-IG, 5 points: floor / diptych",
        "{:.0%} of its time",
    ),
    ("What does one more size of a circuit cost?", "curve: forwards per extra size", "{:.2f} forwards"),
    ("How many back-patching cells go into one forward?", "back-patching: cells per forward", "{:.1f}"),
    ("How many knockout windows go into one forward?", "knockout: windows per forward", "{:.1f}"),
    ("AP-IG, against a plain loop", "AP-IG, 5 points: plain loop / diptych", "{:.1f} × as fast"),
    ("A curve of ten sizes, against a plain loop", "curve of 10 sizes: plain loop / diptych", "{:.1f} × as fast"),
    (
        'Memory of AP-IG, `memory="high"`, in peaks of a bare forward and backward',
        'AP-IG, memory="high": peak / bare forward and backward',
        "{:.2f}",
    ),
    ('The same, `memory="low"`', 'AP-IG, memory="low": peak / bare forward and backward', "{:.2f}"),
    ("Time grows with prompts by the power", "growth with prompts: exponent", "{:.2f}"),
    ("… with positions", "growth with positions: exponent", "{:.2f}"),
    ("… with layers", "growth with layers: exponent", "{:.2f}"),
    ("… with the sizes of a curve", "growth with sizes of a curve: exponent", "{:.2f}"),
    ("… with Ray workers (−1 would be ideal)", "growth with Ray workers: exponent", "{:.2f}"),
    ("Two Ray workers on this machine, against a serial run", "speed-up by 2 Ray workers", "{:.2f} × as fast"),
)
"""What a newcomer asks, the line that answers, and how its median is told."""


def headline(kept: Sequence[Kept]) -> Iterator[str]:
    """Rows of Markdown: each question that was measured, on a model of a real one's layers if there is one."""
    yield "| | median | target | on |"
    yield "|---|---|---|---|"
    for question, name, told in QUESTIONS:
        answers = sorted((one for one in kept if one[0].name == name), key=lambda one: "organism" in one[0].subject)
        for line, conditions in answers[:1]:
            yield f"| {question} | {told.format(line.bounds[1])} | {_aim(line)} | {line.subject}, {conditions['when'][:10]} |"


def _aim(line: Line) -> str:
    if line.target is None:
        return ""
    return f"{'≥' if line.at_least else '≤'} {line.target:g}: {'met' if line.met else 'missed'}"
