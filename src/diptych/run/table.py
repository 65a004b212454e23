"""Tables: the rows of all results of a store, each with what it is of, for pandas."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.errors import StoreError
from diptych.result import Result
from diptych.run.listing import listed
from diptych.run.store import Store

if TYPE_CHECKING:
    import pandas

IDENTITY = ("model", "revision", "dtype", "task", "task_digest", "experiment", "version", "digest")

log = logging.getLogger(__name__)


def load_runs(root: str | Path) -> "pandas.DataFrame":
    """The rows of all finished results in a folder of runs, one below the other.

    Columns: model, revision, dtype, task, task_digest, experiment, version and digest; `parameters.<name>`; then those
    of the rows, as `rows.<name>` if the name is taken. Stale results count as absent, which is logged. Raises
    `StoreError` for a run that cannot be read.
    """
    import pandas

    return pandas.DataFrame(list(_rows(Store(Path(root)))))


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    for run in listed(store):
        if run.refused:
            raise StoreError(run.refused)
        if run.stale:
            log.warning("%s is stale and counts as absent: %s.", run.folder.path, run.stale)
        elif run.folder.complete:
            yield from _of(run.folder.result())


def _of(result: Result) -> Iterator[dict[str, Any]]:
    known = {name: result.identity[name] for name in IDENTITY}
    known |= {f"parameters.{name}": value for name, value in result.identity["parameters"].items()}
    for row in result.rows:
        yield known | {(f"rows.{name}" if name in known else name): value for name, value in row.items()}
