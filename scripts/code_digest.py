"""The digest of some functions and of all they use: it changes when a number may change, not when words do."""

import ast
import hashlib
import importlib
import json
import sys
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path


def code_digest(roots: Iterable[tuple[str, str]], followed: Collection[str], more: str = "") -> str:
    """12 hex digits of the definitions of `roots` (module, name), without comments and docstrings.

    Names that they use are followed in their own module, and into the modules of diptych that are `followed`.
    """
    known: dict[str, str] = {}
    for module, name in roots:
        _collect(module, name, followed, known)
    return hashlib.sha256(json.dumps([more, known], sort_keys=True).encode()).hexdigest()[:12]


def _collect(module: str, name: str, followed: Collection[str], known: dict[str, str]) -> None:
    definitions, imports = _names(module)
    if name in imports and imports[name][0].removeprefix("diptych.") in followed:
        _collect(*imports[name], followed, known)
    key = f"{_path(module).name}:{name}"  # a script that is run has another name than one that is imported
    if name in definitions and key not in known:
        known[key] = ast.unparse(definitions[name])
        for used in {node.id for node in ast.walk(definitions[name]) if isinstance(node, ast.Name)}:
            _collect(module, used, followed, known)
        for used in {node.attr for node in ast.walk(definitions[name]) if isinstance(node, ast.Attribute)}:
            for origin, original in list(imports.values()):  # `module.function`
                if f"{origin}.{original}".removeprefix("diptych.") in followed:
                    _collect(f"{origin}.{original}", used, followed, known)


@cache
def _names(module: str) -> tuple[dict[str, ast.stmt], dict[str, tuple[str, str]]]:
    """What a module defines, and what it imports from where."""
    tree = ast.parse(_path(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [one for one in body if not _is_words(one)]  # type: ignore[attr-defined]
    definitions: dict[str, ast.stmt] = {}
    imports: dict[str, tuple[str, str]] = {}
    for one in tree.body:
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            definitions[one.name] = one
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            definitions |= {n.id: one for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        elif isinstance(one, ast.ImportFrom):
            imports |= {alias.asname or alias.name: (str(one.module), alias.name) for alias in one.names}
    return definitions, imports


def _path(module: str) -> Path:
    loaded = sys.modules.get(module) or importlib.import_module(module)
    return Path(str(loaded.__file__))


def _is_words(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
