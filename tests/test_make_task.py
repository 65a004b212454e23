"""Tasks are made by name with checked parameters; a user's file that fails or returns something else is explained."""

import re
from pathlib import Path

import pytest

import diptych
from diptych.errors import InputError
from diptych.tasks import make_task
from diptych.tasks.counting import counting

GOOD = """
from diptych import Item, Task

def mine(*, count: int = 3, path: str = "x") -> Task:
    items = tuple(Item(f"i{n}", "x " * n, None, "How many x?", str(n)) for n in range(1, count + 1))
    return Task(path, 1, items, tuple(str(n) for n in range(1, count + 1)))
"""


def write(folder: Path, text: str) -> str:
    (folder / "mine.py").write_text(text)
    return str(folder / "mine.py")


def test_a_shipped_task_takes_its_parameters_also_as_text() -> None:
    assert make_task("counting", per_split="6", seed="1").digest() == counting(per_split=6, seed=1).digest()
    assert diptych.make_task is make_task


def test_a_user_s_task_takes_its_parameters(tmp_path: Path) -> None:
    task = make_task(write(tmp_path, GOOD), count="5", path="y")

    assert (task.name, len(task.items)) == ("y", 5)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("counting", {"per_spilt": 3}, "Task 'counting' has no parameter 'per_spilt'. Known: per_split, seed"),
        ("counting", {"per_split": "many"}, "Parameter per_split='many' of task 'counting' cannot be used"),
        ("folder", {}, "Task 'folder' needs a value for 'path'. Give path=..."),
        ("foldr", {}, "No task named 'foldr'. Known: arithmetic, counting"),
    ],
)
def test_wrong_parameters_are_refused_with_the_known_ones(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make_task(name, **parameters)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def mine(): return 3", "is a int; its function must return a `diptych.items.Task`"),
        ("def mine():\n    return 1 / 0", "fails: ZeroDivisionError: division by zero (line 2 of "),
        ("def mine(*parts): ...", "takes *parts, which cannot be checked. Name each parameter"),
        ("def mine(x: 'Nowhere'): ...", "Expected `def mine(*, ...) -> Task`, with the names in it imported"),
        ("def mine(x): ...", "needs a value for 'x'"),
    ],
)
def test_a_user_s_file_that_makes_no_task_is_explained(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        make_task(write(tmp_path, text))

    assert re.match(r"(The signature of t|T)ask '.*mine.py' ", str(raised.value))
    assert message in str(raised.value)


def test_what_the_package_itself_refuses_keeps_its_words(tmp_path: Path) -> None:
    text = "from diptych import Task\ndef mine(): return Task('t', 1, (), ())"

    with pytest.raises(InputError, match="^Task 't' has no items"):
        make_task(write(tmp_path, text))
