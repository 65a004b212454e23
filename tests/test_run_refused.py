"""What a run refuses, and that it leaves nothing behind."""

from pathlib import Path
from typing import Any

import pytest

from counted import SQUARES, Counted, experiment, files, open_run
from diptych.errors import InputError
from diptych.items import Task
from diptych.run import Run, Store

HEAD_THAT_REFUSES = """VERSION = 1
import torch
from diptych.errors import InputError
def one(vlm, payload):
    return {"one": torch.ones(1)}
"""


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cuont": 3}, "no parameter 'cuont'. Known: count, scale, sign."),
        (
            {"count": "many"},
            "Parameter count='many' of experiment 'squares' cannot be used: Input should be a valid integer",
        ),
        ({"sign": "both"}, "Parameter sign='both' .* Input should be 'plus' or 'minus'"),
    ],
)
def test_an_unusable_parameter_is_refused(
    parameters: dict[str, Any], message: str, tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    with pytest.raises(InputError, match=message):
        open_run(model_folder, small_task, tmp_path / "runs", Counted()).get(SQUARES, **parameters)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        ("", "return 1", "has VERSION None; expected a whole number"),
        ("VERSION = 1", "return 1", "returned int; expected `diptych.run.Finding`"),
        (
            "VERSION = 1",
            "return list(run.map(print, [Unit('a', 1), Unit('a', 2)]))",
            r"several units with the ids \['a'\]",
        ),
        ("VERSION = 1", "run.map(print, []); run.map(print, [])", "two maps named 'values'"),
    ],
)
def test_an_experiment_that_breaks_a_rule_is_told_which(
    head: str, body: str, message: str, tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    path = experiment(tmp_path, "wrong", body, head)

    with pytest.raises(InputError, match=message):
        open_run(model_folder, small_task, tmp_path / "runs", Counted()).get(path)


def test_a_refusal_leaves_nothing_behind_but_finished_units(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    root = tmp_path / "runs"
    at_once = experiment(tmp_path, "at_once", "raise InputError('no')", HEAD_THAT_REFUSES)
    later = experiment(
        tmp_path, "later", "list(run.map(one, [Unit('a', 1)])); raise InputError('no')", HEAD_THAT_REFUSES
    )

    with pytest.raises(InputError, match="no"):
        open_run(model_folder, small_task, root, Counted()).get(at_once)
    after_the_first = list(root.iterdir())
    with pytest.raises(InputError, match="no"):
        open_run(model_folder, small_task, root, Counted()).get(later)

    assert after_the_first == []
    assert sorted(path.rpartition("/")[2] for path in files(root)) == ["a.safetensors", "run.json"]


def test_a_map_outside_an_experiment_is_refused(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    with pytest.raises(InputError, match="Call it inside an experiment"):
        open_run(model_folder, small_task, tmp_path / "runs", Counted()).map(print, [])


def test_a_batch_size_below_one_is_refused(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    with pytest.raises(InputError, match="batch_size is 0"):
        open_run(model_folder, small_task, tmp_path / "runs", Counted(), batch_size=0)


def test_an_unknown_dtype_is_refused_before_anything_is_written(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    with pytest.raises(InputError, match="No dtype named 'float99'. Known: float32, float64, bfloat16, float16"):
        open_run(model_folder, small_task, tmp_path / "runs", Counted(), dtype="float99")
    assert not (tmp_path / "runs").exists()


def test_a_revision_of_a_folder_is_refused(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    with pytest.raises(InputError, match="Revision 'main' cannot be chosen for .*which is a folder.*Leave it out"):
        open_run(model_folder, small_task, tmp_path / "runs", Counted(), revision="main")


def test_a_model_that_is_nowhere_is_refused_with_what_to_do(tmp_path: Path, small_task: Task) -> None:
    with pytest.raises(InputError, match="No model 'nobody/nothing'.*give the path of a folder"):
        Run("nobody/nothing", small_task, store=Store(tmp_path)).get(SQUARES)


def test_a_hub_model_is_known_by_its_commit(tmp_path: Path, small_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--something"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    result = Run("someone/something", small_task, store=Store(tmp_path / "runs"), load=lambda source: Counted()).get(
        SQUARES
    )

    assert (result.identity["model"], result.identity["revision"]) == ("someone/something", commit)
