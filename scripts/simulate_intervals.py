"""Write docs/intervals.json: how often diptych's 95 % intervals hold the planted value, over 1,000 simulated data sets.

python scripts/simulate_intervals.py            simulate what is new or whose code has changed (minutes for all)
python scripts/simulate_intervals.py --check    exit with status 1 if the record is not of the code as it is now
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from code_digest import code_digest
from interval_cases import CASES, LEVEL, SIMULATIONS, Case
from scipy.stats import beta

RECORD = Path(__file__).parent.parent / "docs" / "intervals.json"
HOLDS = (0.93, 0.97)
FOLLOWED = ("compare", "gaps", "swap", "experiments._interchange", "experiments._comparison", "statistics")
FOLLOWED += tuple(f"statistics.{name}" for name in ("differences", "estimates", "resampling", "weights"))
"""Modules of diptych whose functions are part of a digest, as far as an interval uses them."""


def simulate(case: Case) -> Iterator[dict[str, Any]]:
    """A line of the record for each number of clusters."""
    for clusters in (*case.few, *case.clusters):
        planted = case.planted(clusters) if callable(case.planted) else case.planted
        found = [case.interval(seed, clusters) for seed in range(SIMULATIONS)]
        covered = sum(low <= planted <= high for low, high in found)
        line = {"interval": case.name, "about": case.about, "clusters": clusters, "planted": round(planted, 6)}
        line |= {"simulations": SIMULATIONS, "covered": covered, "coverage": covered / SIMULATIONS}
        line |= {"coverage low": _exact(covered, 0.025), "coverage high": _exact(covered, 0.975)}
        line |= {"mean width": round(float(np.mean([high - low for low, high in found])), 6)}
        print(line, file=sys.stderr, flush=True)
        yield line | {"expected to hold": clusters in case.clusters, "code": digest(case)}


def _exact(covered: int, level: float) -> float:
    """Clopper and Pearson's bound of a share."""
    misses = SIMULATIONS - covered
    a, b = (covered, misses + 1) if level < 0.5 else (covered + 1, misses)
    return round(float(beta.ppf(level, a, b)), 4) if min(a, b) else float(level > 0.5)


def digest(case: Case) -> str:
    """Of the code that computes the interval, the data and the planted value."""
    planted = [case.planted] if callable(case.planted) else []
    roots = [(one.__module__, one.__name__) for one in (case.interval, *planted, *case.code)]
    return code_digest(roots, FOLLOWED, f"{SIMULATIONS} {case.planted if not planted else ''}")


def read() -> dict[str, Any]:
    """The record; empty if there is none."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {"lines": []}


def stale(record: dict[str, Any]) -> list[Case]:
    """Cases that the record lacks, or of which it has other code."""
    held = {(line["interval"], line["code"]) for line in record["lines"]}
    return [case for case in CASES if (case.name, digest(case)) not in held]


def known(case: Case, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of a case that need not be simulated again."""
    for line in record["lines"]:
        if (line["interval"], line["code"]) == (case.name, digest(case)):
            yield line | {"expected to hold": line["clusters"] in case.clusters}


def main() -> None:
    torch.set_num_threads(1)
    record = read()
    changed = stale(record)
    if "--check" in sys.argv[1:]:
        sys.exit(f"{RECORD} is not of the code as it is now: {[case.name for case in changed]}" if changed else 0)
    lines = [line for case in CASES for line in (simulate(case) if case in changed else known(case, record))]
    told = {"written by": "python scripts/simulate_intervals.py", "level": LEVEL, "holds between": HOLDS}
    told |= {"numpy": np.__version__, "scipy": scipy.__version__, "torch": torch.__version__}
    RECORD.write_text(json.dumps(told | {"lines": lines}, indent=1) + "\n", encoding="utf-8")
    print(RECORD)


if __name__ == "__main__":
    main()
