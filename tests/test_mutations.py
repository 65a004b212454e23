"""Laws broken on purpose still fit the code that they break; that they are caught is seen by `break_laws.py`."""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from break_laws import KNOWN, ROOT
from mutations import Mutation

TABLES = sorted(path.stem for path in Path(__file__).parent.glob("mutations*.py"))
LAYOUT, HERE = "src/diptych/layout.py", "tests/test_mutations.py::"


@cache
def text_of(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@cache
def defined_in(file: str) -> dict[str, bool]:
    """Names of the tests of a file, and whether they take arguments."""
    functions = [node for node in ast.parse(text_of(file)).body if isinstance(node, ast.FunctionDef)]
    return {function.name: bool(function.args.args) for function in functions}


def stale(mutation: Mutation) -> str:
    """Why a mutation no longer applies; nothing if it does."""
    file, old, new, test = mutation
    name, _, parameters = test.partition("::")[2].partition("[")
    known = defined_in(test.partition("::")[0])
    if name not in known or (parameters and not known[name]):
        return "no such test"
    if text_of(file).count(old) != 1:
        return "not found exactly once"
    return "changes nothing" if old == new else ""


def test_every_mutation_still_applies() -> None:
    assert [(why, *mutation) for mutation in KNOWN if (why := stale(mutation))] == []


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        ((LAYOUT, "class Layout:", "", HERE + "test_every_mutation_still_applies"), ""),
        ((LAYOUT, "class Layout:", "", HERE + "test_a_mutation_that_does_not_apply_is_told[x]"), ""),
        ((LAYOUT, "no such text", "", HERE + "test_every_mutation_still_applies"), "not found exactly once"),
        ((LAYOUT, "import", "", HERE + "test_every_mutation_still_applies"), "not found exactly once"),
        ((LAYOUT, "class Layout:", "", HERE + "test_of_another_name"), "no such test"),
        ((LAYOUT, "class Layout:", "", HERE + "test_every_mutation_still_applies[x]"), "no such test"),
        ((LAYOUT, "class Layout:", "class Layout:", HERE + "test_every_mutation_still_applies"), "changes nothing"),
    ],
)
def test_a_mutation_that_does_not_apply_is_told(mutation: Mutation, why: str) -> None:
    assert stale(mutation) == why


def test_no_mutation_is_a_syntax_error() -> None:
    for file, old, new, _ in KNOWN:
        if file.endswith(".py"):
            compile(text_of(file).replace(old, new), file, "exec", dont_inherit=True)


@pytest.mark.parametrize("table", TABLES)
def test_the_mutations_of_every_file_are_tried(table: str) -> None:
    [listed] = (value for name, value in vars(import_module(table)).items() if name.endswith("MUTATIONS"))

    assert len(listed) > 0 and set(listed) <= set(KNOWN)


def test_no_mutation_is_listed_twice() -> None:
    assert len(set(KNOWN)) == len(KNOWN)
