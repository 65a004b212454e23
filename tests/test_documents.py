"""What stands in README, docs and examples: Python runs, commands and their parameters exist, links lead somewhere."""

import ast
import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import diptych
from diptych.cli import app
from diptych.cli_values import named_values
from diptych.run.experiment import Experiment
from diptych.tasks import task_parameters
from documents import EXAMPLES, PAGES, ROOT, blocks, commands, links

FEW = str(Path(__file__).parent / "lab" / "few_counting.py")
DOTTED = re.compile(r"diptych(\.\w+)+")
LANGUAGES = {"", "python", "python no-run"}
OWN_TESTS = {"positions.md", "repair.md"}  # run by test_guide_positions and test_guide_repair, which look at more
RUN = [page for page in PAGES if any(b.language == "python" for b in blocks(page)) and page.name not in OWN_TESTS]
UNRUN = [page for page in PAGES if any(block.language == "python no-run" for block in blocks(page))]
CASES = [(page, words) for page in (*PAGES, *EXAMPLES) for words in commands(page)]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def granted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a page may take for granted: a run, and the scores of both panels."""
    run = diptych.Run("organism/qwen2vl", diptych.make_task(FEW), store=diptych.Store(tmp_path_factory.mktemp("runs")))
    answers = diptych.answer_tokens(run.vlm, run.task)
    found: dict[str, Any] = {"run": run}
    for modality in ("text", "image"):
        contrasts = run.task.contrasts(modality, "discover")[:2]
        batch = diptych.encode(run.vlm, contrasts, answers).batches[0]
        found[f"{modality}_scores"] = diptych.ap(run.vlm, batch).scores
    return found


@pytest.mark.parametrize("page", RUN, ids=named)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, granted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = dict(granted) | {"__name__": page.stem}

    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, page.name, "exec"), names)


@pytest.mark.parametrize("page", UNRUN, ids=named)
def test_python_that_needs_a_download_uses_names_and_keywords_that_exist(page: Path) -> None:
    (text,) = (block.text for block in blocks(page) if block.language == "python no-run")

    used = check_names(text)

    assert used >= {"diptych.Run", "diptych.load"}


def check_names(text: str) -> set[str]:
    """The names of diptych that a text uses; raises for one that is not there, and for a keyword that nothing takes."""
    tree, used = ast.parse(text), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("diptych"):
            for alias in node.names:
                assert hasattr(importlib.import_module(node.module or ""), alias.name), alias.name
        if DOTTED.fullmatch(ast.unparse(node)):
            resolved(ast.unparse(node))
            used.add(ast.unparse(node))
        if isinstance(node, ast.Call) and DOTTED.fullmatch(ast.unparse(node.func)):
            takes = inspect.signature(resolved(ast.unparse(node.func))).parameters
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
            assert free or given <= set(takes), given - set(takes)
    return used


def resolved(name: str) -> Any:
    found: Any = diptych
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("text", ["diptych.laod('x')", "diptych.load('x', dtyp='float32')", "from diptych import Runn"])
def test_the_check_of_names_sees_what_is_wrong(text: str) -> None:
    with pytest.raises((AssertionError, AttributeError)):
        check_names(text)


@pytest.mark.parametrize(("page", "words"), CASES, ids=lambda case: case[0] if isinstance(case, list) else named(case))
def test_a_command_of_a_page_exists_with_all_that_is_given_to_it(
    page: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)

    {"diptych": check_command, "make": check_make, "pip": check_pip, "python": check_python}[words[0]](words[1:])


def check_command(words: list[str]) -> None:
    command: Any = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not (words and hasattr(command, "commands")) or words[0].startswith("-"), f"no command {words[0]}"
    given = command.make_context("diptych", list(words)).params if words else {}
    if known(given.get("experiment")) and "parameter" in given:
        Experiment.find(given["experiment"]).bind(named_values(given["parameter"]))
    tasks = given.get("task") if isinstance(given.get("task"), list) else [given.get("task") or given.get("name")]
    for task in filter(known, tasks):
        task_parameters(task).bind(named_values(given.get("setting") or []))


def known(name: Any) -> bool:
    """Whether a word is a name; words in capitals stand for the reader's own, and so do files that are not here."""
    return isinstance(name, str) and not name.isupper() and (not name.endswith(".py") or Path(name).exists())


def check_make(words: list[str]) -> None:
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(word for word in words if "=" not in word) in rules


def check_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r"diptych\[([^\]]+)\]", " ".join(words)):
        assert set(extra.split(",")) <= set(project["optional-dependencies"])


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]) or (ROOT / words[1].replace(".", "/")).exists()
    else:
        assert (ROOT / words[0]).is_file()


@pytest.mark.parametrize(
    "words",
    [
        ["run", "overlapp", "--model", "M", "--task", "counting"],
        ["run", "overlap", "--model", "M", "--task", "counting", "-p", "drawss=3"],
        ["run", "accuracy", "--model", "M", "--task", "counting", "--set", "per_splitt=3"],
        ["run", "accuracy", "--modell", "M", "--task", "counting"],
        ["runn"],
    ],
)
def test_the_check_of_commands_sees_what_is_wrong(words: list[str]) -> None:
    with pytest.raises(Exception, match="overlapp|drawss|per_splitt|modell|runn"):
        check_command(words)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    assert not [link for link in links(page) if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_block_is_python_that_runs_or_says_that_it_does_not(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


def test_every_page_of_the_guide_is_linked_from_another_page() -> None:
    linked = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    folder = ROOT / "docs" / "guide"

    assert set(folder.glob("*.md")) <= linked
