"""What commands that run experiments tell: each result in a line, and what an interruption leaves."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diptych.result import Result


def no_bars_in_a_file() -> None:
    """Keep the libraries that load models from drawing bars where there is no terminal."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # which they read when they are imported


@contextmanager
def resumable(runs: Path) -> Iterator[None]:
    """On Ctrl-C, say what is kept; typer then exits with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"Interrupted. Finished units are kept in {runs}; the same command goes on from there.", file=sys.stderr)
        raise


def tell(result: "Result") -> None:
    """The result's summary, with its task and experiment, above any bars."""
    from tqdm import tqdm

    tqdm.write(f"{result.identity['task']} · {result.identity['experiment']}: {result.summary}", file=sys.stdout)
    sys.stdout.flush()
