"""Disks that are full or may not be written: a clear error, and the same command goes on once there is room."""

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from counted import LAB, files
from diptych.errors import StoreError
from diptych.items import Task
from diptych.run import Run, Store, Study, write_study
from tallies import KINDS, TALLIED, Tally, answers, only, open_run


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
        vlm = Tally()

        result = open_run(model_folder, small_task, disk / "runs", vlm).get(TALLIED, count=8)

        assert 0 < stored < 8
        assert len(vlm.units) == 8 - stored
        assert len(result.rows) == 8


@contextmanager
def nobody(mode: int = 0o555) -> Iterator[Path]:
    """A folder that may be read and not written; root writes everywhere, so it is put off while open."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(mode)
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
    vlm = Tally()
    with nobody() as folder, pytest.raises(StoreError, match="Runs cannot be stored in .*: Permission denied"):
        Run("random:qwen2_vl", small_task, store=Store(folder / "runs"), load=lambda source: vlm).get(TALLIED, count=3)  # type: ignore[arg-type, return-value]

    assert vlm.units == []


def test_a_study_that_cannot_be_written_beside_its_results_is_told(tmp_path: Path) -> None:
    wanted = Study(models="random:qwen2_vl", tasks="counting", experiments=str(LAB / "seeded.py"))
    (tmp_path / "notes.txt").write_text("mine")

    with nobody() as folder, pytest.raises(StoreError, match="cannot be written: Permission denied"):
        write_study(wanted, folder / "runs", [])
    with pytest.raises(StoreError, match="cannot be written: File exists"):
        write_study(wanted, tmp_path / "notes.txt", [])


def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one() -> None:
    with nobody(mode=0) as folder, pytest.raises(StoreError, match="cannot be read: Permission denied"):
        Store(folder).results()
