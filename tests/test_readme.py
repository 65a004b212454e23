"""What README says in numbers and of other packages is what is checked elsewhere; what the guide names, it has pages for."""

import re
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest

from diptych.paper_compat import PaperCompat
from diptych.registry import names
from documents import PAGES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
INDEX = ROOT / "docs" / "guide" / "README.md"
SECTION = re.compile(r"§(\d+)")


def table(text: str) -> dict[str, str]:
    """First cell of each row of the tables of a page → the row."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return {row.split("|")[1].strip(" `"): row for row in rows}


def comparison() -> Any:
    """The script that looks into the wheels of other packages."""
    spec = spec_from_file_location("check_comparison", ROOT / "scripts" / "check_comparison.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_claim_on_another_package_is_in_its_row_with_the_version_looked_at() -> None:
    script = comparison()
    rows = {name.partition(" ")[0]: row for name, row in table(README).items()}

    for claim in script.CLAIMS:
        assert claim.said in rows[claim.package], claim
    for package, wheel in script.WHEELS.items():
        assert f"| {package} {wheel.partition('==')[2]} |" in rows[package]


@pytest.mark.parametrize(
    ("text", "absent", "holds"),
    [
        ("class A: ...", False, True),
        ("class B: ...", False, False),
        ("class A: ...", True, False),
        ("class B: ...", True, True),
    ],
)
def test_a_claim_is_a_pattern_that_is_there_or_is_not(text: str, absent: bool, holds: bool) -> None:
    claim = comparison().Claim("p", "said", r"class A\b", "/here", absent)

    assert claim.holds({"p/here.py": text, "p/there.py": "class A: ..."}) is holds


def test_the_numbers_of_architectures_and_departures_are_those_of_their_pages() -> None:
    models = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (passing, every), (version,) = (
        re.findall(r"(\d+) of the (\d+) architectures", models)[0],
        re.findall(r"transformers\n?\s*(\d+\.\d+)", models)[:1],
    )

    assert f"{passing} of the {every} architectures of transformers {version} pass their proof" in README
    assert "[eight departures](docs/paper-compat.md)" in README and len(fields(PaperCompat)) == 8


@pytest.mark.parametrize("name", sorted(names("experiment")))
def test_each_experiment_is_in_the_index_of_the_guide_and_on_the_page_it_names(name: str) -> None:
    (link,) = re.findall(r"\]\((\S+)\)", table(INDEX.read_text(encoding="utf-8"))[name])

    page = (INDEX.parent / link).read_text(encoding="utf-8")
    assert re.search(rf"^#+ .*\b{name}\b|run {name} |`{name}`", page, re.MULTILINE)


def test_every_page_of_the_guide_is_reached_from_its_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", INDEX.read_text(encoding="utf-8")))

    assert {page.name for page in PAGES if page.parent == INDEX.parent} <= linked | {INDEX.name}


def test_each_section_of_the_methods_that_is_referred_to_is_there() -> None:
    there = set(re.findall(r"^## (\d+)\.", (ROOT / "docs" / "methods.md").read_text(encoding="utf-8"), re.MULTILINE))
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    told = [m for path in sources for m in re.findall(r"methods(?:\]\(\S+\))? (§[§\d, to]+)", path.read_text("utf-8"))]
    asked = {number for text in told for number in SECTION.findall(text)}

    assert len(asked) > 10 and asked <= there
