"""Options of loading: the same for every command that loads a model, and all of them reach the loader."""

import inspect
import json
from pathlib import Path

import pytest

from commands import Command
from counted import LAB
from diptych import load
from diptych.cli import run
from diptych.cli_check import check
from diptych.cli_options import loading_options
from diptych.cli_repair import repair

GIVEN = {"dtype": "bfloat16", "attention": "eager", "pixels": "784,3136", "system": "Be brief."}


def test_the_options_are_what_the_loader_takes() -> None:
    options = inspect.signature(loading_options).parameters
    taken = inspect.signature(load).parameters

    assert set(options) <= set(taken)
    assert all(taken[name].default == option.default for name, option in options.items())


@pytest.mark.parametrize("loads", [run, check, repair])
def test_every_command_that_loads_a_model_has_the_options(loads: object) -> None:
    own = inspect.signature(loads).parameters  # type: ignore[arg-type]

    assert "loading" not in own
    assert all(own[name] == option for name, option in inspect.signature(loading_options).parameters.items())


def test_options_reach_the_run(tmp_path: Path, model_folder: Path, command: Command) -> None:
    options = [part for name, value in GIVEN.items() for part in (f"--{name}", value)]
    experiment = [
        "--model",
        str(model_folder),
        "--task",
        str(LAB / "few_counting.py"),
        "--runs",
        str(tmp_path / "runs"),
    ]

    said = command("run", str(LAB / "seeded.py"), *experiment, *options)

    assert said.status == 0, said.err
    [path] = (tmp_path / "runs").rglob("run.json")
    identity = json.loads(path.read_text())["identity"]
    expected = {"quantisation": None, "attention": "eager", "pixels": [784, 3136], "system": "Be brief."}
    assert (identity["dtype"], identity["loaded"]) == ("bfloat16", expected)


def test_help_names_the_extra_that_ray_needs(command: Command) -> None:
    assert "diptych[ray]" in command("run", "--help", columns=200).out
