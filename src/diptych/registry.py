"""Find a task, model, method or experiment by the name of its file."""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from diptych.errors import InputError

PACKAGES = {
    "task": "diptych.tasks",
    "attribution": "diptych.attribution",
    "experiment": "diptych.experiments",
}


def names(kind: str) -> list[str]:
    """Names of all shipped objects of one kind, sorted; modules that start with `_` are private."""
    package = importlib.import_module(PACKAGES[kind])
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def find(kind: str, name: str) -> Callable[..., Any]:
    """The function `name` of the module `name`, or the function named after the file in a path ending in `.py`."""
    module, function = _from_file(name) if name.endswith(".py") else _from_package(kind, name)
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{name} defines no function named '{function}'. A {kind} is a function named after its file.")
    return found


def module_of(function: Callable[..., Any]) -> ModuleType:
    """The module that defines `function` (for its `VERSION`)."""
    return sys.modules[function.__module__]


def _from_package(kind: str, name: str) -> tuple[ModuleType, str]:
    if name not in names(kind):
        known = ", ".join(names(kind))
        raise InputError(
            f"No {kind} named '{name}'. Known: {known}. "
            f"To use your own, give the path of a .py file that defines a function of the same name."
        )
    return importlib.import_module(f"{PACKAGES[kind]}.{name}"), name


def _from_file(name: str) -> tuple[ModuleType, str]:
    path = Path(name)
    if not path.is_file():
        raise InputError(f"No file '{name}'. Expected a Python file that defines a function named '{path.stem}'.")
    # a name of its own: a user's `json.py` must not replace the module json, nor one `mine.py` another
    unique = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None and spec.loader is not None  # a path ending in .py always has a source loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(
            f"{name} cannot be imported: {type(error).__name__}: {error}. Run it with python to see where."
        ) from error
    return module, path.stem
