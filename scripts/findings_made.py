"""How the findings were made: machine, versions and the time that the runs' logs tell."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from diptych.run.folder import LOG

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (\S+) (\d+) ")
"""Time, host and process at the start of a log's lines."""


def made(runs: Path, conditions: dict[str, Any], diptych: str) -> dict[str, Any]:
    """When, with what, and how long, of all runs in a folder, which were made on this machine."""
    steps = list(_steps(runs))
    minutes: Counter[str] = Counter()
    for experiment, _, seconds in steps:
        minutes[experiment] += seconds / 60
    return {
        "diptych": diptych,
        **{name: conditions[name] for name in ("torch", "transformers", "dtype", "attention")},
        "cores": os.cpu_count(),
        "dates": sorted({f"{time:%Y-%m-%d}" for _, time, _ in steps}),
        "hours": round(sum(minutes.values()) / 60, 2),
        "minutes": {name: round(minutes[name], 1) for name in sorted(minutes)},
    }


def _steps(runs: Path) -> Iterator[tuple[str, datetime, float]]:
    """Each line of the logs: its experiment, its time, and the seconds since the same process wrote one."""
    by_process: dict[tuple[str, str], list[tuple[datetime, str]]] = defaultdict(list)
    for log in runs.glob(f"*/*/*/{LOG}"):
        for time, host, process in _lines(log.read_text(encoding="utf-8").splitlines()):
            by_process[host, process].append((time, log.parent.name.rpartition("-")[0]))
    for lines in by_process.values():
        before = min(lines)[0]
        for time, experiment in sorted(lines):
            yield experiment, time, (time - before).total_seconds()
            before = time


def _lines(lines: Iterable[str]) -> Iterator[tuple[datetime, str, str]]:
    for line in lines:
        if told := LINE.match(line):
            yield datetime.fromisoformat(told[1]), told[2], told[3]
