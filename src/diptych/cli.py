"""The command line. Every command is a few lines over the package: imports stay inside, so that help is quick."""

import sys
import webbrowser
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from diptych.cli_check import check, print_card
from diptych.cli_executor import Address, Cpus, Gpus, Kind, Workers, executor
from diptych.cli_export import export
from diptych.cli_options import BatchSize, Loading, Model, with_loading
from diptych.cli_progress import no_bars_in_a_file, resumable, tell
from diptych.cli_repair import repair
from diptych.cli_runs import app as runs_app
from diptych.cli_study import study
from diptych.cli_tasks import app as tasks_app
from diptych.cli_values import Setting, first_line, named_values, shown
from diptych.errors import DiptychError, InputError
from diptych.experiments import DEMO, DEMO_FIRST, DEMO_TASKS
from diptych.registry import names
from diptych.tasks import make_task, small_task

COMMANDS = ("demo", "models", "tasks", "experiments", "check", "run", "study", "report", "runs", "repair", "export")


class _InOrder(TyperGroup):
    """Commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(self.commands, key=COMMANDS.index)


app = typer.Typer(
    cls=_InOrder,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How does a vision-language model do the same task from text and from an image?",
)
app.add_typer(tasks_app, name="tasks")
app.add_typer(runs_app, name="runs")

app.command()(check)
app.command()(export)
app.command()(repair)
app.command()(study)


def main() -> None:
    """Run the command line; an error of ours is a message on stderr and status 2, any other keeps its traceback."""
    no_bars_in_a_file()
    try:
        app()
    except DiptychError as error:
        print(f"diptych: {error}", file=sys.stderr)
        sys.exit(2)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"diptych {metadata.version('diptych')}")
        raise typer.Exit


@app.callback()
def _diptych(
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the command itself; its help is that of `app`."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the report.")] = Path("runs/demo"),
    model: Model = "organism/qwen2vl",
    task: Annotated[list[str], typer.Option(help="A task; may be given several times.")] = list(DEMO_TASKS),  # noqa: B006
) -> None:
    """Run the whole analysis on a small model that is shipped with diptych, and make its report."""
    with resumable(out):
        import torch

        from diptych.report.build import Origin, build
        from diptych.run import Run, Store
        from diptych.run.listing import days
        from diptych.run.progress import bars, lines

        torch.set_num_threads(1)  # in so small a model, threads on busy cores only wait for each other
        progress = bars if sys.stderr.isatty() else lines
        results = []
        handles = [Run(model, small_task(name), store=Store(out), progress=progress) for name in task]
        for place, handle in enumerate(handles):
            for experiment, parameters in (*DEMO, *(DEMO_FIRST if place == 0 else ())):
                results.append(handle.get(experiment, **parameters))
                tell(results[-1])
        chosen = "".join(f" --task {name}" for name in task)
        origin = Origin(f"diptych demo --model {model}{chosen}", days(Store(out), results))
        print(build(results, out / "report.html", title=f"{model}: {', '.join(task)}", origin=origin))


@app.command()
@with_loading
def run(
    experiment: Annotated[str, typer.Argument(help="A name (see `diptych experiments`), or the path of a .py file.")],
    model: Model,
    task: Annotated[str, typer.Option(help="A name (see `diptych tasks`), or the path of a .py file.")],
    setting: Setting = [],  # noqa: B006
    parameter: Annotated[
        list[str], typer.Option("--parameter", "-p", help="key=value for the experiment; may be given several times.")
    ] = [],  # noqa: B006
    runs: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs"),
    *,
    loading: Loading,
    batch_size: BatchSize = 16,
    by: Kind = "serial",
    workers: Workers = None,
    address: Address = None,
    cpus: Cpus = 1,
    gpus: Gpus = None,
) -> None:
    """Run one experiment, or read its stored result."""
    with resumable(runs), executor(by, workers, address, cpus, gpus) as working:
        from diptych.run import Run, Store
        from diptych.run.progress import for_terminal

        handle = Run(
            model,
            make_task(task, **named_values(setting)),
            store=Store(runs),
            progress=for_terminal(),
            batch_size=batch_size,
            executor=working,
            **loading,
        )
        result = handle.get(experiment, **named_values(parameter))
        tell(result)
        print(handle.store.folder(result).path)


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="Folder of runs.")],
    out: Annotated[Path, typer.Option(help="The page to write.", dir_okay=False)] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option(help="Folder for all figures as PDF, for papers (needs matplotlib).", file_okay=False)
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Make one page of all results in a folder of runs, but for stale ones, and PDFs (--figures); needs no model."""
    from diptych.report.build import Origin, build
    from diptych.run.listing import current, days
    from diptych.run.store import Store

    results = current(store := Store(runs))
    if not results:
        raise InputError(f"No finished results in '{runs}'. Expected a folder made by `diptych run` or `diptych demo`.")
    origin = Origin(f"diptych report {runs.resolve().name}", days(store, results))
    path = build(results, out, title=f"Results in {runs.resolve().name}", origin=origin)
    if figures:
        drawn = [file for result in results for file in result.save_figures(figures)]
        print(f"{figures}: {len(drawn)} figures")
    print(path)
    if show:
        webbrowser.open(path.resolve().as_uri())


@app.command()
def models() -> None:
    """List the small models that come with diptych, with their accuracies on held-out items."""
    from diptych.models import organisms

    for name, folder in organisms().items():
        print_card(name, folder)
    print(
        "Shares that are right by first token; exact: the whole answer is written. held_out: data that training never showed "
        "as a picture; shown: data that it may have shown, in new pictures. chance: the commonest answer."
    )
    print(
        "Any image-text-to-text model of Hugging Face can be named too; `diptych check ID` tells whether it is read rightly."
    )


@app.command()
def experiments() -> None:
    """List the experiments that come with diptych, with their parameters (`-p`) and defaults."""
    from diptych.run.experiment import Experiment

    table = Table("experiment", "what it finds", "parameters", show_lines=True)
    for name in names("experiment"):
        experiment = Experiment.find(name)
        lines = [f"{key}={shown(parameter.default)}" for key, parameter in experiment.parameters().items()]
        table.add_row(name, first_line(experiment.function), "\n".join(lines))
    Console(markup=False).print(table)
