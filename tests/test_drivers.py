"""Several drivers of one study: killed at random moments and resumed, or two at a time. Nothing is lost or computed twice."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from counted import LAB, files
from diptych.items import Task
from tallies import TALLIED, Tally, open_run


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and what happened there: 24 drivers killed, and three pairs."""
    folder, model = tmp_path_factory.mktemp("drivers"), tmp_path_factory.mktemp("tiny-model")
    (model / "config.json").write_text("{}")
    command = [sys.executable, str(LAB / "many_drivers.py"), str(folder), str(model), "24", "3"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_a_study_killed_at_random_moments_and_resumed_is_the_uninterrupted_one(
    driven: tuple[Path, dict[str, Any]],
) -> None:
    folder, told = driven[0], driven[1]["kill"]

    assert told["kills"] == 24 and driven[1]["units"] == 32
    assert len(set(told["stored when killed"])) > 5  # in the middle of the work
    assert told["computed after it was stored"] == []
    whole = files(folder / "whole")
    assert len([name for name in whole if name.endswith("result.json")]) == 4
    assert all(files(folder / f"killed{number}") == whole for number in range(told["rounds"]))


def test_two_drivers_on_one_folder_end_with_what_one_makes(driven: tuple[Path, dict[str, Any]]) -> None:
    folder, told = driven[0], driven[1]["pair"]

    whole = files(folder / "whole")
    assert told["rounds"] == 3
    assert all(files(folder / f"pair{number}") == whole for number in range(3))
    assert all(32 <= count <= 64 for count in told["computed"])


def test_what_another_driver_stored_meanwhile_is_not_computed_again(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    other = Tally()

    class Slow(Tally):
        def __call__(self, unit: str) -> None:
            super().__call__(unit)
            open_run(model_folder, small_task, tmp_path, other).get(TALLIED, count=3)

    slow = Slow()
    result = open_run(model_folder, small_task, tmp_path, slow).get(TALLIED, count=3)

    assert other.units == ["crosses-0", "crosses-1", "crosses-2"]
    assert slow.units == ["crosses-0"]
    assert [row["unit"] for row in result.rows] == other.units
