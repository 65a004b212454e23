"""The notebook in `examples/` runs from top to bottom, in a kernel of its own."""

import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("example_notebook")  # the notebook is run once

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'diptych[dev]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'diptych[dev]'")

NOTEBOOK = Path(__file__).parent.parent / "examples" / "first_look.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Its cells of code after they ran, in an empty folder."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any, kind: str) -> str:
    return "".join(output.data.get(kind, "") for output in cell.outputs if "data" in output)


def test_a_result_shows_itself_with_its_figures(cells: list[Any]) -> None:
    card = shown(cells[1], "text/html")

    assert "counting is answered correctly" in card and card.count("<img src=") == 2


def test_the_notebook_shows_what_it_promises(cells: list[Any]) -> None:
    said = "".join(output.get("text", "") for cell in cells for output in cell.outputs)

    assert any(output.data.get("application/vnd.plotly.v1+json") for output in cells[2].outputs if "data" in output)
    assert "share of score" in shown(cells[3], "text/html")
    assert "of the head scores of counting lie in" in said and r"\begin{tabular}" in said
    assert ".pdf" in shown(cells[5], "text/plain") and shown(cells[6], "text/plain") == "True"


def test_the_notebook_is_kept_without_outputs(cells: list[Any]) -> None:
    kept = nbformat.read(NOTEBOOK, as_version=4)

    assert all(not cell.outputs for cell in kept.cells if cell.cell_type == "code")
    assert all(cell.outputs for cell in cells[1:])
