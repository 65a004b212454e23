"""Guided back-patching: parts of a patch, random parts of equal size, and a circuit found with the patch (methods §10)."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from diptych.backpatch import Cell, back_patch
from diptych.batch import Batch
from diptych.experiments._guided import (
    _by_nodes,
    _by_positions,
    _drawn,
    _nodes,
    _patched,
    _positions,
    _weight,
    drawn_like,
    guided,
)
from diptych.experiments._guided_overlap import changes, decided, score_patched
from diptych.experiments._judged import Judged, paragraph, summary
from diptych.experiments._sweep import HELD_OUT
from diptych.experiments.discover import score
from diptych.experiments.guided_back_patching import _alike, _bars, _fewer, _rows
from diptych.grid import Circuit, Grid
from diptych.items import Task
from diptych.layout import Layout
from diptych.models.encode import answer_tokens, encode_item
from diptych.models.vlm import VLM
from diptych.planted import plant
from diptych.result import Result
from diptych.run import Run, Store
from diptych.tasks.counting import counting
from diptych.written import Plain
from prompts import answers, batch, contrasts
from test_attribution import double
from test_interventions import random_circuit
from test_planted import seed_circuit
from tiny import FAMILIES, tiny

pytestmark = pytest.mark.xdist_group("guided")  # one run for all tests of this file

CELL = Cell(destination=0, window=3, source=2)


def logits_of(vlm: VLM, plain: Plain, some: Batch, parts: Iterator) -> torch.Tensor:
    """[set, batch, vocab] of each part of the patch."""
    return torch.cat([_patched(vlm, plain, some.layout.data, CELL, values) for values in parts])


@pytest.mark.parametrize("family", FAMILIES)
def test_where_only_a_circuit_writes_its_nodes_are_the_whole_patch_and_all_others_nothing(family: str) -> None:
    original = double(family)
    some = batch(original, "image", 2)
    circuit = seed_circuit(original, some)
    vlm = plant(original, circuit)
    call = vlm.capture(some.clean)
    plain = Plain.of(vlm, call)
    inside = replace(circuit, model=vlm.digest).at("data")

    everything, ours, others, random = logits_of(vlm, plain, some, _by_nodes(vlm, plain, _nodes(inside, 1, 0), 3))

    ((_, whole),) = back_patch(vlm, call, some.layout.data, [CELL])
    unpatched = vlm.run(call)
    for found, wanted in ((everything, whole), (ours, whole), (others, unpatched)):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert all(float((random - other).abs().max()) > 1e-3 for other in (whole, unpatched))


@pytest.mark.parametrize("family", FAMILIES)
def test_all_positions_are_the_cell_to_the_bit_and_a_part_lies_between(family: str) -> None:
    vlm = tiny(family)
    some = batch(vlm, "image", 1)
    call = vlm.capture(some.clean)
    sets = _positions(seed_circuit(vlm, some).at("data"), 2, 1, 0)
    plain = Plain.of(vlm, call)

    everything, ours, others, _ = logits_of(vlm, plain, some, _by_positions(plain, sets, 1))

    ((_, whole),) = back_patch(vlm, call, some.layout.data, [CELL])
    assert torch.equal(everything, whole)
    assert all(float((ours - other).abs().max()) > 1e-4 for other in (whole, others, vlm.run(call)))


def grid() -> Circuit:
    """Five data positions out of 9, 2 layers, 3 heads and 4 neurons, of which one layer has 2."""
    heads, neurons = torch.zeros(2, 9, 3, dtype=torch.bool), torch.zeros(2, 9, 4, dtype=torch.bool)
    heads[0, 3, 1] = heads[1, 3, 0] = neurons[0, 4, 2] = neurons[0, 6, 0] = neurons[1, 6, 1] = neurons[1, 5, 0] = True
    return Grid(heads, neurons, Layout.of((2, 7), 9), "m", ((3, 3), (4, 2)))


def test_the_positions_let_through_are_those_that_hold_most_of_the_circuit() -> None:
    everything, ours, others, *drawn = _positions(grid(), 2, 20, 0)

    assert everything.nonzero().flatten().tolist() == [2, 3, 4, 5, 6]
    assert ours.nonzero().flatten().tolist() == [3, 6]  # all heads, and half of the neurons
    assert torch.equal(ours | others, everything) and not (ours & others).any()
    assert all(int(one.sum()) == 2 and not (one & ~everything).any() for one in drawn)
    assert len({tuple(one.tolist()) for one in drawn}) > 5


def test_of_positions_that_hold_as_much_those_taken_are_drawn_and_the_note_says_how_many() -> None:
    layout = Layout.of((2, 7), 9)
    every = grid().map(torch.ones_like)  # as a circuit of spans is on tokens: all positions alike
    weights = _weight(every)[layout.data]

    chosen = {tuple(_positions(every.at("data"), 2, 3, seed)[1].nonzero().flatten().tolist()) for seed in range(20)}

    assert (
        len(chosen) > 5
        and {len(one) for one in chosen} == {2}
        and {p for one in chosen for p in one} == {2, 3, 4, 5, 6}
    )
    assert (_drawn(weights, 2), _drawn(weights, 5), _drawn(weights, 0)) == (2, 0, 0)
    assert (_drawn(torch.tensor([1.0, 3.0, 2.0, 2.0]), 2), _drawn(torch.tensor([1.0, 3.0, 2.0, 2.0]), 3)) == (1, 0)
    (note,) = _alike({"drawn": torch.tensor([2, 1]), "let": torch.tensor([2, 2])})
    assert note.startswith("Of 2.0 data positions let through, 1.5 on average are drawn from more that hold as much")
    assert _alike({"drawn": torch.tensor([0, 0]), "let": torch.tensor([2, 2])}) == []


def test_random_nodes_are_as_many_in_each_layer_and_of_each_kind_and_in_the_data() -> None:
    circuit = grid()

    drawn = [drawn_like(circuit, seed) for seed in range(10)]

    for one in drawn:
        for nodes, ours in zip(one, circuit, strict=True):
            assert nodes.sum((1, 2)).tolist() == ours.sum((1, 2)).tolist()
            assert int(nodes[:, :2].sum() + nodes[:, 7:].sum()) == 0
        assert not one.neurons[1, :, 2:].any()  # that layer has two
    assert not any(one.equal(drawn[0]) for one in drawn[1:])


def test_random_parts_are_other_ones_for_each_draw_and_the_same_for_each_batch() -> None:
    vlm = tiny("qwen2_vl")
    task = counting(per_split=24, style="shapes")
    items = list(task.split("test")[:3])
    layout = encode_item(vlm, items[0], "image").layout
    circuit = random_circuit(empty_on(vlm, layout), 0.1, 0)
    work = partial(guided, cell=CELL, share=0.5, draws=3, seed=0, answers=answer_tokens(vlm, task), circuit=circuit)

    whole = work(vlm, (0, items), batch_size=5)
    parts = [work(vlm, (0, [item]), batch_size=1) for item in items]

    assert whole["nodes"].shape == whole["positions"].shape == (6, 3)
    assert set(whole) == {"base", "positions", "nodes", "held", "asked", "let", "drawn"}
    for name in whole:
        assert torch.equal(whole[name], torch.cat([part[name] for part in parts], -1))


def empty_on(vlm: VLM, layout: Layout) -> Circuit:
    heads, neurons = (torch.zeros(4, layout.length, count, dtype=torch.bool) for count in (4, 64))
    return Grid(heads, neurons, layout, vlm.digest)


def test_with_the_patch_in_place_what_it_overwrites_has_no_score() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 2)
    asked = {
        "method": "ap",
        "arguments": {"metric": "logit_diff", "reduction": "l1"},
        "answers": answers(vlm),
        "layout": some.layout,
    }

    before = score(vlm, (0, contrasts("image", 2)), **asked)
    after = score_patched(vlm, (0, contrasts("image", 2)), cell=Cell(0, 1, 3), **asked)

    data = some.layout.data
    for kind in ("heads", "neurons"):
        assert float(after[kind][0, data].abs().max()) == 0 < float(before[kind][0, data].abs().max())
        assert float(after[kind][1:, data].abs().max()) > 0
        assert float((after[kind] - before[kind]).abs().max()) > 1e-4


def guide(circuit: Circuit, vlm: VLM, task: Task, share: float, draws: int = 2) -> dict[str, torch.Tensor]:
    asked = {"cell": CELL, "share": share, "draws": draws, "seed": 0, "answers": answer_tokens(vlm, task)}
    return guided(vlm, (0, list(task.split("test")[:2])), circuit=circuit, batch_size=4, **asked)


def test_no_more_positions_are_let_through_than_the_circuit_holds() -> None:
    vlm, task = tiny("qwen2_vl"), small()
    layout = encode_item(vlm, task.split("test")[0], "image").layout
    circuit = empty_on(vlm, layout)
    circuit.heads[1, layout.data.stop - 1, 0] = True

    few, many = guide(circuit, vlm, task, 1.0), guide(circuit, vlm, task, 0.01)

    data = layout.data.stop - layout.data.start
    assert [few[name].tolist() for name in ("held", "asked", "let")] == [[1, 1], [data, data], [1, 1]] and data > 1
    assert torch.equal(few["positions"], many["positions"]) and _fewer(many) == []
    (note,) = _fewer(few)
    assert f"at 1.0 data positions of a prompt on average, the share asks for {data}.0" in note


def test_a_circuit_that_holds_no_data_has_no_part_of_the_patch() -> None:
    vlm, task = tiny("qwen2_vl"), small()
    layout = encode_item(vlm, task.split("test")[0], "image").layout
    circuit = empty_on(vlm, layout)
    circuit.heads[1, layout.data.stop, 0] = True

    rows, found = _rows(guide(circuit, vlm, task, 0.5), ["a", "b"])

    assert [row["cell"] for row in rows if "undefined" in row] == ["data positions: circuit", "nodes: circuit"]
    assert [row["cell"] for row in rows if "gain" in row] == ["data positions: all", "nodes: all"]
    repaired = [replace(one, surely=0.2) for one in found]
    assert paragraph(repaired, []).startswith("Undefined: the image circuit holds no node at data positions")
    assert "holds no node at data positions" in summary("t", repaired) and _bars(repaired) == []


def judged(circuit: float, random: list[float], surely: float = 0.2, own: float = 0.1) -> Judged:
    return Judged("nodes", 0.5, circuit, 0.1, random, surely, own)


def test_the_repair_goes_through_the_circuit_if_random_parts_do_worse_by_a_test() -> None:
    assert judged(0.3, [0.1] * 39).p == 0.025 and judged(0.3, [0.1] * 39).through
    assert judged(0.3, [0.1] * 38 + [0.3]).p == 0.05 and not judged(0.3, [0.1] * 38 + [0.3]).through
    assert judged(0.3, [0.1] * 98 + [0.4]).p == 0.02 and judged(0.3, [0.1] * 98 + [0.4]).through
    assert not judged(0.3, [0.1] * 39, own=0).through
    assert judged(0.3, [0.1] * 19 + [0.3]).percentile == 0.975

    assert paragraph([judged(0.3, [0.1] * 39)], []).startswith(
        "The repair goes through the image circuit, judged by nodes"
    )
    assert paragraph([judged(0.3, [0.1] * 37 + [0.3, 0.4])], []).startswith("It is not shown that the repair goes")
    assert "(higher than 37, equal to 1 of 39 random parts, p = 0.075)" in paragraph(
        [judged(0.3, [0.1] * 37 + [0.3, 0.4])], []
    )
    assert "p = 0.025" in summary("t", [judged(0.3, [0.1] * 39)])


def test_with_too_few_random_parts_there_is_no_verdict() -> None:
    assert paragraph([judged(0.3, [0.1] * 38)], []).startswith(
        "No verdict on whether the repair goes through the image circuit is possible with 38 random parts"
    )


def test_as_random_as_any_other_the_circuit_s_part_rarely_passes() -> None:
    chance = torch.Generator().manual_seed(0)

    passed = [judged(one, random).through for one, *random in torch.rand(1000, 40, generator=chance).tolist()]

    assert 0.01 < sum(passed) / len(passed) < 0.04


def test_changes_of_overlap_are_told_with_their_interval_and_only_if_something_is_repaired() -> None:
    rows = [{"cell": "overlap in data", "change": 0.1, "change, low": -0.05, "change, high": 0.25}]

    assert paragraph([judged(0.3, [0.1] * 39)], rows).endswith("changes by (nIoU): data +0.10 [-0.05, +0.25].")
    assert paragraph([judged(0.1, [0.1], surely=0)], rows) == (
        "The gain of the whole patch on test is not surely above 0, so there is no repair to trace to the circuit."
    )


def test_a_change_of_overlap_is_of_the_nodes_that_are_compared_both_times() -> None:
    values = np.array([[0.1, 0.3, math.nan, 0.2, 0.5, 0.5], [0.5, math.nan, math.nan, 0.4, math.nan, math.nan]])
    draws = np.stack([values[[0] * 9], values[[1] * 9]])
    draws[:, :, 0] += np.array([[1], [2]]) * np.arange(9) / 100

    data, query, generation = changes(values, draws, 8)

    assert data["nodes compared"] == "heads" and query["nodes compared"] == "neurons"
    assert [data["nIoU before"], data["nIoU after"], data["change"]] == pytest.approx([0.1, 0.5, 0.4])
    assert query["change, low"] == pytest.approx(0.2) and 0.3 < float(data["change, low"] or 0) < 0.4
    assert generation["nodes compared"] == "none" and math.isnan(float(generation["change"] or 0))
    (note,) = decided([data, query, generation])
    assert note.endswith("left out: data (heads compared), query (neurons compared), generation (none compared).")
    assert decided([{**data, "nodes compared": "heads and neurons"}]) == []


SMALL = {"size": 0.2, "windows": (1,), "draws": 2, "resamples": 5, "discovery": {"method": "ap"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")
    store = Store(tmp_path_factory.mktemp("runs"))
    return Run(str(folder), small(), store=store, load=lambda source: tiny("qwen2_vl"))


def small() -> Task:
    return counting(per_split=24, style="shapes")


def rows_of(result: Result) -> dict[str, dict]:
    return {str(row["cell"]): dict(row) for row in result.rows}


def test_the_experiment_reports_parts_of_the_cell_that_the_sweep_chose(run: Run) -> None:
    result = run.get("guided_back_patching", **SMALL)

    rows = rows_of(result)
    swept = run.get("back_patching", windows=(1,)).rows
    (image,) = (row for row in swept if (row["panel"], row["cell"]) == ("image", HELD_OUT))
    assert all(result.conditions[name] == image[name] for name in ("source", "destination", "window"))
    assert rows["data positions: all"]["patched"] == image["patched"] and rows["data positions: all"]["n"] == image["n"]
    changed = [rows[f"overlap in {segment}"] for segment in ("data", "query", "generation")]
    assert any(abs(row["change"]) > 1e-3 for row in changed if row["change"] is not None)
    assert result.figures[0].series[2].name == "random parts of equal size"
    assert all(rows[f"{name}: circuit"]["p"] in (1 / 3, 2 / 3, 1) for name in ("data positions", "nodes"))


def test_pictures_alone_are_guided_without_a_text_circuit(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    full = counting(per_split=36)
    half = Task("half", 1, tuple(replace(item, text=None) for item in full.items), full.answers)
    run = Run(str(tmp_path), half, store=Store(tmp_path / "runs"), load=lambda source: tiny("qwen2_vl"))

    result = run.get("guided_back_patching", **SMALL)

    assert len(result.figures) == 1 and not any("overlap" in name for name in rows_of(result))
    assert any("no text panel" in note for note in result.notes)
