"""The commands about tasks: list them, and look at one."""

import inspect
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from diptych.cli_values import Setting, first_line, named_values, shown
from diptych.registry import find, names
from diptych.tasks import make_task, task_parameters

app = typer.Typer(add_completion=False, invoke_without_command=True, help="List the tasks, or look at one.")


@app.callback()
def tasks(context: typer.Context) -> None:
    """List the tasks that come with diptych, or look at one."""
    if context.invoked_subcommand is None:
        list_tasks()


@app.command("list")
def list_tasks() -> None:
    """List the tasks that come with diptych, and those that read your own data."""
    name_column = Column("task", no_wrap=True)  # a name cut short cannot be typed
    settings_column = Column("parameters (--set)", min_width=21, overflow="fold")
    table = Table(name_column, "items", "what is asked", settings_column, show_lines=True)
    for name in names("task"):
        table.add_row(name, _counts(name), first_line(find("task", name)), _settings(name))
    Console(markup=False).print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name (see `diptych tasks`), or the path of a .py file.")],
    setting: Setting = [],  # noqa: B006
    n: Annotated[int, typer.Option("--n", min=1, help="How many items.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder for the sheet.", file_okay=False)] = Path("."),
) -> None:
    """Write a contact sheet of a task, as a page and as a picture: each item beside its counterfactual, in both panels."""
    from diptych.contact_sheet import write_sheet

    for path in write_sheet(make_task(name, **named_values(setting)), out, n=n):
        print(path)


def _counts(name: str) -> str:
    """Items, paired items and answers; unknown for a task that needs to be told where its data is."""
    if any(p.default is inspect.Parameter.empty for p in task_parameters(name).all().values()):
        return "yours"
    task = make_task(name)
    paired = sum(item.paired for item in task.items)
    return f"{len(task.items)} items\n{paired} paired\n{len(task.answers)} answers"


def _settings(name: str) -> str:
    return " ".join(f"{key}={shown(parameter.default)}" for key, parameter in task_parameters(name).all().items())
