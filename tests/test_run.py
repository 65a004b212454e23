"""Runs: what is stored is not computed again, and what is asked is exactly what is answered."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from counted import LAB, ROOTS, SQUARES, Counted, experiment, files, open_run
from diptych.errors import InputError
from diptych.items import Task
from diptych.run import Unit
from diptych.run.source import ModelSource


def test_a_result_is_computed_once_and_then_read(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    first, second = Counted(), Counted()

    computed = open_run(model_folder, small_task, tmp_path / "runs", first).get(SQUARES, count=4)
    stored = open_run(model_folder, small_task, tmp_path / "runs", second).get(SQUARES, count=4)

    assert computed.summary == "The squares sum to 14.0."
    assert computed == stored
    assert (first.numbers, second.numbers) == ([0, 1, 2, 3], [])


def test_a_result_lists_its_identity_in_full(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    identity = open_run(model_folder, small_task, tmp_path / "runs", Counted()).get(SQUARES, count=2).identity

    assert identity["experiment"] == "squares"
    assert identity["version"] == 1
    assert identity["parameters"] == {"count": 2, "scale": 1.0, "sign": "plus"}
    assert identity["model"] == "tiny-model"
    assert identity["task_digest"] == small_task.digest()
    assert len(identity["digest"]) == len(identity["revision"]) == 12


def test_a_default_given_by_name_is_the_same_run(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    run = open_run(model_folder, small_task, tmp_path / "runs", Counted())

    plain = run.get(SQUARES)

    assert run.get(SQUARES, count=3, scale=1, sign="plus").identity == plain.identity


@pytest.mark.parametrize("change", ["parameter", "dtype", "task", "weights", "code"])
def test_whatever_changes_the_numbers_changes_the_digest(
    change: str, tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    path = shutil.copy(LAB / "squares.py", tmp_path / "squares.py")
    before = open_run(model_folder, small_task, tmp_path / "runs", Counted()).get(str(path))
    parameters = {"scale": 2.0} if change == "parameter" else {}
    options = {"dtype": "bfloat16"} if change == "dtype" else {}
    task = replace(small_task, version=2) if change == "task" else small_task
    if change == "weights":
        (model_folder / "model.safetensors").write_bytes(b"Weights")
    if change == "code":
        path.write_text(path.read_text().replace("number**2", "number**2 + 1"))

    after = open_run(model_folder, task, tmp_path / "runs", Counted(), **options).get(str(path), **parameters)

    assert before.identity["digest"] != after.identity["digest"]


@pytest.mark.parametrize(("visit", "units"), [(1, []), (2, ["a"]), (4, ["a", "b", "c"])])
def test_nothing_is_stored_once_a_file_that_a_parameter_names_is_edited(
    visit: int, units: list[str], tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    method = tmp_path / "mine.py"
    method.write_text("A = 1")
    visits: list[Path] = []

    def edit(path: Path) -> None:
        visits.append(path)
        if len(visits) == visit:
            path.write_text("A = 10")

    with pytest.raises(InputError, match="'method' names was changed while 'lengths' was running.*same command again"):
        open_run(model_folder, small_task, tmp_path / "runs", edit).get(str(LAB / "lengths.py"), method=str(method))

    assert len(visits) == visit
    assert sorted(path.stem for path in (tmp_path / "runs").rglob("*.safetensors")) == units
    assert not list((tmp_path / "runs").rglob("result.json"))


def test_a_folder_may_move_without_being_another_model(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    elsewhere = Path(shutil.copytree(model_folder, tmp_path / "disk" / "tiny-model"))
    (elsewhere / "card.json").write_text('{"accuracy": 1}')  # describes the model, changes no number

    here = open_run(model_folder, small_task, tmp_path / "runs", Counted()).get(SQUARES)

    assert open_run(elsewhere, small_task, tmp_path / "runs", Counted()).get(SQUARES) == here


def test_long_weight_files_are_told_apart_by_blocks(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = folder / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(70 * 2**20)
    before = ModelSource(str(folder)).fingerprint

    with weights.open("r+b") as file:
        file.seek(100 * (70 * 2**20 // 256))
        file.write(b"x")

    assert ModelSource(str(folder)).fingerprint != before


def test_an_experiment_lists_the_results_it_used(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    vlm = Counted()
    run = open_run(model_folder, small_task, tmp_path / "runs", vlm)

    roots = run.get(ROOTS, count=3)
    used = run.get(SQUARES, count=3)

    assert roots.identity["inputs"] == [{"experiment": "squares", "digest": used.identity["digest"]}]
    assert roots.conditions == {"same": True}
    assert vlm.numbers == [0, 1, 2]


def test_a_new_version_of_a_used_experiment_makes_a_new_result(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    for name in ("squares.py", "roots.py"):
        shutil.copy(LAB / name, tmp_path / name)
    run = open_run(model_folder, small_task, tmp_path / "runs", Counted())
    before = run.get(str(tmp_path / "roots.py"))

    squares = tmp_path / "squares.py"
    squares.write_text(squares.read_text().replace("VERSION = 1", "VERSION = 2"))

    assert run.get(str(tmp_path / "roots.py")).identity["digest"] != before.identity["digest"]


def test_an_experiment_must_say_what_it_uses(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    secretive = experiment(tmp_path, "secretive", f"run.get({SQUARES!r})")

    with pytest.raises(InputError, match=r"USES = \('squares',\)"):
        open_run(model_folder, small_task, tmp_path / "runs", Counted()).get(secretive)


def test_grids_are_stored_beside_the_result(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    run = open_run(model_folder, small_task, tmp_path / "runs", Counted())

    result = run.get(SQUARES, count=4)

    assert list(result.grids) == ["all"]
    assert run.grids(result)["all"].tolist() == [0.0, 4.0]
    assert run.grids(run.get(ROOTS)) == {}


def test_an_interrupted_map_goes_on_where_it_was(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    second = Counted()
    with pytest.raises(KeyboardInterrupt):
        open_run(model_folder, small_task, tmp_path / "runs", Counted(fail_at=2)).get(SQUARES, count=4)

    result = open_run(model_folder, small_task, tmp_path / "runs", second).get(SQUARES, count=4)

    assert second.numbers == [2, 3]
    assert [row["number"] for row in result.rows] == [0, 1, 2, 3]


def test_a_unit_cut_short_is_computed_again_and_said_so(
    tmp_path: Path, model_folder: Path, small_task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_run(model_folder, small_task, tmp_path / "runs", Counted(fail_at=3)).get(SQUARES, count=4)
    damaged = sorted((tmp_path / "runs").rglob("Number-1*.safetensors"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    vlm = Counted()

    result = open_run(model_folder, small_task, tmp_path / "runs", vlm).get(SQUARES, count=4)

    assert vlm.numbers == [1, 3]
    assert [row["square"] for row in result.rows] == [0.0, 1.0, 4.0, 9.0]
    assert f"{damaged} is damaged" in caplog.text


def test_units_come_in_order_whatever_the_order_in_which_they_finish(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    def backwards(
        work: Callable[..., Any], units: Iterable[Unit], load: Callable[[], Any]
    ) -> Iterator[tuple[Unit, Any]]:
        vlm = load()
        yield from ((unit, work(vlm, unit.payload)) for unit in reversed(list(units)))

    vlm = Counted()
    open_run(model_folder, small_task, tmp_path / "forwards", Counted()).get(SQUARES, count=4)
    open_run(model_folder, small_task, tmp_path / "backwards", vlm, executor=backwards).get(SQUARES, count=4)

    assert vlm.numbers == [3, 2, 1, 0]
    assert files(tmp_path / "backwards") == files(tmp_path / "forwards")


def test_progress_tells_the_stage_and_the_units_done(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    told: list[Any] = []

    @contextmanager
    def noting(*stage: Any) -> Iterator[Any]:
        told.append(stage)
        yield told.append
        told.append("closed")

    open_run(model_folder, small_task, tmp_path / "runs", Counted(), progress=noting).get(SQUARES, count=2)

    assert told == [("crosses · squares (count=2) · squares", 0, 2), 1, 2, "closed"]
