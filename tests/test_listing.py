"""Lists and tables of runs: what is there, what is stale, and what may be deleted."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from diptych.cli import main
from diptych.errors import StoreError
from diptych.files import HOST
from diptych.items import Task
from diptych.result import Result
from diptych.run import Run, Store, load_runs
from diptych.run.experiment import Experiment
from diptych.run.folder import Folder
from diptych.run.identity import Identity
from diptych.run.listing import Listed, listed, prune, stale

SQUARES = str(Path(__file__).parent / "lab" / "squares.py")
PARAMETERS = {"seed": 0}
NOW = Experiment.find("accuracy").version


def identity(**changes: Any) -> Identity:
    plain: dict[str, Any] = {
        "experiment": "accuracy",
        "version": NOW,
        "uses": {},
        "code": "",
        "parameters": PARAMETERS,
        "model": "tiny",
        "revision": "0123456789ab",
        "dtype": "float32",
        "loaded": {},
        "task": "counting",
        "task_digest": "ba9876543210",
    }
    return Identity(**(plain | changes))


def finished(root: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Folder:
    named = identity(**changes)
    folder = Store(root).open(named)
    folder.finish(Result({**named.to_json(), "inputs": []}, "A finding.", rows or [{"n": 1}], {}), {})
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    return diptych(monkeypatch, "runs", *arguments)


def diptych(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["diptych", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"version": 1}, f"was of version 1 and is of version {NOW}"),
        ({"uses": {"discover": 1}}, "used {'discover': 1} and uses {}"),
        ({"parameters": {}}, "had the parameters []"),
        ({"experiment": "astrology"}, "no experiment 'astrology' any more"),
        ({"experiment": "astrology", "code": "0123456789ab"}, ""),  # a user's: there is nothing to compare it with
    ],
)
def test_a_result_is_stale_if_today_s_code_would_name_it_otherwise(changes: dict[str, Any], reason: str) -> None:
    found = stale(identity(**changes).to_json())

    assert bool(found) == bool(reason)
    assert reason in found


def test_a_list_tells_state_and_size_of_each_run(
    tmp_path: Path, model_folder: Path, small_task: Task, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    root = tmp_path / "runs"
    done = finished(root)
    finished(root, version=1)
    damaged = finished(root, task="ordering")
    (damaged.path / "run.json").write_text("{")

    def fail_at_the_third(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run(str(model_folder), small_task, store=Store(root), load=lambda source: fail_at_the_third).get(SQUARES)  # type: ignore[arg-type, return-value]

    assert call(monkeypatch, "list", str(root)) == 0
    told = capsys.readouterr().out

    states = sorted(run.state for run in listed(Store(root)))
    assert states == ["2 units", "complete", "refused", "stale, complete"]
    size = sum(path.stat().st_size for path in done.path.iterdir())
    assert f" {size} B " in told
    assert "stale, counts as absent: 'accuracy' was of version 1" in told and "run.json is damaged" in told
    assert "4 runs, " in told


@pytest.mark.parametrize("command", ["list", "prune"])
def test_a_folder_that_is_not_there_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, command, str(tmp_path / "rnus")) == 2
    assert f"No folder '{tmp_path / 'rnus'}'. Expected a folder made by" in capsys.readouterr().err


def test_a_table_has_every_row_with_what_it_is_of_and_no_stale_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished(tmp_path, [{"panel": "text", "n": 3}, {"panel": "image", "n": 4}])
    finished(tmp_path, [{"task": "mine", "n": 5}], task="ordering", parameters={"seed": 7})
    finished(tmp_path, version=1)
    Store(tmp_path).open(identity(task="sentiment"))  # begun

    table = load_runs(tmp_path)

    assert table["n"].tolist() == [3, 4, 5]
    assert table["task"].tolist() == ["counting", "counting", "ordering"]
    assert table["parameters.seed"].tolist() == [0, 0, 7]
    assert table["rows.task"].tolist()[2] == "mine"
    assert table["panel"].tolist()[:2] == ["text", "image"]
    assert set(table["model"]) == {"tiny"} and len(set(table["digest"])) == 2
    assert "is stale and counts as absent: 'accuracy' was of version 1" in caplog.text


def test_a_report_leaves_stale_results_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "runs", version=1, task="ordering")

    assert diptych(monkeypatch, "report", "runs") == 2
    assert "No finished results in 'runs'" in capsys.readouterr().err

    finished(tmp_path / "runs")
    assert diptych(monkeypatch, "report", "runs") == 0

    assert "is stale and counts as absent: 'accuracy' was of version 1" in caplog.text
    assert "Ordering" not in Path("report.html").read_text(encoding="utf-8")


def test_a_table_of_nothing_is_empty_and_of_a_damaged_run_is_refused(tmp_path: Path) -> None:
    assert load_runs(tmp_path / "nowhere").empty

    (finished(tmp_path).path / "run.json").write_text("{}")
    with pytest.raises(StoreError, match="is damaged"):
        load_runs(tmp_path)


def test_a_run_that_is_computed_tells_of_the_stale_one_beside_it(
    tmp_path: Path, model_folder: Path, small_task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    script = tmp_path / "squares.py"
    script.write_text(Path(SQUARES).read_text())
    run = Run(str(model_folder), small_task, store=Store(tmp_path / "runs"), load=lambda source: print)  # type: ignore[arg-type, return-value]
    run.get(str(script))
    assert not caplog.text

    script.write_text(script.read_text().replace("VERSION = 1", "VERSION = 2"))
    run.get(str(script))

    assert "is stale and counts as absent: its code is" in caplog.text and "its version is 1, not 2" in caplog.text


def test_prune_asks_and_deletes_the_stale_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, gone = finished(tmp_path).path, finished(tmp_path, version=1, task="ordering").path
    begun = Store(tmp_path).open(identity(dtype="bfloat16"))
    begun.add_unit("values", "a", {"one": torch.ones(1)})
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))

    assert call(monkeypatch, "prune", str(tmp_path)) == 0
    assert gone.exists()
    assert call(monkeypatch, "prune", str(tmp_path), "--yes") == 0

    assert not gone.parent.exists() and kept.exists() and begun.path.exists()
    assert call(monkeypatch, "prune", str(tmp_path), "--yes") == 0
    assert "Nothing to delete." in capsys.readouterr().out
    assert call(monkeypatch, "prune", str(tmp_path), "--unfinished", "--yes") == 0
    assert not begun.path.exists() and kept.exists()


def test_what_diptych_did_not_write_is_left(tmp_path: Path) -> None:
    folder = finished(tmp_path / "runs", version=1).path
    mine = [folder / "notes.txt", folder / "units" / "tally" / "notes.txt", folder / "units" / "notes.safetensors"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.safetensors").write_text("mine")
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (folder / "units" / "linked").symlink_to(elsewhere)
    (folder / "units" / "tally" / "a.safetensors").write_text("ours")
    (folder / "grids.safetensors").symlink_to(elsewhere / "a.safetensors")

    whole = prune(tmp_path / "runs", *listed(Store(tmp_path / "runs")))

    assert not whole
    left = sorted(path for path in folder.rglob("*") if not path.is_dir())
    assert left == sorted(mine)
    assert (elsewhere / "a.safetensors").read_text() == "mine"


def test_a_run_behind_a_link_is_not_deleted(tmp_path: Path) -> None:
    real = finished(tmp_path / "real", version=1).path
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tiny").symlink_to(tmp_path / "real" / "tiny")
    [run] = listed(Store(tmp_path / "runs"))

    with pytest.raises(StoreError, match="is a link; nothing behind it is deleted"):
        prune(tmp_path / "runs", run)
    assert (real / "result.json").exists()


def test_a_run_that_is_being_written_is_not_deleted(tmp_path: Path) -> None:
    folder = finished(tmp_path, version=1)
    half = folder.path / f".result.json.{HOST}.{os.getppid()}.tmp"
    half.mkdir()

    with pytest.raises(StoreError, match="is being written by another process"):
        prune(tmp_path, Listed(folder, {}, "old"))
    assert folder.complete
