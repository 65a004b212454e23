"""Tables: the rows of all results of a store, each with what it is of, for pandas."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.result import Result
from diptych.run.listing import current
from diptych.run.store import Store

if TYPE_CHECKING:
    import pandas

IDENTITY = ("model", "revision", "dtype", "task", "task_digest", "experiment", "version", "digest")


def load_runs(root: str | Path) -> "pandas.DataFrame":
    """The rows of all finished results in a folder of runs, one below the other.

    Columns: model, revision, dtype, task, task_digest, experiment, version and digest; `parameters.<name>`; then those
    of the rows, as `rows.<name>` if the name is taken. Stale results count as absent, which is logged. Raises
    `StoreError` for a run that cannot be read.
    """
    import pandas

    return pandas.DataFrame(list(_rows(Store(Path(root)))))


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    for result in current(store):
        yield from _of(result)


def _of(result: Result) -> Iterator[dict[str, Any]]:
    known = {name: result.identity[name] for name in IDENTITY}
    known |= {f"parameters.{name}": value for name, value in result.identity["parameters"].items()}
    for row in result.rows:
        yield known | {(f"rows.{name}" if name in known else name): value for name, value in row.items()}
