"""The command `study`: every cell of a study file, or what is there and what the rest will take."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from diptych.cli_executor import Address, Cpus, Gpus, Kind, Workers, executor
from diptych.cli_progress import resumable, tell
from diptych.cli_values import named_values
from diptych.errors import InputError

if TYPE_CHECKING:
    from diptych.run.outcomes import Driver, Planned
    from diptych.run.study import Cell, Study


def study(
    file: Annotated[Path, typer.Argument(help="A study file, see docs/guide/studies.md.")],
    setting: Annotated[
        list[str],
        typer.Option("--set", "-s", help="place=value in the file, such as models.0.dtype=bfloat16; several times."),
    ] = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs"),
    shard: Annotated[
        str, typer.Option(help="i/n: only the i-th of n shares, each of whole pairs of model and task.")
    ] = "1/1",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List the cells, what is stored and what the rest will take; status 1 if one cannot be run.",
        ),
    ] = False,
    by: Kind = "serial",
    workers: Workers = None,
    address: Address = None,
    cpus: Cpus = 1,
    gpus: Gpus = None,
) -> None:
    """Run every experiment on every task with every model of a study file; status 1 if a cell fails, or cannot be run."""
    with resumable(runs):
        from diptych.run import Driver, Store, read_study
        from diptych.run.progress import for_terminal

        wanted = read_study(file, named_values(setting))
        if dry_run:
            _tell_plan(Driver(Store(runs), for_terminal()), wanted, _share(shard))
            return
        cells = wanted.cells(_share(shard))
        with executor(by, workers, address, cpus, gpus) as working:
            _run(Driver(Store(runs), for_terminal(), working), wanted, cells)


def _run(driver: "Driver", wanted: "Study", cells: "list[Cell]") -> None:
    from diptych.run import write_study

    plan = driver.plan(wanted)
    print(write_study(wanted, driver.store.root, [f"{one.cell}: {_place(one, driver.store.root)}" for one in plan]))
    failed = []
    for outcome in driver.follow([one for one in plan if one.cell in cells]):
        if outcome.result is None:
            failed.append(f"{outcome.cell}: {outcome.reason}")
        else:
            tell(outcome.result)
    _require_none(failed, f"of {len(cells)} cells failed")


def _require_none(cells: list[str], what: str) -> None:
    """End with status 1 and the reasons if there are any."""
    if cells:
        print(f"diptych: {len(cells)} {what}:", *cells, sep="\n  ", file=sys.stderr)
        raise typer.Exit(1)


def _tell_plan(driver: "Driver", wanted: "Study", shard: tuple[int, int]) -> None:
    from diptych.run.estimate import ITEMS, Cost, Impossible, Rehearsal

    cells = wanted.cells(shard)
    plan = [one for one in driver.plan(wanted) if one.cell in cells]
    missing = [one for one in plan if not one.complete]
    costs = dict(zip(map(id, missing), Rehearsal(driver, wanted.batch_size).costs(missing), strict=True))
    named = [Column(name, overflow="fold") for name in ("model", "task", "experiment")]
    table = Table(*named, "stored", "forwards", "time")
    for one in plan:
        cost = costs.get(id(one))
        told = (f"{cost.forwards:.3g}", duration(cost.seconds)) if isinstance(cost, Cost) else ("?" * bool(cost), "")
        table.add_row(one.cell.source.name, str(one.cell.task), str(one.cell.experiment), _state(one), *told)
    Console(markup=False).print(table)
    known = [cost for cost in costs.values() if isinstance(cost, Cost)]
    print(
        f"{len(plan)} cells, {len(plan) - len(missing)} complete; the rest about {sum(c.forwards for c in known):.3g} "
        f"forwards of one prompt, {duration(sum(c.seconds for c in known))} on this machine, if time "
        f"grows with the items as from {ITEMS} per split of each model's first task."
    )
    unknown = [(one.cell, costs[id(one)]) for one in missing]
    print(*(f"Not known, {cell}: {reason}\n" for cell, reason in unknown if isinstance(reason, str)), sep="", end="")
    impossible = [f"{cell}: {why.reason}" for cell, why in unknown if isinstance(why, Impossible)]
    _require_none(impossible, f"of {len(plan)} cells cannot be run here")


def duration(seconds: float) -> str:
    """Seconds as one says them: 40 s, 12 min, 3.5 h, 2.1 days."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}" if unit != "min" else f"{seconds / length:.0f} min"
    return f"{seconds:.2g} s"


def _state(one: "Planned") -> str:
    if one.folder is None:
        return "?"
    return "complete" if one.complete else f"{one.folder.unit_count()} units" * bool(one.folder.unit_count())


def _place(one: "Planned", root: Path) -> str:
    return str(one.folder.path.relative_to(root)) if one.folder else one.reason


def _share(text: str) -> tuple[int, int]:
    parts = text.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--shard is '{text}'; expected i/n, such as 1/4.")
    return int(parts[0]), int(parts[1])
