"""Who may import whom: each module's level, and what it may import (design §4)."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "diptych"

BASE = {
    "errors",
    "files",
    "parameters",
    "pictures",
    "raster",
    "registry",
    "retries",
    "splits",
}
VALUES = {
    "activations",
    "alignment",
    "exchange",
    "figures",
    "gaps",
    "grid",
    "items",
    "layout",
    "locate",
    "matching",
    "means",
    "metrics",
    "probe",
    "ranking",
    "result",
    "sharing",
    "spans",
    "statistics",
    "there",
    "turns",
}
METHODS = {
    "attribution",
    "backpatch",
    "compare",
    "contributions",
    "crosspatch",
    "cuts",
    "delayed",
    "deployed",
    "depth",
    "faithfulness",
    "first_order",
    "footprint",
    "freezing",
    "gap_share",
    "interventions",
    "lens",
    "paper_compat",
    "planted",
    "racing",
    "similarity",
    "swap",
    "written",
}
ONLY_VALUES = {"compare", "depth", "swap"}  # methods that compare circuits without a model

LOWER = {
    "errors": set(),
    "files": {"errors"},
    "registry": {"errors"},
    "retries": set(),
    "parameters": {"errors", "registry"},
    "raster": {"errors"},
    "splits": {"errors"},
    "pictures": {"errors", "registry", "raster"},
    **dict.fromkeys(VALUES, BASE | VALUES),
    "tasks": BASE | {"items"},
    "models": BASE | VALUES | {"batch", "tasks"},
    "batch": BASE | VALUES | {"models"},
    **dict.fromkeys(METHODS, BASE | VALUES | {"models", "batch"} | METHODS),
    **dict.fromkeys(ONLY_VALUES, BASE | VALUES | ONLY_VALUES),
    "run": BASE | VALUES | {"tasks"},
    "experiments": BASE | VALUES | {"tasks", "models", "batch", "run"} | METHODS,
    "report": {"errors", "figures", "files", "result"},
    "contact_sheet": BASE | {"items"},
}
TOP = {
    "cli",
    "cli_check",
    "cli_executor",
    "cli_export",
    "cli_options",
    "cli_progress",
    "cli_repair",
    "cli_runs",
    "cli_study",
    "cli_tasks",
    "cli_values",
    "__main__",
    "__init__",
}
"""May import everything."""

LATE = {("run", "models"), ("result", "report")}
"""Imports allowed inside functions and for type checkers only: a stored result is read without a model, and drawn by the
report when it is looked at."""

WITHOUT_TORCH = (
    BASE | {"items", "matching", "spans", "result", "statistics", "tasks", "run", "report", "contact_sheet"} | TOP
)
"""Import torch late or never: help, tasks and reports are quick, and need no model."""


@dataclass(frozen=True)
class Import:
    file: str
    module: str
    late: bool

    @property
    def owner(self) -> str:
        return Path(self.file).parts[0].removesuffix(".py")

    @property
    def target(self) -> str | None:
        """The part of diptych that is imported, if it is of diptych."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "diptych" and len(parts) > 1 else None


def imports_of(path: Path) -> Iterator[Import]:
    file = str(path.relative_to(SOURCE))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    early = set(_at_import(tree.body))
    for node in ast.walk(tree):
        late = node not in early
        if isinstance(node, ast.Import):
            yield from (Import(file, alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; write the full name"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "diptych" else [module]
            yield from (Import(file, name, late) for name in names)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported, except what is for type checkers only."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _at_import(getattr(node, part, []))


FILES = sorted(SOURCE.rglob("*.py"))
IMPORTS = [found for path in FILES for found in imports_of(path)]


def test_every_module_has_a_level() -> None:
    modules = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES}

    assert modules <= {*LOWER, *TOP}, "add the new module to the table of levels"


@pytest.mark.parametrize("owner", sorted(LOWER))
def test_a_module_imports_only_what_is_below_it(owner: str) -> None:
    allowed = LOWER[owner] | {owner}
    own = [found for found in IMPORTS if found.owner == owner and found.target]

    wrong = [
        found for found in own if found.target not in allowed and not (found.late and (owner, found.target) in LATE)
    ]

    assert not wrong


@pytest.mark.parametrize("owner", sorted(WITHOUT_TORCH))
def test_a_module_that_is_to_be_quick_imports_no_torch_at_its_top(owner: str) -> None:
    heavy = {"torch", "transformers", "safetensors", "accelerate"}
    own = [found for found in IMPORTS if found.owner == owner]

    assert not [found for found in own if not found.late and found.module.split(".")[0] in heavy]


def test_the_report_never_imports_torch() -> None:
    assert not [found for found in IMPORTS if found.owner == "report" and found.module.split(".")[0] == "torch"]


def test_ray_is_imported_only_where_runs_are_distributed() -> None:
    assert {found.file for found in IMPORTS if found.module.split(".")[0] == "ray"} <= {"run/ray.py"}


def test_the_walk_sees_imports_of_each_sort() -> None:
    text = "import a\nif TYPE_CHECKING:\n    import b\nif x:\n    import c\ndef f():\n    import d\n"
    early = {node for node in _at_import(ast.parse(text).body) if isinstance(node, ast.Import)}

    assert {alias.name for node in early for alias in node.names} == {"a", "c"}
