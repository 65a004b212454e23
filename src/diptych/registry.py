"""Find a task, model, method or experiment by the name of its file."""

import hashlib
import importlib
import importlib.util
import inspect
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

TEXT = "__text_digest__"
"""The name under which a module from a user's file keeps the digest of the text that was run."""


def names(kind: str) -> list[str]:
    """Names of all shipped objects of one kind, sorted; modules that start with `_` are private."""
    package = importlib.import_module(PACKAGES[kind])
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def find(kind: str, name: str) -> Callable[..., Any]:
    """The function `name` of the module `name`, or the function named after the file in a path ending in `.py`.

    Raises `InputError` if there is none, or the file cannot be run.
    """
    module, function = _from_file(name) if name.endswith(".py") else _from_package(kind, name)
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{name} defines no function named '{function}'. A {kind} is a function named after its file.")
    return found


def user_file(name: str) -> Path:
    """The path of a user's file; raises `InputError` if there is none."""
    path = Path(name)
    if not path.is_file():
        raise InputError(f"No file '{name}'. Expected a Python file that defines a function named '{path.stem}'.")
    return path


def module_of(function: Callable[..., Any]) -> ModuleType:
    """The module that defines `function` (for its `VERSION`)."""
    return sys.modules[function.__module__]


def from_files() -> list[ModuleType]:
    """The modules that were made from users' files."""
    return [module for module in list(sys.modules.values()) if TEXT in vars(module)]


def file_digest(path: str | Path) -> str:
    """12 hex digits of a file's bytes."""
    return _digest(Path(path).read_bytes())


def source_digest(function: Callable[..., Any]) -> str:
    """12 hex digits of the file that defines `function`; of a user's file, the text that was run, also if edited since.

    Raises `InputError` for a function that is in no file.
    """
    plain = inspect.unwrap(function)
    try:
        return plain.__globals__.get(TEXT) or file_digest(inspect.getsourcefile(plain) or "")
    except OSError as error:
        raise InputError(
            f"Function '{function.__name__}' is in no file, so a change of it would go unnoticed. "
            f"Write it into a .py file and import it from there."
        ) from error


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:12]


def _from_package(kind: str, name: str) -> tuple[ModuleType, str]:
    if name not in names(kind):
        known = ", ".join(names(kind))
        raise InputError(
            f"No {kind} named '{name}'. Known: {known}. "
            f"To use your own, give the path of a .py file that defines a function of the same name."
        )
    return importlib.import_module(f"{PACKAGES[kind]}.{name}"), name


def _from_file(name: str) -> tuple[ModuleType, str]:
    path = user_file(name)
    # a name of its own: a user's `json.py` must not replace the module json, nor one `mine.py` another
    unique = f"{path.stem}_{_digest(str(path.resolve()).encode())}"
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None  # a path ending in .py always has one
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        text = path.read_bytes()
        setattr(module, TEXT, _digest(text))
        # not by the loader: it may run the bytecode of another text of the same length and second
        exec(compile(text, path, "exec", dont_inherit=True), vars(module))
    except Exception as error:
        raise InputError(
            f"{name} cannot be imported: {type(error).__name__}: {error}. Run it with python to see where."
        ) from error
    return module, path.stem
