"""Pages of words: what the glossary, the errors page and the page on the papers name is there, and what there is they name."""

import ast
import pydoc
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

import diptych
from diptych import errors
from diptych.paper_compat import PAPER_A, PaperCompat
from diptych.registry import names

DOCS = Path(__file__).parent.parent / "docs"
SOURCE = Path(diptych.__file__).parent


def rows(page: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    lines = [line for line in (DOCS / page).read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("term", "switch", "quantity", "area")]


@pytest.mark.parametrize("row", rows("glossary.md"), ids=lambda row: str(row[0]))
def test_each_word_of_the_glossary_lives_where_it_says(row: list[str]) -> None:
    _, meaning, place = row
    kind, name = re.fullmatch(r"(experiment )?`([\w.]+)`", place).groups()  # type: ignore[union-attr]

    assert meaning and (name in names("experiment") if kind else pydoc.locate(name) is not None), name


def test_no_word_is_in_the_glossary_twice() -> None:
    words = [row[0] for row in rows("glossary.md")]

    assert len(words) == len(set(words)) > 60


def test_each_departure_of_the_papers_code_has_a_row_with_both_values() -> None:
    told = {row[0].strip("`"): row for row in rows("paper-compat.md")}

    for field in fields(PaperCompat):
        own, theirs = (getattr(compat, field.name) for compat in (PaperCompat(), PAPER_A))
        row = told[field.name]
        assert len(row) == 4 and f"`{own!r}`".replace("'", '"') in row[1], field.name
        assert own == theirs or f"`{theirs!r}`".replace("'", '"') in row[2], field.name


def test_the_example_of_the_page_on_the_papers_gives_what_it_says() -> None:
    page = (DOCS / "paper-compat.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    printed: list[object] = []
    exec(example, {"print": printed.append})

    assert printed == [{"interpolate_images": False, "reduction": "l1"}, pytest.approx(0.1)]
    assert PaperCompat().normalise(0.5, 0.2) == pytest.approx(0.375)


@cache
def raised() -> list[tuple[str, str, str]]:
    """Class, area and message (placeholders as `{}`) of each error that the package raises."""
    known = {name for name in vars(errors) if isinstance(getattr(errors, name), type)}
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        area = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known and node.args:
                found.append((node.func.id, area, template(node.args[0])))
    return found


def template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return "{}"


def quoted() -> list[tuple[str, str]]:
    """Class and message of each example on the page."""
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return [(name, line) for name, text in sections for line in re.findall(r"^> (.+)$", text, re.MULTILINE)]


def test_each_class_of_errors_has_a_section_and_no_other() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    known = [n for n, value in vars(errors).items() if isinstance(value, type) and value is not errors.DiptychError]

    assert [name for name in re.findall(r"^## (\w+)$", page, re.MULTILINE) if name in vars(errors)] == known
    assert {name for name, _, _ in raised()} == set(known)
    assert {name for name, _ in quoted()} == set(known)


@pytest.mark.parametrize(("name", "message"), quoted())
def test_each_message_on_the_page_is_one_that_the_package_gives(name: str, message: str) -> None:
    patterns = [re.escape(text).replace(r"\{\}", ".+?") for kind, _, text in raised() if kind == name]

    assert any(re.fullmatch(pattern, message) for pattern in patterns if pattern != ".+?"), message


def test_each_part_of_the_package_that_raises_errors_is_on_the_page() -> None:
    told = {area.strip("` ") for row in rows("errors.md") for area in row[0].split(",")}

    assert {area for _, area, _ in raised()} <= told
