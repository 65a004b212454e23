"""Parameters of experiments: checked against their annotations, and plain in the identity."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diptych.errors import InputError
from diptych.run.experiment import Experiment

LAB = Path(__file__).parent / "lab"
BOUNDED = Experiment.find(str(LAB / "bounded.py"))


def plain(**given: Any) -> dict[str, Any]:
    """The parameters as they count in an identity."""
    return BOUNDED.bind(given)[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, "Parameter count=0 of experiment 'bounded' .* Input should be greater than or equal to 1."),
        ({"count": "0"}, "Parameter count='0' .* Input should be greater than or equal to 1."),
        ({"share": float("nan")}, "Parameter share=nan .* Input should be a finite number"),
        ({"share": "inf"}, "Parameter share='inf' .* Input should be a finite number"),
        ({"sizes": ()}, r"Parameter sizes=\(\) .* at least 1 item"),
        ({"sizes": "0.1,2"}, "Parameter sizes='0.1,2' .* Input should be less than or equal to 1 .got '2'."),
        ({"sizes": [0.1, "x"]}, "Parameter sizes=.* Input should be a valid number, .*got 'x'."),
        ({"sizes": 0.1}, "Parameter sizes=0.1 .* Input should be a valid tuple"),
        ({"anything": float("inf")}, "Parameter anything=inf .* Out of range float values"),
        ({"anything": {"a": [float("nan")]}}, "Parameter anything=.*nan.* Out of range float values"),
        ({"anything": object()}, "Parameter anything=<object .* Unable to serialize"),
    ],
)
def test_a_parameter_out_of_its_bounds_is_refused_with_what_was_expected(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BOUNDED.bind(given)


@pytest.mark.parametrize(
    ("given", "sizes"),
    [("0.1,1.0", [0.1, 1.0]), (" 0.1, 1", [0.1, 1.0]), ("0.5", [0.5]), ([0.5, 1], [0.5, 1.0]), (None, None)],
)
def test_several_numbers_may_be_written_with_commas(given: Any, sizes: Any) -> None:
    assert plain(sizes=given)["sizes"] == sizes


def test_commas_part_texts_only_where_several_are_expected() -> None:
    found = plain(names="a, b,c", anything="a, b")

    assert (found["names"], found["anything"]) == (["a", "b", "c"], "a, b")


GIVEN: dict[str, Callable[[Path], Any]] = {
    "a path": str,
    "a list of paths": lambda path: [1, str(path)],
    "an option": lambda path: {"method": str(path)},
}


@pytest.mark.parametrize("given", GIVEN)
def test_a_file_that_a_parameter_names_counts_by_its_text_wherever_it_lies(given: str, tmp_path: Path) -> None:
    here, there = tmp_path / "mine.py", tmp_path / "there" / "mine.py"
    there.parent.mkdir()
    found = []
    for path, text in ((here, "A = 1"), (there, "A = 1"), (here, "A = 2")):
        path.write_text(text)
        found.append(plain(anything=GIVEN[given](path)))

    assert found[0] == found[1] != found[2]


def test_a_text_that_names_no_file_of_code_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("A = 1")

    for text in (str(tmp_path / "mine.txt"), "no/such/mine.py"):
        assert plain(anything=text)["anything"] == text


def test_a_used_file_counts_by_its_text_wherever_it_lies(tmp_path: Path) -> None:
    found = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        for name in ("squares.py", "roots.py"):
            shutil.copy(LAB / name, folder)
        found.append(Experiment.find(str(folder / "roots.py")).versions())

    assert found[0] == found[1] == Experiment.find(str(LAB / "roots.py")).versions()


def write(folder: Path, signature: str, head: str = "") -> Experiment:
    (folder / "odd.py").write_text(f"{head}\nVERSION = 1\nclass Odd: ...\ndef odd({signature}): ...\n")
    return Experiment.find(str(folder / "odd.py"))


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("", r"The signature of experiment 'odd' cannot be read: .*Expected `def odd\(run: Run, \*, ...\) -> Finding`"),
        ("run, **options", r"Experiment 'odd' takes \*\*options, which cannot be checked. Name each parameter"),
        ("*all", r"Experiment 'odd' takes \*all"),
        ("run, *, size: Odd = 1", "Parameter size=1 of experiment 'odd' cannot be used: Unable to generate .*schema"),
        ("run, *, size: float", "Experiment 'odd' needs a value for 'size'. Give size=..."),
    ],
)
def test_a_signature_that_cannot_be_checked_is_refused(signature: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path, signature).bind({})


def test_annotations_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name 'Run' is not defined. .* imported at the top of its file"):
        write(tmp_path, "run: Run", head="from __future__ import annotations").bind({})
