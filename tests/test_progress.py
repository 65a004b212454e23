"""Progress: bars with rate and time left on a terminal, nothing elsewhere, and a log beside each run's results."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from commands import Command
from counted import SQUARES, Counted, open_run
from diptych.items import Task
from diptych.run.progress import bars, for_terminal, lines, silent


@contextmanager
def terminal() -> Iterator[tuple[TextIO, TextIO]]:
    """What a program writes to, and what its terminal shows."""
    shown, written = os.openpty()
    with open(written, "w", encoding="utf-8") as to, open(shown, encoding="utf-8", newline="") as screen:
        yield to, screen


def test_bars_are_for_terminals_and_elsewhere_is_quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with terminal() as (written, _):
        monkeypatch.setattr("sys.stderr", written)
        assert for_terminal() is bars
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr("sys.stderr", file)
        assert for_terminal() is silent


def test_a_bar_tells_the_rate_and_the_time_left_of_what_was_not_stored(capsys: pytest.CaptureFixture[str]) -> None:
    with bars("counting · accuracy", 2, 6) as told:
        told(5)

    begun, *_, ended = [line for line in re.split("[\r\n]", capsys.readouterr().err) if line]
    assert "2/6 [00:00<?, ?unit/s]" in begun
    assert re.search(r"accuracy:  83%.* 5/6 \[\d\d:\d\d<\d\d:\d\d, +\S+/\S+\]", ended)


def test_a_line_tells_what_was_stored_and_the_rate_of_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    with lines("a", 1, 3) as told:
        told(2)
        told(3)
    with lines("b", 2, 2):
        pass
    with lines("c", 0, 2) as told:  # which fails after the first
        told(1)

    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"a: 3 units, 1 from the store, [\d.]+ per second", first)
    assert second == "b: 2 units, 2 from the store"


def test_a_stage_that_fails_is_closed(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    told: list[Any] = []

    @contextmanager
    def noting(*stage: Any) -> Iterator[Any]:
        try:
            yield told.append
        finally:
            told.append("closed")

    with pytest.raises(KeyboardInterrupt):
        open_run(model_folder, small_task, tmp_path, Counted(fail_at=2), progress=noting).get(SQUARES, count=4)

    assert told == [1, 2, "closed"]


def test_the_log_of_a_run_tells_each_unit_the_end_and_what_a_second_driver_found(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    root = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        open_run(model_folder, small_task, root, Counted(fail_at=1)).get(SQUARES, count=3)
    open_run(model_folder, small_task, root, Counted()).get(SQUARES, count=3)

    [log] = root.rglob("run.log")
    found = [re.fullmatch(r"(\S+ \S+ \S+ \d+) (.*)", line) for line in log.read_text().splitlines()]

    assert all(f" {os.getpid()}" in line[1] for line in found if line)
    stage = "crosses · squares (count=3) · squares: "
    assert [line and line[2].removeprefix(stage) for line in found] == [
        "1 of 3 units",
        "ended by KeyboardInterrupt:",
        "1 of 3 units were stored",
        "2 of 3 units",
        "3 of 3 units",
        "finished: The squares sum to 5.0.",
    ]


def test_a_study_whose_output_goes_to_a_file_prints_findings_alone(
    tmp_path: Path, model_folder: Path, command: Command
) -> None:
    study = tmp_path / "mine.yaml"
    task = Path(__file__).parent / "lab" / "named_crosses.py"
    study.write_text(
        f"models: {model_folder}\ntasks: {task}\nexperiments: {{name: {SQUARES}, parameters: {{count: 0}}}}\n"
    )

    said = command("study", str(study), "--runs", str(tmp_path / "runs"))

    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines()[1:] == ["crosses · squares: The squares sum to 0.0."]
