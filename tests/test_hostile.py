"""Hostile files in a folder of runs, and hostile rows of a data set: refused or harmless."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diptych.errors import StoreError
from diptych.items import Task
from diptych.report.build import build
from diptych.result import Result
from diptych.run import Store
from diptych.run.sealed import LARGEST
from diptych.tasks import make_task
from tallies import KINDS, TALLIED, answers, only, open_run


class Pwned:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_under_another_name_is_never_unpickled(
    kind: str, tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    root, pwned = tmp_path / "runs", tmp_path / "pwned"
    expected = answers(open_run(model_folder, small_task, root))
    (only(root) / KINDS[kind]).write_bytes(pickle.dumps(Pwned(pwned)))
    if kind == "unit":
        (only(root) / "result.json").unlink()

    if kind == "run":
        with pytest.raises(StoreError, match="run.json is damaged"):
            answers(open_run(model_folder, small_task, root))
    else:
        assert answers(open_run(model_folder, small_task, root)) == expected

    assert not pwned.exists()


def test_a_link_in_a_run_s_folder_is_replaced_and_what_it_points_to_is_left(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    root, mine = tmp_path / "runs", tmp_path / "mine.txt"
    expected = answers(open_run(model_folder, small_task, root))
    mine.write_text("mine")
    (only(root) / "result.json").unlink()
    for kind in ("unit", "grids"):
        (only(root) / KINDS[kind]).unlink()
        (only(root) / KINDS[kind]).symlink_to(mine)
    for name in (".crosses-1.safetensors", ".run.json"):
        (only(root) / "units/tally" / f"{name}.{os.uname().nodename}.{os.getpid()}.tmp").symlink_to(mine)

    assert answers(open_run(model_folder, small_task, root)) == expected

    assert mine.read_text() == "mine"
    assert not any(path.is_symlink() for path in root.rglob("*"))


@pytest.mark.parametrize("name", ["model", "task", "experiment", "digest"])
def test_names_in_a_result_do_not_lead_out_of_the_store(name: str, tmp_path: Path) -> None:
    identity = {"experiment": "a", "model": "b", "task": "c", "digest": "0123456789ab", name: "../../../../etc"}

    path = Store(tmp_path).folder(Result(identity, "s", [], {})).path

    assert len(path.relative_to(tmp_path).parts) == 3
    assert ".." not in path.parts


@pytest.mark.parametrize("kind", ["run", "result"])
@pytest.mark.parametrize(
    ("text", "message"),
    [("[" * 100_000, "recursion"), ("x" * (LARGEST + 1), "expected at most"), ("9" * 5000, "digits")],
    ids=["deep", "large", "long number"],
)
def test_json_that_is_made_to_exhaust_the_reader_is_refused(
    text: str, message: str, kind: str, tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    answers(open_run(model_folder, small_task, tmp_path))
    path = only(tmp_path) / KINDS[kind]
    path.write_text(text[:100_000])
    os.truncate(path, len(text))  # the rest takes no room

    with pytest.raises(StoreError, match=message):
        Store(tmp_path).results()


def test_markup_in_a_data_set_is_text_in_the_report(tmp_path: Path, model_folder: Path) -> None:
    hostile = "<script>window.hacked = 1</script>"
    rows = [
        {"text": "x " * n + hostile, "query": hostile, "answer": f"{n}{hostile}", "id": f"{n}{hostile}"}
        for n in (1, 2, 3)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = replace(make_task("folder", path=str(tmp_path / "rows.jsonl")), name=f"rows {hostile}")

    result = open_run(model_folder, task, tmp_path / "runs").get(TALLIED, count=2)
    page = build([result], tmp_path / "page.html").read_text()

    assert hostile in result.rows[0]["unit"]  # type: ignore[operator]
    assert "window.hacked" in page and hostile not in page
    assert len(list((tmp_path / "runs").glob("*/*/*/result.json"))) == 1
