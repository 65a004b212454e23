"""The store: whole files or none, readable names, and no folder of another run or version taken for its own."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diptych.errors import StoreError
from diptych.files import HOST, write_whole
from diptych.result import Result
from diptych.run.folder import Folder
from diptych.run.identity import Identity, file_name
from diptych.run.store import Store

NOBODY = 2**22 + 1  # larger than any process number of Linux


def make_identity(**changes: Any) -> Identity:
    identity = Identity(
        experiment="discover",
        version=1,
        uses={},
        code="",
        parameters={"modality": "text", "sizes": [0.1, 0.5]},
        model="organism/qwen2vl",
        revision="0123456789ab",
        dtype="float32",
        loaded={"attention": "sdpa"},
        task="counting",
        task_digest="ba9876543210",
    )
    return replace(identity, **changes)


def make_result(identity: Identity, grids: tuple[str, ...] = ()) -> Result:
    return Result({**identity.to_json(), "inputs": []}, "A finding.", [{"a": 1}], {"n": 3}, grids=grids)


def finished(store: Store, **changes: Any) -> Folder:
    identity = make_identity(**changes)
    folder = store.open(identity)
    folder.finish(make_result(identity), {})
    return folder


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_folder_reads_as_model_task_experiment_and_digest(tmp_path: Path) -> None:
    folder = finished(Store(tmp_path))

    model, task, run = folder.path.relative_to(tmp_path).parts
    assert model.startswith("organism-qwen2vl~")
    assert task == "counting"
    assert run == f"discover-{make_identity().digest}"
    assert json.loads((folder.path / "run.json").read_text())["identity"] == make_identity().to_json()


def test_a_digest_is_twelve_hex_digits_that_do_not_depend_on_the_order_of_parameters() -> None:
    turned = make_identity(parameters={"sizes": [0.1, 0.5], "modality": "text"})

    assert make_identity().digest == turned.digest
    assert len(bytes.fromhex(turned.digest)) == 6


@pytest.mark.parametrize(
    "field",
    [
        "experiment",
        "version",
        "uses",
        "code",
        "parameters",
        "model",
        "revision",
        "dtype",
        "loaded",
        "task",
        "task_digest",
    ],
)
def test_every_field_of_an_identity_counts(field: str) -> None:
    other: Any = {
        "version": 2,
        "uses": {"accuracy": 1},
        "parameters": {"modality": "image"},
        "loaded": {"attention": "eager"},
    }.get(field, "other")

    assert make_identity(**{field: other}).digest != make_identity().digest


def test_file_names_are_safe_and_differ_for_different_texts() -> None:
    texts = [
        "counting",
        "Counting",
        "a/b",
        "a-b",
        "a b",
        "é",
        "",
        "..",
        ".",
        "-x",
        "x" * 300,
        "x" * 301,
        "a/b~c",
        "CON/..",
        "a\n",
    ]

    names = [file_name(text) for text in texts]

    assert names[0] == "counting"
    assert len({name.lower() for name in names}) == len(texts)  # macOS does not tell cases apart
    assert all(0 < len(name) <= 80 and "/" not in name and not name.startswith((".", "-")) for name in names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~") for name in names)


def test_a_mangled_name_is_not_the_name_of_another_text() -> None:
    assert file_name(file_name("a/b")) != file_name("a/b")


def test_a_folder_is_complete_when_its_result_exists(tmp_path: Path) -> None:
    identity = make_identity()
    folder = Store(tmp_path).open(identity)
    assert not folder.complete

    stored = folder.finish(make_result(identity, ("scores",)), {"scores": torch.eye(2).T})

    assert folder.complete
    assert stored == Store(tmp_path).open(identity).result()
    assert stored.to_json() == make_result(identity, ("scores",)).to_json()
    assert torch.equal(folder.grids()["scores"], torch.eye(2))


def test_tensors_that_share_memory_are_stored_apart(tmp_path: Path) -> None:
    folder = Store(tmp_path).open(make_identity())
    whole = torch.arange(6).reshape(2, 3)

    folder.add_unit("scores", "a", {"whole": whole, "turned": whole.T, "row": whole[1]})

    values = folder.unit("scores", "a")
    assert values["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert values["row"].tolist() == [3, 4, 5]


def test_units_of_two_maps_do_not_meet(tmp_path: Path) -> None:
    folder = Store(tmp_path).open(make_identity())
    folder.add_unit("clean", "item 1", {"a": torch.tensor(1)})

    assert folder.has_unit("clean", "item 1")
    assert not folder.has_unit("patched", "item 1")
    assert not folder.has_unit("clean", "item-1")


@pytest.mark.parametrize("text", [b"", b"garbage", b"\xff" * 64])
def test_a_damaged_unit_counts_as_absent(text: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Store(tmp_path).open(make_identity())
    folder.add_unit("scores", "a", {"a": torch.tensor(1)})
    next(folder.path.rglob("a.safetensors")).write_bytes(text)

    assert not folder.has_unit("scores", "a")
    assert "is damaged" in caplog.text


def test_a_file_is_whole_or_absent_when_writing_fails(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "result.json", fail)
    assert list(tmp_path.iterdir()) == []


def test_every_file_can_be_read_by_whom_the_user_lets_read(tmp_path: Path) -> None:
    folder = Store(tmp_path).open(make_identity())
    folder.add_unit("scores", "a", {"a": torch.tensor(1)})
    (tmp_path / "plain").touch()

    modes = {path.name: path.stat().st_mode for path in tmp_path.rglob("*") if path.is_file()}

    assert set(modes.values()) == {modes["plain"]}
    assert set(modes) == {"plain", "run.json", "a.safetensors"}


def test_temporaries_of_ended_processes_are_swept_and_others_left(tmp_path: Path) -> None:
    folder = Store(tmp_path).open(make_identity())
    folder.add_unit("values", "a", {"one": torch.ones(1)})
    ended, own, running, elsewhere, unlike = (
        folder.path / name
        for name in (
            f".a.{HOST}.{NOBODY}.tmp",
            f".a.{HOST}.{os.getpid()}.tmp",
            f".a.{HOST}.{os.getppid()}.tmp",
            f".a.other.{NOBODY}.tmp",
            ".mine.tmp",
        )
    )
    for path in (ended, own, running, elsewhere, unlike):
        path.write_text("half")

    Store(tmp_path).open(make_identity())

    assert [path.exists() for path in (ended, own, running, elsewhere, unlike)] == [False, False, True, True, True]


def test_a_folder_of_another_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = finished(store).path
    edit(path / "run.json", format=99, diptych="9.0")
    before = (path / "run.json").read_bytes()

    for attempt in (lambda: store.open(make_identity()), store.results):
        with pytest.raises(
            StoreError, match=r"written by diptych 9\.0 in store format 99; .* reads format 1\. Use that version"
        ):
            attempt()
    assert (path / "run.json").read_bytes() == before


def test_a_folder_whose_identity_is_not_its_name_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = finished(store).path
    path.rename(path.with_name("discover-000000000000"))

    with pytest.raises(StoreError, match="but its folder is named discover-000000000000"):
        store.results()


def test_a_folder_with_the_right_digest_but_another_identity_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = finished(store).path
    edit(path / "run.json", identity={**make_identity().to_json(), "dtype": "bfloat16"})

    with pytest.raises(StoreError, match=f"is of run {make_identity().digest}, but tells what run .* is of"):
        store.open(make_identity())


def test_a_folder_that_diptych_did_not_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / make_identity().path
    path.mkdir(parents=True)
    (path / "result.json").write_text("{}")

    for attempt in (lambda: Store(tmp_path).open(make_identity()), Store(tmp_path).results):
        with pytest.raises(StoreError, match=r"has no run.json but holds \['result.json'\]"):
            attempt()


def test_a_folder_left_by_a_crash_before_run_json_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / make_identity().path
    path.mkdir(parents=True)
    (path / f".run.json.{HOST}.{NOBODY}.tmp").write_text("{")

    folder = Store(tmp_path).open(make_identity())
    folder.add_unit("values", "a", {"one": torch.ones(1)})

    assert sorted(entry.name for entry in folder.path.iterdir()) == ["run.json", "units"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "diptych": "1", "identity": 3}'])
def test_a_damaged_run_json_is_refused(text: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    (finished(store).path / "run.json").write_text(text)

    with pytest.raises(StoreError, match="run.json is damaged.*Delete the folder"):
        store.results()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Not a result"),
        ('{"format": 7}', "layout version 7"),
        ('{"format": 1}', "fields are not those"),
        ("\udcff", "utf-8"),
    ],
)
def test_a_damaged_result_is_refused_with_its_path(text: str, message: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = finished(store).path / "result.json"
    path.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(StoreError, match=message) as error:
        store.results()
    assert str(path) in str(error.value)


def test_the_result_of_another_run_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, other = finished(store), finished(store, dtype="bfloat16")
    shutil.copy(other.path / "result.json", one.path / "result.json")

    with pytest.raises(StoreError, match="not of this folder"):
        one.result()


def test_missing_grids_are_told(tmp_path: Path) -> None:
    identity = make_identity()
    folder = Store(tmp_path).open(identity)
    folder.finish(make_result(identity, ("scores",)), {"scores": torch.ones(2)})
    (folder.path / "grids.safetensors").unlink()

    with pytest.raises(StoreError, match="grids.safetensors cannot be read"):
        folder.grids()


@pytest.mark.parametrize("root", ["notes.txt", "notes.txt/runs"])
def test_a_file_is_no_store(root: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(
        StoreError, match=rf"cannot be stored in '.*{root}': Not a directory. Expected a folder in which"
    ):
        Store(tmp_path / root).open(make_identity())
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(StoreError, match="cannot be read: Not a directory. Expected a folder of runs"):
        Store(tmp_path / root).results()


def test_a_store_may_be_named_by_a_text(tmp_path: Path) -> None:
    folder = finished(Store(str(tmp_path)))  # type: ignore[arg-type]

    assert Store(str(tmp_path)) == Store(tmp_path)  # type: ignore[arg-type]
    assert [inner.path for inner in Store(str(tmp_path)).folders()] == [folder.path]  # type: ignore[arg-type]


def test_results_are_the_complete_runs_by_path(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finished(store, task="ordering")
    finished(store, task="counting")
    store.open(make_identity(task="arithmetic"))  # begun, not complete
    (tmp_path / "report.html").write_text("a file of the user")

    assert [result.identity["task"] for result in store.results()] == ["counting", "ordering"]
    assert Store(tmp_path / "nowhere").results() == []
