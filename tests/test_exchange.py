"""Scores and circuits in other programs' formats: what is read, what is written, what is lost."""

import json
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from typer.testing import CliRunner

from diptych.cli import app
from diptych.errors import InputError, MismatchError, StoreError
from diptych.exchange import LOST, mib_graph, reference_scores, table, write_table
from diptych.experiments._discovered import discovered
from diptych.grid import Circuit, Grid
from diptych.layout import Layout
from diptych.run import Run, Store
from diptych.run.folder import Folder
from diptych.sharing import read
from diptych.tasks.counting import counting
from laws import IMAGE, TEXT, circuit, scores
from tiny import tiny

LAYOUT = Layout.of((1, 3), 5)


def authors(**changes: Any) -> dict[str, Any]:
    """Scores of 2 layers, 5 positions, 3 heads of width 4 and 6 neurons, as the authors' code stores them."""
    chance = torch.Generator().manual_seed(0)
    named: dict[str, Any] = {"hook_embed": torch.randn(5, 12, generator=chance)}
    for layer in range(2):
        named[f"blocks.{layer}.attn.hook_z"] = torch.randn(5, 3, 4, generator=chance)
        named[f"blocks.{layer}.mlp.hook_post"] = torch.randn(5, 6, generator=chance)
    return named | changes


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path / "scores.pt")
    return path / "scores.pt"


def test_the_authors_scores_are_read_and_heads_are_reduced_over_their_width(tmp_path: Path) -> None:
    named = authors()

    found = reference_scores(saved(tmp_path, named), LAYOUT, "m")
    first_order = reference_scores(tmp_path / "scores.pt", LAYOUT, "m", "abs")

    assert found.heads[1, 2, 0] == pytest.approx(float(named["blocks.1.attn.hook_z"][2, 0].abs().sum()))
    assert first_order.heads[1, 2, 0] == pytest.approx(abs(float(named["blocks.1.attn.hook_z"][2, 0].sum())))
    assert found.neurons[1, 4, 5] == named["blocks.1.mlp.hook_post"][4, 5].abs()
    assert (found.heads.shape, found.neurons.shape) == ((2, 5, 3), (2, 5, 6))
    assert found.model == "m" and found.layout == LAYOUT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list; expected a dict of tensors"),
        ({"blocks.0.attn.hook_z": 3}, "holds a dict; expected a dict of tensors"),
        ({}, "its names: there are none"),
        ({"hook_cross_attn_states": torch.ones(2)}, "hook_cross_attn_states.*cross-attention states are no nodes"),
        ({"blocks.0.attn.hook_z": torch.ones(5, 3, 4)}, "blocks.0.mlp.hook_post"),
        (authors(**{"blocks.7.attn.hook_z": torch.ones(5, 3, 4)}), "blocks.2.attn.hook_z"),
        ({"blocks.0.attn.hook_z": torch.ones(5, 3), "blocks.0.mlp.hook_post": torch.ones(5, 6)}, "expected .pos, head"),
    ],
)
def test_any_other_file_of_tensors_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        reference_scores(saved(tmp_path, content), LAYOUT, "m")


class Harmful:
    """What a pickle could run."""

    def __reduce__(self) -> Any:
        return print, ("unpickled",)


def test_a_file_with_code_in_it_is_refused_unrun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StoreError, match="cannot be read as tensors"):
        reference_scores(saved(tmp_path, {"blocks.0.attn.hook_z": Harmful()}), LAYOUT, "m")
    assert capsys.readouterr().out == ""


def test_scores_of_prompts_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="is of prompts of 5 positions, the layout of 6"):
        reference_scores(saved(tmp_path, authors()), Layout.of((1, 3), 6), "m")


def small() -> tuple[Grid, Circuit]:
    """2 layers of 2 heads and 3 neurons; the circuit holds head 1 of layer 0 and a neuron of layer 1, at one position."""
    heads, neurons = torch.zeros(2, 5, 2), torch.zeros(2, 5, 3)
    heads[0, 2, 1], heads[0, 3, 1], neurons[1, 4, 2], neurons[1, 4, 0] = 5, 2, 4, 1
    found = Grid(heads, neurons, LAYOUT, "m")
    return found, Grid(heads > 4, neurons > 3, LAYOUT, "m")


def test_a_graph_for_mib_has_the_nodes_edges_and_scores_of_the_circuit() -> None:
    graph = mib_graph(*small(), d_model=8)

    assert graph["cfg"] == {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 8}
    assert [name for name, node in graph["nodes"].items() if node["in_graph"]] == ["input", "a0.h1", "m1", "logits"]
    assert (graph["nodes"]["a0.h1"]["score"], graph["nodes"]["m1"]["score"]) == (7, 5)  # sums over positions, neurons
    assert list(graph["nodes"]) == ["input", "a0.h0", "a0.h1", "m0", "a1.h0", "a1.h1", "m1", "logits"]
    assert {name: edge["score"] for name, edge in graph["edges"].items()} == {
        "input->a0.h1<q>": 0, "input->a0.h1<k>": 0, "input->a0.h1<v>": 0, "input->m1": 0, "a0.h1->m1": 7,
        "input->logits": 0, "a0.h1->logits": 7, "m1->logits": 5,
    }  # fmt: skip
    assert json.loads(json.dumps(graph)) == graph and graph["lost"] == LOST


def test_a_parallel_mlp_takes_no_edge_from_the_heads_of_its_layer() -> None:
    found, everything = small()[0], ~small()[0].map(lambda nodes: nodes > 9)

    edges = [mib_graph(found, everything, d_model=8, parallel_attn_mlp=parallel)["edges"] for parallel in (False, True)]

    assert set(edges[0]) - set(edges[1]) == {f"a{layer}.h{head}->m{layer}" for layer in (0, 1) for head in (0, 1)}
    # EAP-IG's count: per layer 3·heads from each node before, its MLP from these and its heads; the logits from all
    assert len(edges[0]) == (1 * 6 + 3) + (4 * 6 + 6) + 7


def test_a_table_has_a_row_for_each_node_that_is_listed() -> None:
    found, chosen = small()

    rows = table(found, chosen, found.map(lambda nodes: nodes > 0)).to_pylist()

    assert rows[0] == {
        "kind": "heads", "layer": 0, "position": 2, "span": "data", "index": 1, "score": 5.0, "in_circuit": True,
    }  # fmt: skip
    assert [(row["kind"], row["score"], row["in_circuit"]) for row in rows[1:]] == [
        ("heads", 2, False), ("neurons", 1, False), ("neurons", 4, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "reader"), [(".csv", pyarrow.csv.read_csv), (".parquet", pyarrow.parquet.read_table)]
)
def test_a_written_table_is_read_back_by_others(tmp_path: Path, ending: str, reader: Any) -> None:
    rows = table(*small(), small()[1])

    write_table(rows, tmp_path / f"nodes{ending}")

    assert rows.num_rows == 2 and reader(tmp_path / f"nodes{ending}").to_pylist() == rows.to_pylist()


def test_a_table_of_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ends with '.xls'; expected .csv or .parquet"):
        write_table(table(*small(), small()[1]), tmp_path / "nodes.xls")


def test_scores_and_a_circuit_that_do_not_belong_together_are_not_exported() -> None:
    with pytest.raises(MismatchError, match="Scores of model m and a circuit of other"):
        mib_graph(small()[0], Grid(*small()[1], LAYOUT, "other"), d_model=8)
    with pytest.raises(MismatchError):
        table(scores(IMAGE), circuit(TEXT), circuit(TEXT))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished discovery of a random model."""
    model = tmp_path_factory.mktemp("model")
    (model / "config.json").write_text("{}")
    store = Store(tmp_path_factory.mktemp("runs"))
    run = Run(str(model), counting(per_split=24, style="shapes"), store=store, load=lambda source: tiny("qwen2_vl"))
    return store.folder(run.get("discover", modality="text", method="ap", reduction="signed")).path


def export(folder: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["export", str(folder), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_discovered_circuit_is_exported_from_the_command_line(run_folder: Path, tmp_path: Path) -> None:
    found, conditions = discovered(run_folder)
    kept = found.top(0.1)

    export(run_folder, "--to", "pretrained", "--size", "0.1", "--out", str(tmp_path / "shared"))
    export(run_folder, "--to", "csv", "--size", "0.1", "--listed", "0.2", "--out", str(tmp_path / "nodes.csv"))
    said = export(run_folder, "--to", "mib", "--size", "0.1", "--d-model", "64", "--out", str(tmp_path / "graph.json"))

    shared, told = read(tmp_path / "shared")
    assert shared.equal(kept) and sum(kept.count()) > 10
    assert told == json.loads(json.dumps(conditions | {"size": 0.1})) and told["dropped"]
    rows = pyarrow.csv.read_csv(tmp_path / "nodes.csv").to_pylist()
    assert (sum(row["in_circuit"] for row in rows), len(rows)) == (sum(kept.count()), sum(found.top(0.2).count()))
    assert json.loads((tmp_path / "graph.json").read_text())["cfg"]["n_layers"] == 4 and LOST in said


def test_an_export_that_lacks_something_says_what(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give it as --d-model"):
        export(run_folder, "--to", "mib", "--size", "0.1", "--out", str(tmp_path / "graph.json"))
    with pytest.raises(InputError, match="does not end with .csv"):
        export(run_folder, "--to", "csv", "--size", "0.1", "--out", str(tmp_path / "new" / "nodes.txt"))
    with pytest.raises(
        StoreError, match="No finished result in '.*nowhere'. Expected a folder that `diptych run` printed"
    ):
        export(tmp_path / "nowhere", "--to", "csv", "--size", "0.1", "--out", str(tmp_path / "nodes.csv"))
    assert list(tmp_path.iterdir()) == []


def test_signed_scores_are_exported_with_the_helpful_nodes_first(run_folder: Path) -> None:
    found, _ = discovered(run_folder)
    grids = Folder(run_folder).grids()
    mean = torch.einsum("f,flpn->lpn", grids["prompts"] / grids["prompts"].sum(), grids["heads"])

    assert found.heads.abs().max() > 0
    torch.testing.assert_close(found.heads, -mean)
