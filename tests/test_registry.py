"""Objects are found by the name of their file, shipped or a user's own; what is not found is explained."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from diptych.errors import InputError
from diptych.registry import PACKAGES, file_digest, find, module_of, names, source_digest


def write(folder: Path, name: str, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize("kind", PACKAGES)
def test_names_are_sorted_and_leave_out_private_modules(kind: str) -> None:
    found = names(kind)

    assert found
    assert found == sorted(found)
    assert not [name for name in found if name.startswith("_")]


def test_a_shipped_task_is_the_function_named_after_its_module() -> None:
    from diptych.tasks import counting

    assert find("task", "counting") is counting.counting
    assert module_of(find("task", "counting")) is counting


@pytest.mark.parametrize("name", ["count", "_draw", "os", ""])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        InputError, match=rf"No task named '{name}'. Known: arithmetic, counting.*give the path of a .py file"
    ):
        find("task", name)


def test_a_path_gives_the_function_named_after_the_file(tmp_path: Path) -> None:
    mine = write(tmp_path, "mine.py", "VERSION = 3\ndef other(): ...\ndef mine(): return 'mine'")

    found = find("task", mine)

    assert found() == "mine"
    assert vars(module_of(found))["VERSION"] == 3


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(
        InputError, match="No file 'no/such/mine.py'. Expected a Python file that defines a function named 'mine'"
    ):
        find("task", "no/such/mine.py")


@pytest.mark.parametrize("text", ["def other(): ...", "mine = 3"])
def test_a_file_without_the_function_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"mine.py defines no function named 'mine'. A task is a function named after its file"
    ):
        find("task", write(tmp_path, "mine.py", text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def mine(:", "SyntaxError"),
        ("import nowhere", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError: division"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_the_reason(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"mine.py cannot be imported: {reason}.*Run it with python to see where"):
        find("task", write(tmp_path, "mine.py", text))


def test_two_files_of_one_name_keep_their_own_modules(tmp_path: Path) -> None:
    one, two = (find("task", write(tmp_path / f"v{n}", "mine.py", f"VERSION = {n}\ndef mine(): ...")) for n in (1, 2))

    assert [vars(module_of(found))["VERSION"] for found in (one, two)] == [1, 2]


def test_a_user_s_file_does_not_replace_a_module_of_the_same_name(tmp_path: Path) -> None:
    find("task", write(tmp_path, "colorsys.py", "def colorsys(): ..."))

    assert hasattr(importlib.import_module("colorsys"), "rgb_to_hsv")


WITH_DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Point:
    x: int

def mine():
    return Point(3)
"""


def test_a_user_s_file_may_define_dataclasses(tmp_path: Path) -> None:
    found = find("task", write(tmp_path, "mine.py", WITH_DATACLASS))

    assert found().x == 3


def test_an_edited_file_is_read_anew_also_within_the_same_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = []
    for number in (1, 2):
        mine = write(tmp_path, "mine.py", f"def mine(): return {number}")
        os.utime(mine, (1, 1))
        found.append(find("task", mine)())

    assert found == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_the_digest_of_a_function_is_that_of_the_text_that_was_run(tmp_path: Path) -> None:
    mine = write(tmp_path, "mine.py", "def mine(): return 1")
    copy = write(tmp_path / "elsewhere", "mine.py", "def mine(): return 1")
    before = find("task", mine)
    write(tmp_path, "mine.py", "def mine(): return 2")

    assert source_digest(before) == source_digest(find("task", copy)) == file_digest(copy)
    assert source_digest(find("task", mine)) == file_digest(mine) != source_digest(before)


def test_the_digest_of_a_shipped_function_is_that_of_its_file() -> None:
    from diptych.tasks import _draw

    assert source_digest(_draw.draw_shapes) == file_digest(_draw.__file__)


def test_a_function_that_is_in_no_file_has_no_digest() -> None:
    space: dict[str, object] = {}
    exec("def mine(): ...", space)

    with pytest.raises(InputError, match=r"Function 'mine' is in no file, so .* unnoticed. Write it into a .py file"):
        source_digest(space["mine"])  # type: ignore[arg-type]
