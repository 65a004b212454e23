"""Experiments end to end on tiny random models: they run, store, repeat to the bit, and say what they used."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diptych.errors import InputError
from diptych.experiments import DEMO, DEMO_FIRST
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import Measured, random_scores
from diptych.experiments._panels import Panel
from diptych.experiments._sweep import HELD_OUT, IN_SAMPLE
from diptych.experiments.accuracy import _difference, accuracy_row
from diptych.grid import Grid
from diptych.items import Item, Task
from diptych.layout import Layout
from diptych.registry import names
from diptych.result import Result
from diptych.run import Run, Store
from diptych.statistics import mcnemar
from diptych.tasks.counting import counting
from prompts import Noise
from tiny import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    (path / "config.json").write_text("{}")
    return path


def open_run(folder: Path, store: Path, task: Task | None = None, **options) -> Run:
    return Run(
        str(folder),
        task or counting(per_split=24, style="shapes"),
        store=Store(store),
        load=lambda source: tiny("qwen2_vl"),
        **options,
    )


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """The demo's experiments on a random model; those that find no circuit are left out."""
    run = open_run(folder, tmp_path_factory.mktemp("runs"))
    found = {}
    for name, parameters in DEMO:
        if name != "overlap":  # a random model has no circuit to compare
            found[f"{name} {parameters.get('modality', '')}".strip()] = run.get(name, **parameters)
    return found


def test_the_demo_names_shipped_experiments() -> None:
    assert {name for name, _ in (*DEMO, *DEMO_FIRST)} <= set(names("experiment"))


def test_every_result_says_n_drops_seed_model_and_kernel(results: dict[str, Result]) -> None:
    for name, result in results.items():
        assert {"model", "dtype", "attention", "pixel_budget", "seed"} <= set(result.conditions), name
        if name != "accuracy":
            assert any(key.startswith("n ") for key in result.conditions), name
            assert any(key.startswith("dropped ") for key in result.conditions), name


def test_accuracies_count_right_answers_of_all_prompts(results: dict[str, Result]) -> None:
    for row in results["accuracy"].rows:
        assert row["n"] == 24
        assert row["accuracy"] == pytest.approx(int(row["right"] or 0) / 24)
        assert float(row["low"] or 0) <= float(row["accuracy"] or 0) <= float(row["high"] or 0)


def drops(conditions: Mapping[str, Any], split: str) -> dict[str, int]:
    """How many were dropped, by reason."""
    said = str(conditions[f"dropped {split}"])
    return {} if said == "none" else {part.split(" ", 1)[1]: int(part.split()[0]) for part in said.split(", ")}


def test_only_correctly_answered_prompts_are_discovered_on_and_every_other_is_counted(
    results: dict[str, Result],
) -> None:
    right = {(r["panel"], r["split"]): r["right"] for r in results["accuracy"].rows}
    for panel in ("text", "image"):
        conditions = results[f"discover {panel}"].conditions
        dropped = drops(conditions, "discover")
        assert 0 < int(conditions["n discover"] or 0) <= int(right[panel, "discover"] or 0)
        assert dropped["answered wrongly"] > 0
        assert int(conditions["n discover"] or 0) + sum(dropped.values()) == 24


def measured(circuits: list[list[float]], clusters: str = "abcd") -> Measured:
    """Four prompts with m(model) = 2 and m(empty) = 0, under circuits of increasing size."""
    values = np.array(circuits, float)
    curves = {"circuit": values, "random 0": values / 4}
    return Measured(np.full(4, 2.0), np.zeros(4), curves, list(clusters), seed=0)


def test_faithfulness_is_reported_by_both_aggregates_and_the_median() -> None:
    found = measured([[2, 1, 1, 0]])

    assert found.estimate(0).value == pytest.approx(0.5) and found.ratios(0, "random") == pytest.approx([0.125])
    assert found.per_prompt(0)[0].value == pytest.approx(0.5) and found.median(0) == 0.5
    assert found.estimate(0).low < 0.5 < found.estimate(0).high


def test_faithfulness_without_an_effect_is_undefined_for_random_circuits_too() -> None:
    nothing = replace(measured([[1, 1, 1, 1]]), model=np.array([1.0, -1.0, 1.0, -1.0]))

    assert math.isnan(nothing.estimate(0).value) and "contains 0" in nothing.estimate(0).reason
    assert all(map(math.isnan, nothing.ratios(0, "random")))


def test_prompts_of_one_cluster_are_resampled_together() -> None:
    items = tuple(Item(f"i{n}", f"{n}", None, "How many ?", str(n % 2), cluster=f"c{n % 3}") for n in range(30))
    task = Task("clustered", 1, items, ("0", "1"))

    row = accuracy_row(task, "text", "test", np.array([True, False] * 5), 0)

    assert (row["accuracy"], row["n"]) == (0.5, 10)
    assert math.isnan(float(row["low"] or 0))  # one cluster is no sample


def test_accuracy_tells_text_minus_image_of_the_same_items_with_an_interval_and_a_p_value() -> None:
    items = tuple(Item(f"i{n}", f"{n}", Noise(f"{n}"), "How many ?", str(n % 2), cluster=f"c{n}") for n in range(90))
    task = Task("paired", 1, items, ("0", "1"))
    size = len(task.split("test"))
    text, image = np.arange(size) < size - 2, np.arange(size) < 12

    told = _difference(task, {("text", "test"): text, ("image", "test"): image})

    assert told["text minus image"] == pytest.approx((size - 14) / size) and told["McNemar p"] == mcnemar(text, image)
    assert 0 < told["text minus image, low"] < told["text minus image"] < told["text minus image, high"]
    assert _difference(replace(task, items=tuple(replace(item, image=None) for item in items)), {}) == {}


def test_the_mean_over_folds_weighs_each_prompt_alike() -> None:
    heads, neurons = (torch.tensor([1.0, 4.0]).view(2, 1, 1, 1).expand(2, 1, 4, 1) for _ in range(2))
    folds = FoldScores(heads, neurons, torch.tensor([3, 1]), Layout.of((0, 2), 4), "m")

    assert folds.mean().heads.unique().item() == pytest.approx((3 * 1 + 1 * 4) / 4)
    assert folds.mean([1]).heads.unique().item() == 4
    assert folds.mean([0, 1, 1]).heads.unique().item() == pytest.approx((3 * 1 + 2 * 4) / 5)


def test_the_halves_of_a_panel_are_disjoint_and_hold_all_folds() -> None:
    scores = FoldScores(torch.zeros(6, 1, 4, 1), torch.zeros(6, 1, 4, 1), torch.ones(6), Layout.of((0, 2), 4), "m")
    panel = Panel("text", scores, 0.5, {})

    assert (panel.half(0), panel.half(1)) == ([0, 2, 4], [1, 3, 5])


def test_contrasts_of_different_halves_share_no_prompt_in_either_panel() -> None:
    task = counting(per_split=60, style="shapes")
    seen = {half: set() for half in (0, 1)}
    for modality in ("text", "image"):
        for contrast in task.contrasts(modality, "discover"):  # type: ignore[arg-type]
            half = task.fold(contrast.clean, 2)
            assert task.fold(contrast.clean, 8) % 2 == half
            seen[half] |= {contrast.clean.cluster, contrast.counterfactual.cluster}

    assert min(map(len, seen.values())) > 20
    assert not seen[0] & seen[1]


def test_segments_share_all_of_the_score_and_the_prefix_has_none(results: dict[str, Result]) -> None:
    rows = [row for row in results["discover image"].rows if row["kind"] == "heads"]
    assert sum(float(row["share of score"] or 0) for row in rows) == pytest.approx(1)
    assert {row["segment"]: row["share of score"] for row in rows}["prefix"] == 0


def test_the_cell_reported_on_test_is_the_best_on_select(results: dict[str, Result]) -> None:
    rows = {(row["panel"], row["cell"]): row for row in results["back_patching"].rows}
    for panel in ("text", "image"):
        chosen, sample = rows[panel, HELD_OUT], rows[panel, IN_SAMPLE]
        assert float(chosen["gain on select"] or 0) >= float(sample["gain on select"] or 0)
        assert float(sample["gain"] or 0) >= float(chosen["gain"] or 0)
        assert float(chosen["gain"] or 0) == pytest.approx(
            float(chosen["patched"] or 0) - float(chosen["accuracy"] or 0)
        )


def test_results_do_not_depend_on_batch_size(folder: Path, tmp_path: Path) -> None:
    one, other = (open_run(folder, tmp_path / str(size), batch_size=size) for size in (5, 16))
    scores = [run.grids(run.get("discover", modality="image"))["heads"] for run in (one, other)]

    assert float(scores[0].abs().max()) > 1e-3
    torch.testing.assert_close(scores[0], scores[1], atol=1e-5, rtol=1e-4)
    assert one.get("accuracy").rows == other.get("accuracy").rows


def test_an_interrupted_experiment_resumes_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    whole = open_run(folder, tmp_path / "whole").get("discover", modality="text")

    @contextmanager
    def stop_soon(stage: str, done: int, total: int) -> Iterator[Callable[[int], None]]:
        def told(now: int) -> None:
            if "discover" in stage and now == 2:
                raise KeyboardInterrupt

        yield told

    with pytest.raises(KeyboardInterrupt):
        open_run(folder, tmp_path / "broken", progress=stop_soon).get("discover", modality="text")
    resumed = open_run(folder, tmp_path / "broken").get("discover", modality="text")

    assert resumed.to_json() == whole.to_json()
    files = [sorted((tmp_path / name).rglob("grids.safetensors")) for name in ("whole", "broken")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]] != []


def test_a_task_whose_answers_all_share_a_first_token_is_refused(folder: Path, tmp_path: Path) -> None:
    items = tuple(Item(f"i{n}", f"{n} 7", None, "How many stars ?", f"5 {n}") for n in range(30))
    task = Task("twins", 1, items, tuple(f"5 {n}" for n in range(30)))

    with pytest.raises(InputError, match="answers of task 'twins' .* all begin with the same token.*reword them"):
        open_run(folder, tmp_path, task).get("discover", modality="text")


def test_contrasts_whose_answers_share_a_first_token_are_dropped_and_counted(folder: Path, tmp_path: Path) -> None:
    items = tuple(Item(f"i{n}", f"{n} 7", None, "How many stars ?", f"{n % 2} {n}") for n in range(60))
    task = Task("halves", 1, items, tuple(item.answer for item in items))
    run = open_run(folder, tmp_path, task)

    conditions = run.get("discover", modality="text").conditions

    dropped = drops(conditions, "discover")
    assert dropped["answers share their first token"] > 0
    assert int(conditions["n discover"] or 0) + sum(dropped.values()) == 20
    assert "60 of 60 answers share their first token" in run.get("accuracy").notes[0]


def test_a_panel_that_a_task_lacks_is_refused(folder: Path, tmp_path: Path) -> None:
    items = tuple(Item(f"i{n}", f"{n} 7", None, "How many stars ?", str(n)) for n in range(12))
    run = open_run(folder, tmp_path, Task("wordy", 1, items, tuple(map(str, range(12)))))

    with pytest.raises(InputError, match="Task 'wordy' has no image panel"):
        run.get("discover", modality="image")


@pytest.mark.parametrize(("missing", "other"), [("text", "image"), ("image", "text")])
def test_a_task_of_one_panel_runs_where_that_is_enough_and_is_refused_elsewhere(
    missing: str, other: Any, folder: Path, tmp_path: Path
) -> None:
    run = open_run(folder, tmp_path, half_of(missing))

    assert f"from {other}" in run.get("accuracy").summary
    assert run.get("discover", modality=other).rows
    for name in ("overlap", "back_patching") if missing == "image" else ("overlap",):
        with pytest.raises(
            InputError,
            match=f"Task 'half' has no {missing} panel in split '.*'. Use a task that has one; .* -p panels={other}",
        ):
            run.get(name)


def half_of(missing: str) -> Task:
    """The counting task without one panel."""
    full = counting(per_split=36)
    return Task("half", 1, tuple(replace(item, **{missing: None}) for item in full.items), full.answers)  # type: ignore[arg-type]


def test_pictures_alone_are_back_patched_without_a_text_control(folder: Path, tmp_path: Path) -> None:
    result = open_run(folder, tmp_path, half_of("text")).get("back_patching", windows=(1,))

    assert {row["panel"] for row in result.rows} == {"image"} and not any("gap" in row for row in result.rows)
    assert any("no text panel: there is no text control" in note for note in result.notes)


METHODS = {
    "too few arguments": ("vlm", "None", "too many positional arguments. Expected `def mine.vlm: VLM, batch: Batch, "),
    "no metric": ("vlm, batch", "None", "got an unexpected keyword argument 'metric'. Expected `def mine"),
    "one argument too many": ("vlm, batch, extra, *, metric, reduction", "None", "missing a required argument: 'extra'. Expected"),
    "another result": ("vlm, batch, *, metric, reduction", "3", "returned a int. Expected an `Attribution`"),
}  # fmt: skip


@pytest.mark.parametrize("what", METHODS)
def test_a_user_s_method_that_cannot_be_used_is_explained(what: str, folder: Path, tmp_path: Path) -> None:
    arguments, result, message = METHODS[what]
    (tmp_path / "mine.py").write_text(f"def mine({arguments}): return {result}\n")
    run = open_run(folder, tmp_path / "runs", counting(per_split=12))

    with pytest.raises(InputError, match=f"Method '.*mine.py' (cannot be called: )?{message}"):
        run.get("discover", modality="image", method=str(tmp_path / "mine.py"))


def test_a_user_s_method_is_used_with_its_options(folder: Path, tmp_path: Path) -> None:
    signature = "def mine(vlm, batch, *, metric, reduction, steps=1)"
    text = f"from diptych import ap\n{signature}: return ap(vlm, batch, metric=metric, reduction=reduction)\n"
    (tmp_path / "mine.py").write_text(text)
    run = open_run(folder, tmp_path / "runs", counting(per_split=24))
    mine = {"method": str(tmp_path / "mine.py")}

    assert run.get("discover", modality="image", **mine).rows == run.get("discover", modality="image", method="ap").rows
    with pytest.raises(InputError, match="has no option 'setps'. Known: metric, reduction, steps"):
        run.get("discover", modality="image", **mine, options={"setps": 2})


def test_random_circuits_avoid_the_prefix_and_have_the_size_asked_for() -> None:
    layout = Layout.of((2, 5), 9)
    scores = Grid(torch.zeros(2, 9, 4), torch.zeros(2, 9, 50), layout, "m")

    drawn = [random_scores(scores, seed).top(0.1) for seed in (1, 2)]

    assert all(circuit.count() == (7, 90) for circuit in drawn)
    assert not any(circuit.at("prefix").neurons.any() for circuit in drawn)
    assert not drawn[0].equal(drawn[1])


def test_nothing_is_written_for_an_unknown_parameter(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no parameter 'modalty'. Known: modality"):
        open_run(folder, tmp_path / "runs").get("discover", modalty="text")
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_without_a_denominator_there_is_no_median() -> None:
    same = replace(measured([[0.5, 0.5, 0.5, 0.5]]), model=np.zeros(4))

    assert math.isnan(same.median(0))
