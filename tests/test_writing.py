"""Places that cannot be written, wherever something is written for others: a message, and nothing is left."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from diptych.deployed import BackPatch
from diptych.errors import InputError
from diptych.exchange import write_table
from diptych.files import write_text, writing


@pytest.mark.parametrize(
    "write",
    [
        lambda path: BackPatch(src=2, dst=1, architecture="a", layers=3).save_pretrained(path),
        lambda path: write_table(pa.table({"a": [1]}), path / "nodes.csv"),
    ],
    ids=["back-patch", "table"],
)
def test_a_file_where_a_folder_is_needed_is_told(write: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")

    with pytest.raises(InputError, match=r"mine.* cannot be written: (File exists|Not a directory)"):
        write(tmp_path / "mine")

    assert (tmp_path / "mine").read_text() == "mine"


def test_a_folder_where_a_file_is_to_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").mkdir()

    with pytest.raises(InputError, match="Choose a place where you may write"):
        write_table(pa.table({"a": [1]}), tmp_path / "nodes.csv")

    assert [path.name for path in tmp_path.iterdir()] == ["nodes.csv"]


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^mine$"), writing(tmp_path):
        raise ValueError("mine")

    with writing(tmp_path):
        write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").read_text() == "a"
