"""What commands that run experiments tell: each result in a line, and what an interruption leaves."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diptych.result import Result


@contextmanager
def resumable(runs: Path) -> Iterator[None]:
    """On Ctrl-C, say what is kept; typer then exits with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"Interrupted. Finished units are kept in {runs}; the same command goes on from there.", file=sys.stderr)
        raise


def tell(result: "Result") -> None:
    """The result's summary, with its task and experiment."""
    print(f"{result.identity['task']} · {result.identity['experiment']}: {result.summary}", flush=True)
