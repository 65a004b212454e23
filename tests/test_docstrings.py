"""Every public name says what it is: shapes of the arrays it takes and gives, and the errors that it raises itself."""

import ast
import inspect
import re
import runpy
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import diptych
from diptych import errors

ROOT = Path(__file__).parent.parent
ERRORS = {name for name, found in vars(errors).items() if isinstance(found, type)}
SHAPED = re.compile(r"(Float|Int|Bool|Shaped)\w*\[")
SHAPE = re.compile(r"\[[a-z_.0-9]+(, [a-z_.0-9]+)*\]")


def public() -> Iterator[tuple[str, Any]]:
    """Public names, and the public methods and properties of public classes."""
    for name in diptych.__all__:
        found = getattr(diptych, name)
        yield name, found
        members = vars(found).items() if inspect.isclass(found) else ()
        yield from ((f"{name}.{key}", plain(value)) for key, value in members if not key.startswith("_"))


def plain(member: Any) -> Any:
    """The function behind a class method, a static method or a property."""
    for inner in ("__func__", "fget", "func"):
        member = getattr(member, inner, None) or member
    return member


def raised(function: Callable[..., Any]) -> set[str]:
    """Errors of diptych that the function raises in its own body."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise))
    return {ast.unparse(call.func) for call in calls if isinstance(call, ast.Call)} & ERRORS


def unshaped(function: Callable[..., Any]) -> list[str]:
    """Parameters (and `return`) that are tensors or arrays of a shape that neither annotation nor description tells."""
    signature = inspect.signature(function)
    told = {name: str(parameter.annotation) for name, parameter in signature.parameters.items()}
    told["return"] = str(signature.return_annotation)
    arrays = {name for name, text in told.items() if re.fullmatch(r"<class '(torch.Tensor|numpy.ndarray)'>", text)}
    arrays |= {name for name, text in told.items() if re.search(r"ArrayLike|ndarray\[", text)}
    return [] if SHAPE.search(inspect.getdoc(function) or "") else sorted(arrays)


NAMES = dict(public())
FUNCTIONS = {name: found for name, found in NAMES.items() if inspect.isfunction(found)}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_described(name: str) -> None:
    assert not callable(NAMES[name]) or (inspect.getdoc(NAMES[name]) or "").strip()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_tells_the_shapes_of_its_arrays(name: str) -> None:
    assert not unshaped(FUNCTIONS[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_names_the_errors_that_it_raises(name: str) -> None:
    assert not [error for error in raised(FUNCTIONS[name]) if error not in (inspect.getdoc(FUNCTIONS[name]) or "")]


def test_the_rules_see_what_is_missing() -> None:
    def of_any_shape(values: Any) -> None:
        """Says nothing."""
        raise InputError("no")

    from torch import Tensor

    of_any_shape.__annotations__["values"] = Tensor

    assert unshaped(of_any_shape) == ["values"]
    assert raised(of_any_shape) == {"InputError"}
    assert len(FUNCTIONS) > 100


def test_the_pages_of_the_public_names_can_be_made(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="pdoc is not installed: pip install 'diptych[docs]'")

    with warnings.catch_warnings(action="ignore"):  # of pdoc, about annotations that only type checkers see
        runpy.run_path(str(ROOT / "scripts" / "build_docs.py"))["main"](str(tmp_path))

    page = (tmp_path / "diptych.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in diptych.__all__)
    assert (tmp_path / "diptych" / "statistics.html").is_file()
    numbers = (tmp_path / "benchmarks.html").read_text(encoding="utf-8")
    assert "make bench" in numbers and "data:image/png" in numbers
    assert 'href="benchmarks.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")
