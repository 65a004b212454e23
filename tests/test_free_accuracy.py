"""Free answers: matched by name, counted per panel, and asked once more with a back-patch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import diptych
from diptych.errors import InputError
from diptych.experiments._text import from_lines
from diptych.experiments.free_accuracy import _Answers
from diptych.interventions import patch_residuals
from diptych.items import SPLITS, Item, Task
from diptych.matching import accepted_answers, matcher
from diptych.models.encode import encode_item
from diptych.models.generate import generate
from diptych.models.handed import record_handed
from diptych.models.vlm import VLM
from diptych.result import Result
from diptych.run import Run, Store
from diptych.run.source import ModelSource
from lab.few_counting import few_counting
from prompts import Noise
from test_vqav2 import ANNOTATIONS, QUESTIONS, release
from tiny import tiny


def open_run(store: Path, task: Task, model: str = "organism/gemma3") -> Run:
    return Run(model, task, store=Store(store), batch_size=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    task = few_counting()
    few = [item for split in SPLITS for item in task.split(split)[::2]]
    return open_run(tmp_path_factory.mktemp("runs"), replace(task, items=tuple(few)))


@pytest.fixture(scope="module")
def result(run: Run) -> Result:
    return run.get("free_accuracy", cell=(3, 0, 3), max_new_tokens=4)


def rows(result: Result) -> dict[str, dict[str, Any]]:
    return {str(row["panel"]): dict(row) for row in result.rows}


def test_each_panel_s_answers_are_those_generated_one_by_one_and_matched(run: Run, result: Result) -> None:
    vlm, items = run.vlm, run.task.split("test")
    grids = run.grids(result)

    for panel in ("text", "image"):
        texts = [generate(vlm, [encode_item(vlm, item, panel)], max_new_tokens=4)[0] for item in items]
        scores = [matcher("alias")(t, accepted_answers(i)) for t, i in zip(texts, items, strict=True)]
        assert from_lines(grids[f"{panel}.texts"]) == texts and len(set(texts)) > 1
        assert grids[f"{panel}.scores"].tolist() == scores and sum(scores) > 0
        assert rows(result)[panel]["accuracy"] == pytest.approx(sum(scores) / len(items))
        assert rows(result)[panel]["n"] == len(items) == 6


def test_the_patched_panel_is_what_the_experiment_s_cell_writes_and_its_gain_is_paired(
    run: Run, result: Result
) -> None:
    vlm, items = run.vlm, run.task.split("test")
    grids = run.grids(result)
    texts = []
    for item in items:
        prompt = encode_item(vlm, item, "image")
        with torch.no_grad(), record_handed(vlm) as own:
            vlm.run(vlm.capture(prompt.inputs))
        values = {destination: own[source] for source, destination in ((3, 0), (4, 1))}
        edits = patch_residuals(vlm, prompt.layout.data, values)
        texts += generate(vlm, [prompt], max_new_tokens=4, edits=lambda places, edits=edits: edits)

    written = {panel: from_lines(grids[f"{panel}.texts"]) for panel in ("image", "image, patched")}
    assert written["image, patched"] == texts != written["image"]
    gains = grids["image, patched.scores"] - grids["image.scores"]
    row = rows(result)["image, patched"]
    assert row["gain"] == pytest.approx(float(gains.mean())) and row["gain low"] <= row["gain"] <= row["gain high"]
    assert (row["helped"], row["hurt"]) == (int((gains > 0).sum()), int((gains < 0).sum()))
    assert rows(result)["image"]["gain"] is None and "the back-patch changes it by" in result.summary


def test_no_hook_is_left_and_without_a_cell_there_is_no_patched_panel(run: Run, result: Result) -> None:
    assert not any(layer._forward_hooks for layer in run.vlm.layers) and "forward" not in vars(run.vlm.sites.decoder)

    assert list(rows(run.get("free_accuracy", max_new_tokens=4))) == ["text", "image"]


def items_of(*queries: str) -> list[Item]:
    return [
        Item(f"{n}", None, Noise(f"{n}"), query, "two", accepted=("2",), cluster=f"{n % 3}")
        for n, query in enumerate(queries)
    ]


def test_what_was_matched_echoed_and_left_empty_is_counted_by_hand() -> None:
    items = items_of("How many ?", "Two or three ?", "How many ?", "Are there 2 ?")
    plain = _Answers("image", items, "image", ["Two.", "two", "", "five"], "alias")
    patched = _Answers("image, patched", items, "image", ["2", "five", "2", "five"], "alias")

    row, changed = plain.row(None, 0), patched.row(plain, 0)

    assert (row["accuracy"], row["matched"], row["wrote nothing"], row["echoes of the prompt"]) == (0.5, 2, 1, 1)
    assert (changed["accuracy"], changed["gain"], changed["helped"], changed["hurt"]) == (0.5, 0.0, 1, 1)


def test_soft_scores_of_vqa_are_means_and_every_score_above_zero_is_matched() -> None:
    item = Item("q", None, Noise("q"), "What is it ?", "cat", accepted=("cat",) * 2 + ("dog",) * 8)

    row = _Answers("image", [item, item], "image", ["cat", "bird"], "vqa").row(None, 0)

    assert row["accuracy"] == pytest.approx((2 / 3 * 0.8 + 1 / 3 * 0.2) / 2) and row["matched"] == 1


def released(folder: Path) -> Task:
    """VQAv2 as it is released."""
    release(folder, pictures=range(1, 13))
    files = {"questions": QUESTIONS, "annotations": ANNOTATIONS, "images": "val2014"}
    return diptych.make_task("vqav2", **{name: str(folder / file) for name, file in files.items()})


def popvqa(folder: Path) -> Task:
    """Two tables with the columns of PopVQA."""
    entities, questions = ["s_uri,subject,picture"], ["s_uri,question,question_for_image,possible_answers"]
    for n in range(12):
        Image.new("RGB", (32, 32), (9 * n, 0, 0)).save(folder / f"{n}.png")
        entities.append(f"Q{n},number {n},{n}.png")
        questions.append(f"Q{n},How many is number {n} ?,How many is this ?,['several {n}']")
    (folder / "entities.csv").write_text("\n".join(entities))
    (folder / "questions.csv").write_text("\n".join(questions))
    names = {"id": "s_uri", "name": "subject", "image": "picture"}
    columns = {
        "entity": "s_uri",
        "by_name": "question",
        "by_image": "question_for_image",
        "accepted": "possible_answers",
    }
    return diptych.make_task("entities", path=str(folder), entity_columns=names, question_columns=columns)


@pytest.mark.parametrize(
    ("made", "match", "panels"),
    [(released, "vqa", ["image", "image, patched"]), (popvqa, "popvqa", ["text", "image", "image, patched"])],
)
def test_data_sets_as_they_are_released_are_answered_freely(
    tmp_path: Path, made: Callable[[Path], Task], match: str, panels: list[str]
) -> None:
    task = made(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    run = Run(str(tmp_path), task, store=Store(tmp_path / "runs"), load=lambda source: tiny("llava"))

    found = run.get("free_accuracy", match=match, max_new_tokens=2, cell=(2, 0, 1))

    assert list(rows(found)) == panels and found.conditions["cell"] == "layer 2 into 0, window 1, rounds 1"
    items = task.split("test")
    assert all(found.conditions[f"n {panel}"] == rows(found)[panel]["n"] == len(items) > 2 for panel in panels)
    for panel in panels:
        texts = from_lines(run.grids(found)[f"{panel}.texts"])
        assert any(texts)
        expected = [matcher(match)(text, accepted_answers(item)) for text, item in zip(texts, items, strict=True)]
        assert run.grids(found)[f"{panel}.scores"].tolist() == expected


def test_texts_are_written_once_for_all_matchers_and_all_cells(run: Run, result: Result) -> None:
    def refuse(source: ModelSource) -> VLM:
        raise AssertionError("the model is not needed")

    again = Run("organism/gemma3", run.task, store=run.store, batch_size=5, load=refuse)

    exact = again.get("free_accuracy", cell=(3, 0, 3), max_new_tokens=4, match="exact")
    plain = again.get("free_accuracy", max_new_tokens=4, match="popvqa")

    assert exact.conditions["match"] == "exact" and list(rows(plain)) == ["text", "image"]
    for panel in rows(result):
        written = [from_lines(run.grids(one)[f"{panel}.texts"]) for one in (result, exact)]
        assert written[0] == written[1]
    (used, *_) = exact.identity["inputs"]
    assert used["experiment"] == "free_answers" and used in result.identity["inputs"]


def test_a_matcher_that_cannot_judge_an_item_is_refused_before_anything_is_generated(tmp_path: Path) -> None:
    run = open_run(tmp_path, Task("few", 1, tuple(items_of(*"abcdef")), ("two",)))

    with pytest.raises(InputError, match="of task 'few' cannot be judged. Matcher 'vqa' got the answers of 1 annot"):
        run.get("free_accuracy", match="vqa")


def test_a_cell_for_a_task_without_pictures_is_refused(tmp_path: Path) -> None:
    told = tuple(Item(f"{n}", "1 2", None, "How many ?", "2", cluster=f"{n}") for n in range(6))
    run = open_run(tmp_path, Task("told", 1, told, ("2",)))

    with pytest.raises(InputError, match="shows no pictures, so there is nothing to back-patch"):
        run.get("free_accuracy", cell=(2, 0, 1))


def test_a_text_panel_cannot_be_patched_and_an_empty_one_not_be_asked(run: Run, tmp_path: Path) -> None:
    told = tuple(Item(f"{n}", "1 2", None, "How many ?", "2", cluster=f"{n}") for n in range(6))

    with pytest.raises(InputError, match="back-patch is of pictures, and the text panel shows none. Leave out `cell`"):
        run.get("free_answers", modality="text", cell=(2, 0, 1))
    with pytest.raises(InputError, match="Task 'told' has no image panel in split 'test'"):
        open_run(tmp_path, Task("told", 1, told, ("2",))).get("free_answers", modality="image")


def test_texts_are_equal_however_prompts_are_batched() -> None:
    vlm = tiny("llava")
    every = [
        encode_item(vlm, item, "image") for item in items_of("How many ?", "What is the result ?", "How many are ?")
    ]

    assert generate(vlm, every, batch_size=1) == generate(vlm, every, batch_size=3)
