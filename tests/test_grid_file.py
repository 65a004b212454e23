"""A grid's file is read back exactly, or refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diptych.errors import StoreError
from diptych.grid import KINDS, Grid
from laws import IMAGE, TEXT, circuit, scores


@pytest.mark.parametrize("grid", [scores(TEXT), circuit(IMAGE)], ids=["scores", "circuit"])
def test_a_saved_grid_is_read_back_as_it_was(grid: Grid, tmp_path: Path) -> None:
    grid.save(tmp_path / "grid.safetensors")

    assert grid.neurons.any()
    assert Grid.load(tmp_path / "grid.safetensors").equal(grid)
    assert Grid.load(tmp_path / "grid.safetensors").heads.dtype == grid.heads.dtype


def test_a_saved_grid_can_be_read_by_whom_its_folder_is_shared_with(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()

    scores(TEXT).save(tmp_path / "grid.safetensors")

    assert (tmp_path / "grid.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


DAMAGE = {
    "no metadata": (None, {}),
    "no layout": ({"model": "m"}, {}),
    "a layout that is no JSON": ({"model": "m", "layout": "[["}, {}),
    "a layout that is no partition": ({"model": "m", "layout": '[["data", 1, 2]]'}, {}),
    "spans of two parts": ({"model": "m", "layout": '[["data", 1]]'}, {}),
    "another layout": ({"model": "m", "layout": json.dumps(IMAGE.to_json())}, {}),
    "no neurons": ({"model": "m", "layout": json.dumps(TEXT.to_json())}, {"heads": torch.zeros(2, 8, 3)}),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_file_that_holds_no_grid_is_refused(what: str, tmp_path: Path) -> None:
    metadata, tensors = DAMAGE[what]
    save_file(tensors or dict(zip(KINDS, scores(TEXT), strict=True)), tmp_path / "grid.safetensors", metadata=metadata)

    with pytest.raises(
        StoreError, match="grid.safetensors' is not a saved grid: .*Expected a file written by `Grid.save`"
    ):
        Grid.load(tmp_path / "grid.safetensors")


@pytest.mark.parametrize("kept", [0, 7, 40, -1])
def test_a_file_cut_short_is_refused(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "grid.safetensors"
    scores(TEXT).save(path)
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(StoreError, match="is not a saved grid"):
        Grid.load(path)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a saved grid: No such file"):
        Grid.load(tmp_path / "grid.safetensors")
