"""Ratios: what diptych takes against bare Hugging Face calls of the same shapes, in turns in one process, run by run."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import torch
import transformers

Work = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """One ratio, of every run, and what it should be: at least, or at most, the target; None if it is told alone.

    `points`: of an exponent, the seconds of every run at each count that it is fitted to.
    """

    name: str
    subject: str
    values: Sequence[float]
    target: float | None = None
    at_least: bool = True
    points: Mapping[str, Sequence[float]] | None = None

    @property
    def bounds(self) -> tuple[float, float, float]:
        """The least, the median and the largest."""
        return min(self.values), statistics.median(self.values), max(self.values)

    @property
    def met(self) -> bool:
        """Whether the median meets the target."""
        median = self.bounds[1]
        return self.target is None or (median >= self.target if self.at_least else median <= self.target)

    def row(self) -> str:
        """As a row of a table in Markdown."""
        aim = "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self.target:g}"
        verdict = "" if self.target is None else "yes" if self.met else "NO"
        return f"| {self.name} | {self.subject} | {' – '.join(f'{v:.2f}' for v in self.bounds)} | {len(self.values)} | {aim} | {verdict} |"

    def plain(self) -> dict[str, Any]:
        rounded = {name: [round(value, 4) for value in seconds] for name, seconds in (self.points or {}).items()}
        return asdict(self) | {"values": [round(value, 4) for value in self.values], "points": rounded or None}


HEADER = "| what | on | min – median – max | runs | target | met |\n|---|---|---|---|---|---|"


def in_turns(works: Mapping[str, Work], runs: int) -> dict[str, list[float]]:
    """Seconds of each work in each run: of the processor without a GPU, so that others' load matters little."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            start = _now()
            work()
            found[name].append(_now() - start)
    return found


def ratios(above: Sequence[float], below: Sequence[float], factor: float = 1.0) -> list[float]:
    """factor · above / below, run by run."""
    return [factor * a / b for a, b in zip(above, below, strict=True)]


def conditions() -> dict[str, Any]:
    """What a ratio depends on beside the code."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU time of one thread",
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}",
    }


def _now() -> float:
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
