"""Faults: killed drivers, two drivers, full and read-only disks, damaged and hostile files. Never a wrong number."""

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diptych.errors import StoreError
from diptych.items import Task
from diptych.report.build import build
from diptych.result import Result
from diptych.run import Run, Store
from diptych.run.sealed import LARGEST
from diptych.tasks import make_task

LAB = Path(__file__).parent / "lab"
TALLIED = str(LAB / "tallied.py")
KINDS = {
    "unit": "units/tally/crosses-1.safetensors",
    "grids": "grids.safetensors",
    "result": "result.json",
    "run": "run.json",
}


class Counted:
    def __init__(self) -> None:
        self.units: list[str] = []

    def __call__(self, unit: str) -> None:
        self.units.append(unit)


def open_run(model: Path, task: Task, root: Path, vlm: Any = None) -> Run:
    return Run(str(model), task, store=Store(root), load=lambda source: vlm or Counted())


def answers(run: Run) -> tuple[Result, list[list[float]]]:
    """All that a user reads of the experiment."""
    result = run.get(TALLIED, count=3)
    return result, run.grids(result)["all"].tolist()


def only(root: Path) -> Path:
    """The one run's folder."""
    [found] = root.glob("*/*/*")
    return found


def files(root: Path) -> dict[str, bytes]:
    found = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".log"]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def many_drivers(how: str, folder: Path, model: Path, count: int) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(LAB / "many_drivers.py"), how, str(folder), str(model), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_study_killed_at_random_moments_and_resumed_is_the_uninterrupted_one(
    tmp_path: Path, model_folder: Path
) -> None:
    told = many_drivers("kill", tmp_path, model_folder, 24)

    assert told["kills"] == 24 and told["units"] == 32
    assert len(set(told["stored when killed"])) > 5  # in the middle of the work
    assert told["computed after it was stored"] == []
    whole = files(tmp_path / "whole")
    assert len([name for name in whole if name.endswith("result.json")]) == 4
    assert all(files(tmp_path / f"killed{number}") == whole for number in range(told["rounds"]))


def test_two_drivers_on_one_folder_end_with_what_one_makes(tmp_path: Path, model_folder: Path) -> None:
    told = many_drivers("pair", tmp_path, model_folder, 3)

    whole = files(tmp_path / "whole")
    assert all(files(tmp_path / f"killed{number}") == whole for number in range(3))
    assert all(32 <= count <= 64 for count in told["computed"])


def test_what_another_driver_stored_meanwhile_is_not_computed_again(
    tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    other = Counted()

    class Slow(Counted):
        def __call__(self, unit: str) -> None:
            super().__call__(unit)
            open_run(model_folder, small_task, tmp_path, other).get(TALLIED, count=3)

    slow = Slow()
    result = open_run(model_folder, small_task, tmp_path, slow).get(TALLIED, count=3)

    assert other.units == ["crosses-0", "crosses-1", "crosses-2"]
    assert slow.units == ["crosses-0"]
    assert [row["unit"] for row in result.rows] == other.units


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """While open, no file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["run", "unit", "grids"])
def test_a_file_that_cannot_be_written_is_told_and_the_same_command_goes_on(
    kind: str, tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    root, whole = tmp_path / "runs", tmp_path / "whole"
    expected = answers(open_run(model_folder, small_task, whole))
    size = (only(whole) / KINDS[kind]).stat().st_size

    with files_of_at_most(size - 1), pytest.raises(StoreError, match="(?i)cannot be written.*file too large.*is kept"):
        open_run(model_folder, small_task, root).get(TALLIED, count=3)

    assert [path.name for path in root.rglob("*.tmp")] == [path.name for path in root.rglob("result.json")] == []
    assert answers(open_run(model_folder, small_task, root)) == expected
    assert files(root) == files(whole)


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of 64 KiB."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a small disk; a limit on files stands for it in the test above")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_once_there_is_room_the_run_goes_on(model_folder: Path, small_task: Task) -> None:
    with small_disk() as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 44 * 1024)
        with pytest.raises(StoreError, match="No space left on device.*is kept"):
            open_run(model_folder, small_task, disk / "runs").get(TALLIED, count=8)
        stored = len(list(disk.rglob("*.safetensors")))
        ballast.unlink()
        vlm = Counted()

        result = open_run(model_folder, small_task, disk / "runs", vlm).get(TALLIED, count=8)

        assert 0 < stored < 8
        assert len(vlm.units) == 8 - stored
        assert len(result.rows) == 8


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder that may be read and not written; root writes everywhere, so it is put off while open."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)
            Path(folder).chmod(0o755)


def test_a_folder_that_may_not_be_written_is_told_before_anything_is_computed(small_task: Task) -> None:
    vlm = Counted()
    with nobody() as folder, pytest.raises(StoreError, match="Runs cannot be stored in .*: Permission denied"):
        Run("random:qwen2_vl", small_task, store=Store(folder / "runs"), load=lambda source: vlm).get(TALLIED, count=3)  # type: ignore[arg-type, return-value]

    assert vlm.units == []


def flipped(text: bytes, bit: int) -> bytes:
    """The bytes with one bit turned."""
    changed = bytearray(text)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "bit flipped": lambda text, place: flipped(text, place * 8 + place % 8),
    "truncated": lambda text, place: text[:place],
    "zeroed from there": lambda text, place: text[:place] + bytes(len(text) - place),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_told_or_computed_again_and_no_number_is_wrong(
    kind: str, damage: str, tmp_path: Path, model_folder: Path, small_task: Task
) -> None:
    expected = answers(open_run(model_folder, small_task, tmp_path))
    folder = only(tmp_path)
    good = files(folder)
    places = range(0, len(good[KINDS[kind]]), max(1, len(good[KINDS[kind]]) // 12))
    told = 0
    for place in places:
        for name, text in good.items():
            (folder / name).write_bytes(text)
        (folder / KINDS[kind]).write_bytes(DAMAGES[damage](good[KINDS[kind]], place))
        if kind == "unit":  # which is read only while its run is not finished
            (folder / "result.json").unlink()
        vlm = Counted()
        try:
            found = answers(open_run(model_folder, small_task, tmp_path, vlm))
        except StoreError:
            told += 1
        else:
            assert found == expected
            assert (vlm.units == ["crosses-1"]) is (kind == "unit")

    assert told > len(places) // 2 if kind == "run" else told <= len(places) // 2


def test_damaged_grids_are_computed_again_from_the_units_and_said_so(
    tmp_path: Path, model_folder: Path, small_task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    expected = answers(open_run(model_folder, small_task, tmp_path))
    before = files(tmp_path)
    grids = only(tmp_path) / "grids.safetensors"
    grids.write_bytes(flipped(grids.read_bytes(), 8 * grids.stat().st_size - 1))
    vlm = Counted()

    assert answers(open_run(model_folder, small_task, tmp_path, vlm)) == expected

    assert "holds other values than were written" in caplog.text
    assert "holds other values" in (only(tmp_path) / "run.log").read_text()
    assert vlm.units == []
    assert files(tmp_path) == before


def test_files_of_before_there_were_digests_are_read(tmp_path: Path, model_folder: Path, small_task: Task) -> None:
    from safetensors.torch import load_file, save_file

    root = tmp_path / "runs"
    expected = answers(open_run(model_folder, small_task, root))
    for path in root.rglob("*.safetensors"):
        save_file(load_file(path), path)
    result = only(root) / "result.json"
    plain = json.loads(result.read_text())
    del plain["checksum"]
    result.write_text(json.dumps(plain))
    vlm = Counted()

    assert answers(open_run(model_folder, small_task, root, vlm)) == expected
    assert vlm.units == []


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
