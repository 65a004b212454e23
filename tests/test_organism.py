"""The shipped organisms really do their tasks, stop after the answer, and say so truly in their cards."""

import json

import pytest
import torch
import transformers

import diptych
from diptych.items import MODALITIES, Task
from diptych.models.encode import encode_item
from diptych.models.load import organisms
from diptych.models.organism_card import Exam, shipped_tasks
from diptych.models.organism_data import prompt
from diptych.models.organism_families import FAMILIES
from diptych.models.organism_recipes import RECIPES
from diptych.models.organism_sources import held_out
from diptych.tasks.countries import named
from diptych.tasks.factual_recall import countries

TASKS = shipped_tasks()
FOLDERS = {name.removeprefix("organism/"): folder for name, folder in organisms().items()}
CARDS = {name: json.loads((folder / "card.json").read_text()) for name, folder in FOLDERS.items()}
NAMES = pytest.mark.parametrize("name", FOLDERS)
SHORT = {("llava", "counting")}
"""Answered worse than promised from text, as the card says."""
EACH = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@pytest.fixture(scope="module")
def exams() -> dict[str, Exam]:
    return {name: Exam(folder, FAMILIES[RECIPES[name].family]) for name, folder in FOLDERS.items()}


@NAMES
@EACH
def test_the_card_promises_text_and_an_image_panel_well_above_chance(
    name: str, task: Task, request: pytest.FixtureRequest
) -> None:
    if (name, task.name) in SHORT:
        request.applymarker(pytest.mark.xfail(strict=True, reason="the card says .92"))
    row = CARDS[name]["accuracy"][task.name]
    assert row["n"] == len(task.items)
    assert row["text"] >= 0.95
    assert row["image"] >= 2 * row["chance"]


@NAMES
@EACH
def test_a_few_items_are_answered_as_well_as_the_card_says(name: str, task: Task, exams: dict[str, Exam]) -> None:
    few, row = task.items[::25], CARDS[name]["accuracy"][task.name]
    for modality in MODALITIES:
        share = exams[name].marks(few, modality, task.answers)[""]
        spread = (max(row[modality] * (1 - row[modality]), 0.03) / len(few)) ** 0.5
        assert abs(share - row[modality]) <= 4 * spread


@NAMES
def test_the_card_is_of_the_shipped_recipe_and_printed_in_the_readme(name: str) -> None:
    assert CARDS[name]["recipe"] == json.loads(json.dumps(RECIPES[name].numbers()))
    text = (FOLDERS[name] / "README.md").read_text()
    for row in CARDS[name]["accuracy"].values():
        assert f"{row['image']:.3f}" in text
    assert RECIPES[name].choices in text


@NAMES
@EACH
def test_every_word_of_the_tasks_is_known(name: str, task: Task, exams: dict[str, Exam]) -> None:
    exam = exams[name]
    for item in task.items[::5]:
        known = [prompt(exam.tokenizer, exam.family, item, modality) for modality in MODALITIES]
        known.append(exam.tokenizer(item.answer, add_special_tokens=False)["input_ids"])
        assert exam.tokenizer.unk_token_id not in {token for tokens in known for token in tokens}
        assert exam.tokenizer.decode(known[-1]).replace(" ", "") == item.answer.replace(" ", "")


@NAMES
@EACH
def test_answers_differ_in_their_first_token_where_they_are_one_word(
    name: str, task: Task, exams: dict[str, Exam]
) -> None:
    words = [answer for answer in task.answers if answer.isalnum()]
    first = {exams[name].tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words}
    assert len(first) == len(words) > 3


@NAMES
def test_the_model_is_read_rightly_and_its_prompts_are_those_of_training(name: str, exams: dict[str, Exam]) -> None:
    vlm = diptych.load(f"organism/{name}")
    for modality in MODALITIES:
        tokens = encode_item(vlm, TASKS[0].items[0], modality).tokens.tolist()
        assert tokens == prompt(exams[name].tokenizer, exams[name].family, TASKS[0].items[0], modality)


@NAMES
@EACH
def test_generation_stops_after_the_answer(name: str, task: Task, exams: dict[str, Exam]) -> None:
    exam = exams[name]
    item = next(i for i in task.items if exam.marks([i], "text", task.answers)["exact"] == 1)
    ids = torch.tensor([prompt(exam.tokenizer, exam.family, item, "text")])
    made = exam.model.generate(  # type: ignore[misc]
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
    )
    said = made[0, ids.shape[1] :].tolist()
    assert said[-1] == exam.tokenizer.eos_token_id and len(said) < 12
    assert exam.tokenizer.decode(said[:-1]).replace(" ", "") == item.answer.replace(" ", "")


@NAMES
def test_countries_are_named_from_their_flags(name: str, exams: dict[str, Exam]) -> None:
    items = [named(country) for country in countries()][::6]
    promised = CARDS[name]["naming"]["image_exact"]
    assert promised >= 0.5
    assert exams[name].marks(items, "image", [item.answer for item in items])["exact"] >= promised - 0.3


def test_there_is_an_adapter_and_a_joint_organism_in_families_of_their_own() -> None:
    recipes = [RECIPES[name] for name in FOLDERS]
    assert {recipe.adapter for recipe in recipes} == {True, False}
    assert len({recipe.family for recipe in recipes}) == len(recipes)


def test_an_adapter_answers_worse_from_pictures_than_from_text() -> None:
    gaps = [
        row["text"] - row["image"]
        for name in FOLDERS
        if RECIPES[name].adapter
        for row in CARDS[name]["accuracy"].values()
    ]
    assert gaps and max(gaps) >= 0.2


def test_the_files_are_small_and_without_pickles() -> None:
    sizes = {name: sum(file.stat().st_size for file in folder.iterdir()) for name, folder in FOLDERS.items()}
    assert max(sizes.values()) < 12e6 and sum(sizes.values()) < 30e6
    suffixes = {file.suffix for folder in FOLDERS.values() for file in folder.iterdir()}
    assert suffixes <= {".safetensors", ".json", ".jinja", ".md", ""}


@NAMES
def test_weights_are_finite_and_in_bfloat16(name: str) -> None:
    model = transformers.AutoModelForImageTextToText.from_pretrained(FOLDERS[name])
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert all(bool(value.isfinite().all()) for value in model.parameters())


def test_held_out_items_are_all_of_the_lists_and_a_quarter_of_the_facts() -> None:
    shares = {task.name: sum(held_out(task.name, item) for item in task.items) / len(task.items) for task in TASKS}
    assert {name: share for name, share in shares.items() if name != "factual_recall"} == dict.fromkeys(
        ["counting", "arithmetic", "ordering", "sentiment"], 1.0
    )
    assert 0.2 < shares["factual_recall"] < 0.3
