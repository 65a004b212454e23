"""Damaged files: whatever is cut or turned in them is told or computed again, and never a wrong number."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from counted import files
from diptych.errors import StoreError
from diptych.items import Task
from tallies import KINDS, Tally, answers, only, open_run


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
        vlm = Tally()
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
    vlm = Tally()

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
    vlm = Tally()

    assert answers(open_run(model_folder, small_task, root, vlm)) == expected
    assert vlm.units == []
