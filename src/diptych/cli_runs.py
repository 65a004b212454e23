"""The commands `runs`: what a folder of runs holds, and deleting what is stale."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from diptych.errors import InputError, StoreError

if TYPE_CHECKING:
    from diptych.run.listing import Listed

app = typer.Typer(help="List what is stored, with sizes, and delete what is stale.")

Folder = Annotated[Path, typer.Argument(help="Folder of runs.")]


@app.callback(invoke_without_command=True)
def runs(context: typer.Context) -> None:
    """List the runs in ./runs, or those of another folder."""
    if context.invoked_subcommand is None:
        list_runs()


@app.command("list")
def list_runs(folder: Folder = Path("runs")) -> None:
    """List the runs of a folder: complete, unfinished or stale, and their sizes."""
    from diptych.run import Store
    from diptych.run.listing import listed

    found = listed(Store(_existing(folder)))
    table = Table(Column("run", overflow="fold"), "state", Column("size", justify="right"))
    for run in found:
        table.add_row(str(run.folder.path.relative_to(folder)), run.state, _bytes(run.size))
    Console(markup=False).print(table)
    print(f"{len(found)} runs, {_bytes(sum(run.size for run in found))}")
    for run in found:
        if run.stale or run.refused:
            print(f"{run.folder.path}: {run.refused or f'stale, counts as absent: {run.stale}.'}")


@app.command()
def prune(
    folder: Folder = Path("runs"),
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Delete runs without a result too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """Delete stale runs: results of experiments that were changed since. Files that diptych did not write are left."""
    from diptych.run import Store
    from diptych.run.listing import listed

    wanted = [run for run in listed(Store(_existing(folder))) if run.stale or (unfinished and _is_unfinished(run))]
    for run in wanted:
        print(f"{run.folder.path} ({run.state}, {_bytes(run.size)})")
    if not wanted:
        print("Nothing to delete.")
    elif yes or typer.confirm(f"Delete {len(wanted)} runs, {_bytes(sum(run.size for run in wanted))}?"):
        _delete(folder, wanted)


def _existing(folder: Path) -> Path:
    if not folder.exists():
        raise InputError(f"No folder '{folder}'. Expected a folder made by `diptych run` or `diptych demo`.")
    return folder


def _delete(root: Path, wanted: "list[Listed]") -> None:
    from diptych.run.listing import prune

    left = []
    for run in wanted:
        try:
            if not prune(root, run):
                left.append(f"'{run.folder.path}' holds files that diptych did not write; they are left.")
        except StoreError as error:
            left.append(str(error))
    if left:
        print(*(f"diptych: {line}" for line in left), sep="\n", file=sys.stderr)
        raise typer.Exit(1)


def _is_unfinished(run: "Listed") -> bool:
    return not run.refused and not run.folder.complete


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
