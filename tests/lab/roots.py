"""An experiment for tests that builds on another."""

from pathlib import Path

from diptych.run import Finding, Run

SQUARES = str(Path(__file__).with_name("squares.py"))
VERSION = 1
USES = (SQUARES,)


def roots(run: Run, *, count: int = 3) -> Finding:
    squares = run.get(SQUARES, count=count)
    again = run.get(SQUARES, count=count)
    rows = [{"root": float(row["square"]) ** 0.5} for row in squares.rows]
    return Finding(summary=f"{len(rows)} roots.", rows=rows, conditions={"same": squares == again})
