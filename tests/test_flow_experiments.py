"""Knockout, cross-patching, freezing, identification and integration on an organism; and what a planted delay shows."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deep import deepened
from diptych.delayed import delay
from diptych.errors import InputError
from diptych.experiments.freeze import earliest
from diptych.experiments.identify import probe_layers
from diptych.experiments.visual_integration import streams_of, streams_without
from diptych.items import Item, Task
from diptych.models.encode import encode_item
from diptych.models.load import load
from diptych.models.vlm import VLM
from diptych.report.build import build
from diptych.report.overview import overview
from diptych.report.tables import prose
from diptych.result import Result, Row
from diptych.run import Run, Store
from diptych.tasks.sentiment import sentiment
from lab.few_counting import few_counting
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny

pytestmark = pytest.mark.xdist_group("flow_experiments")  # one run for all tests of this file

ORGANISM = "organism/qwen2vl"
PLANTED = (ORGANISM, "organism/gemma3")
FLOW = ("knockout", "cross_patch", "freeze", "identify", "visual_integration")
SILENT = 3


def feelings() -> Task:
    """Pictures alone: a delay is one of pictures."""
    full = sentiment(per_split=16)
    return replace(full, items=tuple(replace(item, text=None) for item in full.items))


@cache
def organism(name: str, silent: int, hidden_until: int) -> VLM:
    """The organism behind silent layers, and its pictures hidden until a layer."""
    vlm = deepened(load(name, verify=False), silent)
    some = [encode_item(vlm, item, "image").inputs for item in feelings().split("select")[:4]]
    return delay(vlm, hidden_until, some) if hidden_until else vlm


def open_run(
    store: Path, task: Task, silent: int = 0, hidden_until: int = 0, name: str = ORGANISM, **options: Any
) -> Run:
    label = name if not silent else "random:llava"  # a name of its own in the store; the model is the one below
    folder = store / f"{name.rpartition('/')[2]} {silent} {hidden_until}"
    return Run(label, task, store=Store(folder), load=lambda source: organism(name, silent, hidden_until), **options)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(tmp_path_factory.mktemp("runs"), few_counting())


@pytest.fixture(scope="module")
def results(counted: Run) -> dict[str, Result]:
    return {name: counted.get(name) for name in FLOW}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Run]:
    """By organism and the layer until which pictures are hidden: not at all, and as long as the silent layers reach."""
    folder = tmp_path_factory.mktemp("planted")
    every = product(PLANTED, (0, SILENT))
    return {(name, until): open_run(folder, feelings(), SILENT, until, name) for name, until in every}


def layer_of(result: Result, name: str) -> tuple[float, float, float]:
    return tuple(float(str(result.conditions[name + bound])) for bound in ("", ", low", ", high"))  # type: ignore[return-value]


def of(rows: Any, **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


LAYERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "knockout": (
        "first reading layer, image",
        {"cuts": "data:query+generation", "layers": "suffix", "panels": "image"},
    ),
    "cross_patch": ("first layer, image", {"panels": "image"}),
    "freeze": ("sufficient layer", {}),
    "identify": ("identified layer, data, image", {"panels": "image"}),
}


@pytest.mark.parametrize("model", PLANTED)
@pytest.mark.parametrize("experiment", LAYERS)
def test_a_planted_delay_is_found_at_its_layer_with_an_interval_that_holds_it(
    planted: dict[tuple[str, int], Run], experiment: str, model: str
) -> None:
    name, parameters = LAYERS[experiment]

    found, low, high = layer_of(planted[model, SILENT].get(experiment, **parameters), name)

    assert abs(found - SILENT) <= 1 and low <= SILENT <= high and high - low <= 2


@pytest.mark.parametrize("experiment", ["cross_patch", "freeze", "identify"])
def test_without_the_delay_the_picture_is_there_from_the_first_layer_on(
    planted: dict[tuple[str, int], Run], experiment: str
) -> None:
    name, parameters = LAYERS[experiment]

    assert layer_of(planted[ORGANISM, 0].get(experiment, **parameters), name) == (0, 0, 0)


def test_the_donor_decides_up_to_the_layer_that_reads_the_picture(planted: dict[tuple[str, int], Run]) -> None:
    for (_, until), run in list(planted.items())[:2]:
        rows = of(run.get("cross_patch", panels="image").rows, panel="image")
        found, low, high = layer_of(run.get("cross_patch", panels="image"), "critical layer, image")

        assert SILENT < low <= found <= high < SILENT + 4
        assert [row["donor's answer"] for row in rows[:SILENT]] == [0.0 if until else 1.0] * SILENT
        assert rows[SILENT]["donor's answer"] == 1 and rows[-1]["own answer"] == 1


def test_every_experiment_says_n_drops_seed_and_interval(results: dict[str, Result]) -> None:
    for name, result in results.items():
        assert {"model", "dtype", "attention", "seed", "split", "interval"} <= set(result.conditions), name
        assert any(key.startswith("n ") for key in result.conditions), name
        assert any(key.startswith("dropped") for key in result.conditions), name


def test_the_report_shows_every_experiment_and_says_with_intervals_whether_the_image_is_late(
    results: dict[str, Result], tmp_path: Path
) -> None:
    page = unescape(build(list(results.values()), tmp_path / "report.html").read_text(encoding="utf-8"))
    late = next(
        question
        for question in overview([(one, "", name) for name, one in results.items()])
        if "late" in question.title
    )

    for words in ("Attention cut from data to query", "Earliest sufficient layer", "critical layer", "Answer read off"):
        assert words in page
    told = {
        one.experiment: {figure.label: figure.interval for figure in one.figures} for one in late.answers[0].evidence
    }
    assert set(told) == set(FLOW)
    for name, layer in (("knockout", "reading"), ("cross_patch", "critical"), ("visual_integration", "integration")):
        assert told[name][f"{layer} layer, image minus text"].startswith("[")
        assert "so neither is surely late" in results[name].summary and prose(results[name].summary) in page


def test_cutting_everything_costs_most_and_nothing_costs_nothing(results: dict[str, Result]) -> None:
    rows = results["knockout"].rows
    for panel in ("text", "image"):
        suffix = of(rows, panel=panel, cut="data to query and generation", layers="suffix")
        assert float(str(suffix[0]["change"])) < -0.5 < float(str(suffix[-1]["change"]))
        assert float(str(suffix[0]["accuracy"])) < 0.6 and float(str(suffix[-1]["accuracy"])) > 0.9
        assert float(str(suffix[0]["logit difference"])) < -1


def test_text_and_image_stand_side_by_side_in_every_figure_of_a_cut(results: dict[str, Result]) -> None:
    figures = results["knockout"].figures

    assert len(figures) == 6
    assert all([series.name for series in figure.series] == ["text", "image"] for figure in figures)  # type: ignore[union-attr]


def test_a_cut_of_some_heads_costs_less_than_one_of_all(counted: Run, results: dict[str, Result]) -> None:
    some = counted.get("knockout", heads=("0.0",), cuts="data:query+generation", layers="suffix", panels="image")

    whole = of(results["knockout"].rows, panel="image", cut="data to query and generation", layers="suffix")
    assert float(str(whole[0]["change"])) < float(str(some.rows[0]["change"])) < 0
    assert some.rows[1]["change"] == 0  # the head is of layer 0
    with pytest.raises(InputError, match="No head can be named '0'. Expected a layer and a head in it, as in '3.0'"):
        counted.get("knockout", heads=("0",))


def test_results_do_not_depend_on_batch_size(tmp_path: Path, planted: dict[tuple[str, int], Run]) -> None:
    run = open_run(tmp_path, feelings(), SILENT, SILENT, batch_size=5)

    for name in ("cross_patch", "visual_integration"):
        whole = planted[ORGANISM, SILENT].get(name, panels="image").rows
        for found, expected in zip(run.get(name, panels="image").rows, whole, strict=True):
            assert found == pytest.approx(dict(expected), abs=1e-4)


def test_a_layer_is_sufficient_if_all_layers_from_it_on_are() -> None:
    right = np.array([[1, 0, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]], float)

    assert earliest(right).tolist() == [0, 1, 2, 2, 2]


def test_prompts_that_are_alone_in_their_cluster_are_in_no_group_and_the_summary_tells_no_gap(
    results: dict[str, Result],
) -> None:
    result = results["freeze"]

    assert sum(int(str(row["earliest here"])) for row in result.rows) == result.conditions["n test"]
    assert {row["group"] for row in result.rows} == {""} and "gap" not in result.summary
    assert result.conditions["clusters in neither group"] == len(few_counting().split("test"))


def test_summaries_say_n_and_notes_why_a_layer_is_undefined(results: dict[str, Result]) -> None:
    for name, result in results.items():
        assert "n = " in result.summary, name
        names = [key for key in result.conditions if "layer, " in key and key + ", low" in result.conditions]
        unknown = [key for key in names if result.conditions[key] is None]
        assert all(any(f"The {key} is undefined (n = " in note for note in result.notes) for key in unknown), name


def test_a_picture_held_up_to_layer_1_tells_no_sufficient_layer(planted: dict[tuple[str, int], Run]) -> None:
    result = planted[ORGANISM, 0].get("freeze", until=1)

    assert result.conditions["sufficient layer"] is None
    assert "held up to layer 1 (given)" in result.summary and "no later layer could be found" in result.summary


def test_states_depend_on_the_data_only_behind_it_and_only_after_the_first_layer(results: dict[str, Result]) -> None:
    for row in results["visual_integration"].rows:
        distances = [float(str(row[name])) for name in row if name in ("query, without", "generation, another")]
        assert (max(distances) == 0) == (row["layer"] == 0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_states_without_the_data_do_not_depend_on_it_and_those_with_it_do(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image", 1)
    calls, after = (vlm.capture(some.clean), vlm.capture(some.counterfactual)), some.layout.query.start

    without = [torch.stack(streams_without(vlm, call, some.layout))[:, :, after:] for call in calls]
    seen = [torch.stack(streams_of(vlm, call))[:, :, after:] for call in calls]

    torch.testing.assert_close(*without, atol=1e-5, rtol=0)
    assert float((seen[0] - seen[1])[-1].abs().max()) > 1e-2 and float(without[0].abs().max()) > 0.1


@torch.no_grad()
def test_states_without_the_data_do_not_learn_of_it_from_positions_before_it_that_look_ahead() -> None:
    vlm = load("random:paligemma", verify=False)
    some = batch(vlm, "text", 1)
    calls, after = (vlm.capture(some.clean), vlm.capture(some.counterfactual)), some.layout.query.start
    with vlm.knockout(slice(after, some.layout.length), some.layout.data, range(len(vlm.layers))):
        read_before = [vlm.run(call) for call in calls]

    without = [torch.stack(streams_without(vlm, call, some.layout))[:, :, after:] for call in calls]

    torch.testing.assert_close(*without, atol=1e-5, rtol=0)
    assert float((read_before[0] - read_before[1]).abs().max()) > 1e-2


def test_the_lens_ends_with_the_model_s_own_answer(results: dict[str, Result]) -> None:
    for panel in ("text", "image"):
        rows = of(results["identify"].rows, panel=panel)
        assert float(str(rows[0]["lens, last position"])) < 0.5 < 0.85 < float(str(rows[-1]["lens, last position"]))
        assert rows[0]["probe, last position"] == rows[0]["commonest answer"]  # the last position is the same in all


def test_an_answer_that_no_known_item_of_the_question_has_cannot_be_named() -> None:
    known, given = (
        [question(group, answer) for group, answer in pairs] for pairs in (("a1", "a2", "b3", "b3"), ("a1", "a3", "b3"))
    )
    states = {f"states, {place}": np.eye(4)[None] for place in ("data", "last position")}
    told = {name: value[..., [0, 1, 2]] for name, value in states.items()}

    found = probe_layers(states, told, known, given)

    assert found["kept"].tolist() == [1, 0, 1] and found["commonest"].tolist() == [1, 0, 1]
    assert found["probe, data"].tolist() == [[1, 0, 1]]


def question(group: str, answer: str) -> Item:
    return Item(f"{group}{answer}", "data", None, "query", answer, group=group)
