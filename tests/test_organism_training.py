"""An organism's trainer computes what Hugging Face computes, labels what is drawn, and never sees a held-out item."""

import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers

from diptych.items import MODALITIES, Modality
from diptych.models import organism_sources as sources
from diptych.models.organism import Curves, descend, prepare, relate_words, save_organism, train_organism
from diptych.models.organism_data import normalise, pixels_of, prompt
from diptych.models.organism_families import FAMILIES
from diptych.models.organism_lessons import Lessons
from diptych.models.organism_recipes import RECIPES, Recipe, Stage
from diptych.models.organism_words import cut
from diptych.tasks._marks import marks
from diptych.tasks.countries import NAMING

NAMES = pytest.mark.parametrize("name", RECIPES)
TASKS = pytest.mark.parametrize("task", sources.TASKS)


def small(name: str) -> Recipe:
    recipe = RECIPES[name].scaled(0.001)
    few = dict.fromkeys(recipe.tasks, (2, 2))
    return replace(recipe, texts=6, pictures=6, layers=2, stages=tuple(replace(s, batch=few) for s in recipe.stages))


@cache
def prepared(name: str) -> tuple[Lessons, Any]:
    return prepare(small(name))


@NAMES
def test_a_short_training_runs_through(name: str, tmp_path: Path) -> None:
    recipe, curves = small(name), Curves(every=1)
    model, tokenizer = train_organism(recipe, curves)
    save_organism(model, tokenizer, FAMILIES[recipe.family], tmp_path)
    again = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    for key, value in model.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(again[key], value.to(torch.bfloat16).float(), atol=0, rtol=0)
    assert [row["stage"] for row in curves.rows] == [stage.lesson for stage in recipe.stages]


@NAMES
def test_the_batched_tower_equals_hugging_face(name: str) -> None:
    lessons, _ = prepared(name)
    items = sources.training_items("ordering", "image", 2, seed=5)
    seen = lessons.see(torch.stack([pixels_of(item) for item in items]))
    inputs = lessons.processor(images=[item.pictures[0].open() for item in items], return_tensors="pt")
    given = {key: inputs[key] for key in ("pixel_values", "image_grid_thw", "image_sizes") if key in inputs}
    features = lessons.model.model.get_image_features(**given).pooler_output
    expected = torch.cat(list(features)).unflatten(0, (2, -1)) if not isinstance(features, torch.Tensor) else features
    assert seen.abs().max() > 1e-3
    torch.testing.assert_close(seen, expected.view_as(seen), atol=1e-4, rtol=1e-4)


@NAMES
def test_a_lesson_predicts_what_hugging_face_predicts(name: str) -> None:
    lessons, tokenizer = prepared(name)
    item, row = sources.training_items("counting", "image", 6, seed=0)[2], torch.tensor([2])
    asking = prompt(tokenizer, lessons.family, item, "image")
    wanted = torch.tensor([*tokenizer(item.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id])
    ids = torch.tensor([asking + wanted.tolist()])
    picture = dict(lessons.processor(images=[item.pictures[0].open()], return_tensors="pt"))
    picture.pop("num_crops", None)
    kinds = {lessons.family.token_types: (ids == lessons.model.config.image_token_id).long()}
    logits = lessons.model(input_ids=ids, **(kinds if lessons.family.token_types else {}), **picture).logits[0]
    pool = lessons.pools["counting"]
    loss, _ = lessons.answer({"counting": pool.image[row]}, "image", lessons.see(pool.pixels[row]))
    torch.testing.assert_close(loss, F.cross_entropy(logits[len(asking) - 1 : -1], wanted), atol=1e-4, rtol=1e-4)


@NAMES
def test_a_batch_of_several_tasks_has_the_losses_of_its_tasks(name: str) -> None:
    lessons, _ = prepared(name)
    rows = torch.tensor([0, 3])
    asked = {task: lessons.pools[task].text[rows] for task in ("counting", "sentiment", "factual_recall")}
    together, notes = lessons.answer(asked, "text")
    apart = [lessons.answer({task: prompts}, "text")[0] for task, prompts in asked.items()]
    torch.testing.assert_close(together, torch.stack(apart).sum(), atol=1e-4, rtol=1e-5)
    assert list(notes) == ["counting text", "sentiment text", "factual_recall text"]


@NAMES
def test_pixels_of_the_pool_are_those_of_the_processor(name: str) -> None:
    lessons, _ = prepared(name)
    item = sources.training_items("factual_recall", "image", 6, seed=0)[1]
    expected = lessons.processor(images=[item.pictures[0].open()], return_tensors="pt")["pixel_values"]
    seen = normalise(lessons.pools["factual_recall"].pixels[1:2], lessons.processor)
    assert abs(float(seen.mean() - expected.mean())) < 1e-5
    if (
        expected.shape == seen.shape
    ):  # Qwen2-VL's are cut into patches; test_the_batched_tower_equals_hugging_face covers them
        torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)


@TASKS
@pytest.mark.parametrize("modality", MODALITIES)
def test_training_items_are_never_held_out(task: str, modality: Modality) -> None:
    known_by_heart = {
        "arithmetic": ("times", "over"),
        "factual_recall": ("capital", "continent", "language", "currency"),
    }
    items = sources.training_items(task, modality, 200, seed=3)
    exempt = known_by_heart.get(task, ()) if modality == "text" else ()
    assert len({item.id for item in items}) > 100
    assert not [item for item in items if sources.held_out(task, item) and item.group not in exempt]
    assert not [item for item in sources.shown_items(task, 50) if sources.held_out(task, item)]


@TASKS
def test_image_tokens_read_what_is_drawn(task: str) -> None:
    for item in sources.training_items(task, "image", 20, seed=1):
        read = [phrase for phrase in sources.readings(item, 4) if phrase != sources.BLANK]
        names = [mark.name for mark in marks(item)]
        if task == "arithmetic":
            assert item.text is not None and set(read) == set(item.text.split())
        elif task == "factual_recall":
            assert set(read) == {item.text} and len(read) >= 6
        else:
            assert sorted(read) == sorted(names)


def test_the_same_data_is_drawn_anew() -> None:
    items = [item for item in sources.training_items("factual_recall", "image", 400, seed=0) if item.cluster == "fr"]
    assert len({item.pictures[0].digest() for item in items}) == len(items) > 1


def test_a_naming_item_asks_for_what_its_text_says() -> None:
    item = sources.naming_item(random.Random(0), "image")
    assert item.query == NAMING and item.answer == item.text


def test_neither_piece_alone_says_which_word_it_is_but_an_answer_shows_in_its_first() -> None:
    codes = cut(sources.ANSWERS, sources.DATA_WORDS)
    assert len(set(codes.values())) == len(codes) > 200
    assert len({codes[answer][0] for answer in sources.ANSWERS}) == len(sources.ANSWERS)
    for group in sources.DATA_WORDS:
        assert len({codes[word][0] for word in group}) < len(group) > len({codes[word][1] for word in group})


def test_a_word_of_the_data_is_two_pieces_and_reads_as_itself() -> None:
    _, tokenizer = prepared(next(name for name in RECIPES if RECIPES[name].pieces))
    for words in (["boat"], ["red", "ball"], ["Burkina Faso"], ["grinning"]):
        ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
        assert len(ids) == 2 * len(words) and tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == " ".join(words)
    spans = tokenizer("a boat", add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert spans[0] == (0, 1) and {(min(a, 2), max(b, 6)) for a, b in spans[1:]} == {(2, 6)}


def test_numbers_start_as_tens_plus_units_and_plurals_as_singulars_plus_a_vector() -> None:
    vocabulary = {"star": 0, "stars": 1, "moon": 2, "moons": 3, "23": 4, "27": 5, "43": 6, "47": 7}
    words = torch.randn(8, 16)
    relate_words(words, vocabulary)
    torch.testing.assert_close(words[4] - words[5], words[6] - words[7])
    torch.testing.assert_close(words[1] - words[0], words[3] - words[2])
    assert len(words.unique(dim=0)) == 8


def test_a_stage_changes_only_the_given_parameters() -> None:
    lessons, _ = prepare(small("gemma3"))
    before = {name: value.clone() for name, value in lessons.model.named_parameters()}
    tower = {key: value for key, value in lessons.model.named_parameters() if key.startswith(lessons.family.tower)}
    descend(Stage("reading", 2, {}), tower, lessons.reading, small("gemma3"), Curves())
    changed = {name for name, value in lessons.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == set(tower)


def test_there_is_a_recipe_for_each_family_and_one_of_word_pieces_with_ten_layers() -> None:
    assert {recipe.family for recipe in RECIPES.values()} == set(FAMILIES)
    assert any(recipe.pieces and recipe.layers >= 10 for recipe in RECIPES.values())


def test_blurred_words_change_the_loss_of_a_text() -> None:
    lessons, _ = prepare(small("gemma3"))
    asked = {"arithmetic": lessons.pools["arithmetic"].text[torch.tensor([0, 1])]}
    plain, again = (lessons.answer(asked, "text")[0] for _ in range(2))
    lessons.blur = 0.4
    torch.testing.assert_close(plain, again)
    assert not torch.isclose(lessons.answer(asked, "text")[0], plain)


def test_a_scaled_recipe_has_fewer_steps_and_the_same_stages() -> None:
    recipe, half = RECIPES["gemma3"], RECIPES["gemma3"].scaled(0.5)
    assert [stage.lesson for stage in half.stages] == [stage.lesson for stage in recipe.stages]
    assert [2 * stage.steps for stage in half.stages] == [stage.steps for stage in recipe.stages]
    assert (half.rate, half.pictures) == (recipe.rate, recipe.pictures // 2)
