"""The public names: each can be imported, and importing diptych alone loads no model library."""

import pkgutil
import subprocess
import sys

import pytest

import diptych


@pytest.mark.parametrize("name", diptych.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(diptych, name).__doc__


def test_the_list_of_public_names_is_the_table_of_their_homes() -> None:
    assert sorted(diptych.__all__) == sorted(diptych._HOME)


def test_no_public_name_is_that_of_a_module_whose_import_would_take_its_place() -> None:
    assert not {module.name for module in pkgutil.iter_modules(diptych.__path__)} & set(diptych.__all__)


def test_importing_diptych_loads_neither_torch_nor_transformers() -> None:
    code = "import diptych, sys; assert diptych.__version__; print('torch' in sys.modules or 'transformers' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no public name 'discoverr'. Known: "):
        diptych.discoverr  # noqa: B018
