"""The command line as a person meets it: what it prints, and how it refuses."""

import inspect
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.main import get_command

import diptych
from commands import Command
from diptych.cli import COMMANDS, app, main
from diptych.cli_values import shown
from diptych.registry import names
from diptych.tasks import task_parameters

TASK = """
from diptych.items import Item, Task


def crosses():
    items = tuple(Item(id=f"i{n}", text="x " * n, image=None, query="How many x?", answer=str(n)) for n in (1, 2, 3))
    return Task("crosses", 1, items, ("1", "2", "3"))
"""

EXPERIMENT = """
from diptych.run import Finding, Run

VERSION = 1


def sizes(run: Run, *, sizes: tuple[float, ...] = (0.5,), count: int = 1, name: str | None = "a") -> Finding:
    if count == 0:
        raise KeyboardInterrupt
    if count == -1:
        raise ZeroDivisionError("a fault of the program")
    return Finding(summary=f"{sum(sizes)} {count} {name}", rows=[{"count": count}], conditions={"n": count})
"""


@pytest.fixture
def lab(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crosses.py").write_text(TASK)
    (tmp_path / "needy.py").write_text("def needy(count): raise TypeError('called')")
    (tmp_path / "sizes.py").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN = ("run", "sizes.py", "--model", "./tiny-model", "--task", "crosses.py")


def test_a_run_prints_its_finding_and_its_folder(lab: Path, command: Command) -> None:
    said = command(*RUN, "-p", "sizes=0.25,0.5", "-p", "count=2", "-p", "name=null")

    summary, folder = said.out.splitlines()
    assert said.status == 0
    assert summary == "crosses · sizes: 0.75 2 None"
    assert json.loads((Path(folder) / "result.json").read_text())["rows"] == [{"count": 2}]
    assert folder.startswith("runs/tiny-model/crosses/sizes-")


def test_a_report_is_made_from_the_folder_alone(lab: Path, command: Command) -> None:
    command(*RUN)
    (lab / "tiny-model" / "config.json").unlink()  # no model is needed any more

    said = command("report", "runs", "--out", "page.html")

    assert said.status == 0
    assert said.out == "page.html\n"
    text = (lab / "page.html").read_text()
    assert "0.5 1 a" in text
    assert (
        f"with <code>diptych report runs</code> from 1 result, computed on {datetime.now(UTC):%Y-%m-%d} (UTC)" in text
    )


def test_the_figures_of_a_report_are_written_on_request(lab: Path, command: Command) -> None:
    bars = "Bars('t', 'c', 'x', 'y', ['a'], [Series('s', [1.0])])"
    head = "from diptych.figures import Bars, Series\nfrom diptych.run import Finding\nVERSION = 1\n"
    (lab / "drawn.py").write_text(f"{head}def drawn(run):\n    return Finding('s', [], {{}}, [{bars}])\n")
    command("run", "drawn.py", *RUN[2:])

    said = command("report", "runs", "--figures", "figures")

    assert said.out == "figures: 1 figures\nreport.html\n"
    [file] = (lab / "figures").iterdir()
    assert re.fullmatch(r"crosses-drawn-[0-9a-f]{12}-1\.pdf", file.name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "sizes.py", "--model", "./tiny-model", "--task", "count"), "No task named 'count'. Known: "),
        (("run", "size", "--model", "./tiny-model", "--task", "crosses.py"), "No experiment named 'size'. Known: "),
        (("run", "sizes.py", "--model", "./nowhere", "--task", "crosses.py"), "config.json"),
        (("run", "sizes.py", "--model", "organism/none", "--task", "crosses.py"), "No organism named 'organism/none'"),
        (("run", "sizes.py", "--model", "./tiny-model", "--task", "odd.py"), "must return a `diptych.items.Task`"),
        ((*RUN, "-p", "count"), "Parameter 'count' is not of the form key=value"),
        ((*RUN, "-p", "count=1", "-p", "count=2"), "Parameter 'count' is given twice"),
        ((*RUN, "-p", "sizes=0.1,x"), "Parameter sizes='0.1,x' of experiment 'sizes' cannot be used"),
        ((*RUN, "-p", "sizes=[0.1"), "looks like JSON but is not"),
        ((*RUN, "-p", "count=two"), "Parameter count='two' of experiment 'sizes' cannot be used"),
        ((*RUN, "-p", "cuont=2"), "no parameter 'cuont'. Known: sizes, count, name."),
        ((*RUN, "--batch-size", "0"), "batch_size is 0; expected at least 1"),
        ((*RUN, "--dtype", "float99"), "No dtype named 'float99'. Known: float32"),
        ((*RUN, "--revision", "main"), "Revision 'main' cannot be chosen for './tiny-model', which is a folder"),
        ((*RUN, "--runs", "sizes.py"), "Runs cannot be stored in 'sizes.py': Not a directory"),
        (
            ("run", "sizes.py", "--model", "./tiny-model", "--task", "needy.py"),
            "Task 'needy.py' needs a value for 'count'",
        ),
        ((*RUN, "--set", "count=2"), "Task 'crosses.py' has no parameter 'count'. Known: none"),
        (
            ("run", "sizes.py", "--model", "./tiny-model", "--task", "folder", "--set", "path=no.jsonl"),
            "No file 'no.jsonl'",
        ),
        (("tasks", "show", "folder"), "Task 'folder' needs a value for 'path'"),
        (("tasks", "show", "count"), "No task named 'count'. Known: "),
        (
            ("check", "organism/qwen2vl", "--revision", "main"),
            "Revision 'main' cannot be chosen for 'organism/qwen2vl'",
        ),
        (("check", "./tiny-model", "--dtype", "float99"), "No dtype named 'float99'"),
        (("report", "sizes.py"), "'sizes.py' cannot be read: Not a directory"),
        (("report", "runs"), "No finished results in 'runs'"),
        (("check", "./nowhere"), "config.json"),
        (("study", "no.yaml"), "'no.yaml' is no study file: No such file or directory. Expected YAML"),
    ],
)
def test_bad_input_is_a_message_and_status_two(
    arguments: tuple[str, ...],
    message: str,
    lab: Path,
    command: Command,
) -> None:
    (lab / "odd.py").write_text("def odd(): return 3")

    said = command(*arguments)

    assert said.status == 2
    assert said.err.startswith("diptych: ")
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_folder_written_by_another_version_is_refused(lab: Path, command: Command) -> None:
    command(*RUN)
    run = next((lab / "runs").rglob("run.json"))
    run.write_text(json.dumps({**json.loads(run.read_text()), "format": 99}))

    for arguments in (RUN, ("report", "runs")):
        said = command(*arguments)
        assert said.status == 2
        assert "in store format 99" in said.err


def test_control_c_ends_with_status_130_and_says_what_is_kept(lab: Path, command: Command) -> None:
    said = command(*RUN, "-p", "count=0")

    assert said.status == 130
    assert "Finished units are kept in runs; the same command goes on from there." in said.err


def test_a_fault_of_the_program_keeps_its_traceback(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["diptych", *RUN, "-p", "count=-1"])

    with pytest.raises(ZeroDivisionError, match="a fault of the program"):
        main()


def test_a_wrong_option_is_explained_with_status_two(command: Command) -> None:
    said = command("run", "--modell", "x")
    assert said.status == 2
    assert "--modell" in said.err


def test_tasks_are_listed_with_their_counts(command: Command) -> None:
    said = command("tasks")
    assert said.status == 0
    listed = said.out

    said = command("tasks", "list")
    assert said.status == 0
    assert said.out == listed
    assert "counting" in listed and "arithmetic" in listed


def test_tasks_that_read_one_s_own_data_are_listed_with_what_they_need(command: Command) -> None:
    said = command("tasks", columns=220)
    assert said.status == 0
    listed = said.out
    assert all(name in listed for name in names("task"))
    assert "path=..." in listed and "data=... split=..." in listed and "per_split=250" in listed


def test_names_of_tasks_and_parameters_are_whole_in_a_narrow_terminal(command: Command) -> None:
    said = command("tasks", columns=80)
    assert said.status == 0
    listed = said.out
    assert all(line[-1] in "┓┃┩│┤┘" for line in listed.splitlines())  # nothing is cut at the right
    assert all(f"│ {name} " in listed for name in names("task"))
    assert all(f" {key}=" in listed for name in names("task") for key in task_parameters(name).all())


def test_a_run_takes_the_parameters_of_its_task(lab: Path, command: Command) -> None:
    rows = [{"text": "x " * n, "query": "How many x?", "answer": n} for n in (1, 2, 3)]
    (lab / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = (
        "run",
        "sizes.py",
        "--model",
        "./tiny-model",
        "--task",
        "folder",
        "-s",
        "path=mine.jsonl",
        "-s",
        "name=marks",
    )

    said = command(*asked)
    assert said.status == 0
    assert said.out.startswith("marks · sizes: ")


def test_a_contact_sheet_is_written_where_asked(lab: Path, command: Command) -> None:
    said = command("tasks", "show", "crosses.py", "--n", "2", "--out", "sheets")
    assert said.status == 0

    assert said.out.split() == ["sheets/crosses.html", "sheets/crosses.png"]
    assert "How many x?" in (lab / "sheets" / "crosses.html").read_text()


def test_experiments_are_listed_with_their_parameters_and_defaults(command: Command) -> None:
    said = command("experiments", columns=160)
    assert said.status == 0
    listed = said.out

    assert all(name in listed for name in names("experiment"))
    assert "modality=image" in listed and "windows=[1, 3, 5]" in listed
    assert "Scores of all nodes on the discover split" in listed
    assert "*" not in listed


def test_commands_are_listed_in_the_order_in_which_a_newcomer_needs_them() -> None:
    listed = get_command(app).list_commands(None)  # type: ignore[attr-defined]

    assert listed == list(COMMANDS)


def test_a_parameter_without_default_is_listed_as_needed() -> None:
    assert [shown(default) for default in (inspect.Parameter.empty, None, "a", (1, 2))] == [
        "...",
        "null",
        "a",
        "[1, 2]",
    ]


def test_help_names_the_lists_of_what_can_be_run(command: Command) -> None:
    said = command("run", "--help", columns=160)
    assert said.status == 0
    assert "diptych experiments" in said.out and "diptych tasks" in said.out


def test_the_version_is_told(command: Command) -> None:
    said = command("--version")

    assert (said.status, said.out) == (0, f"diptych {diptych.__version__}\n")


def test_a_report_is_not_written_over_a_folder(lab: Path, command: Command) -> None:
    said = command("report", "runs", "--out", ".")
    assert said.status == 2
    assert "is a directory" in said.err


def test_shipped_models_are_listed_with_their_accuracies(command: Command) -> None:
    said = command("models")
    assert said.status == 0
    listed = said.out
    assert "organism/qwen2vl: accuracy" in listed and "counting" in listed
    assert "held_out: data that training never showed" in " ".join(said.out.split())


def test_help_is_given_without_importing_torch() -> None:
    script = (
        "import sys; from diptych.cli import app; app(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)

    assert "How does a vision-language model" in done.stdout
    assert done.stdout.endswith("False\n")


def test_the_module_is_the_command() -> None:
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}

    done = subprocess.run(
        [sys.executable, "-m", "diptych", "report", "nowhere"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("diptych: No finished results in 'nowhere'")
