"""The shipped organism really does its tasks; its trainer computes what Hugging Face computes and never sees a held-out item."""

import json
from pathlib import Path

import pytest
import torch
import transformers

from diptych.items import Drawing, Item, Task
from diptych.models import organism_data as data
from diptych.models.load import organisms
from diptych.models.organism import Curves, Recipe, descend, relate_words, save_organism
from diptych.models.organism_card import measure
from diptych.models.organism_lessons import Lessons
from diptych.tasks import arithmetic as arithmetic_module
from diptych.tasks import counting as counting_module
from diptych.tasks.arithmetic import arithmetic
from diptych.tasks.counting import counting

TASKS = [counting(style="shapes"), arithmetic(operators="+-", style="strokes")]
FOLDER = organisms()["organism/qwen2vl"]
EACH = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@pytest.fixture
def lessons() -> Lessons:
    """The shipped organism with a handful of training items."""
    tokenizer, processor = data.build_tokenizer(), data.build_image_processor()
    pools = {
        name: data.build_pool(data.training_items(name, 6, seed=0), tokenizer, processor) for name in data.SAMPLERS
    }
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        FOLDER, dtype=torch.float32, attn_implementation="eager"
    )
    return Lessons(model, processor, pools, dict.fromkeys(pools, 2), 0.1, 4.0, 0.1, torch.Generator().manual_seed(0))


@EACH
def test_the_organism_answers_held_out_items_in_both_panels(task: Task) -> None:
    few = Task(task.name, task.version, task.split("test")[:12], task.answers)
    accuracy = measure(FOLDER, [few])[task.name]
    assert accuracy["text_vocabulary"] >= 0.8
    assert accuracy["image_vocabulary"] >= 0.75  # chance is 0.2 and 0.01


@EACH
def test_the_card_reports_accuracies_on_all_items(task: Task) -> None:
    card = json.loads((FOLDER / "card.json").read_text())
    assert card["accuracy"][task.name]["n"] == len(task.items)
    assert f"{card['accuracy'][task.name]['image']:.3f}" in (FOLDER / "README.md").read_text()


@EACH
def test_every_answer_is_one_known_token(task: Task) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    tokens = [tokenizer(answer)["input_ids"] for answer in task.answers]
    assert {len(token) for token in tokens} == {1}
    assert len({token[0] for token in tokens} - {tokenizer.unk_token_id}) == len(task.answers)


@EACH
def test_every_word_of_the_tasks_is_known(task: Task) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    for item in task.items:
        assert tokenizer.unk_token_id not in data.prompt(tokenizer, item, "text")
        assert tokenizer.unk_token_id not in data.prompt(tokenizer, item, "image")


def test_generation_stops_after_the_answer() -> None:
    model = transformers.AutoModelForImageTextToText.from_pretrained(FOLDER, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    ids = torch.tensor([data.prompt(tokenizer, TASKS[0].items[0], "text")])
    made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False)
    assert tokenizer.decode(made[0, ids.shape[1] :]).split() == [TASKS[0].items[0].answer, "<|im_end|>"]


def test_the_files_are_small_and_without_pickles() -> None:
    files = list(FOLDER.iterdir())
    assert sum(file.stat().st_size for file in files) < 12e6
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".jinja", ".md", ""}


def test_training_items_are_never_held_out() -> None:
    for item in data.training_items("counting", 300, seed=3):
        assert not counting_module.held_out(item)
    for item in data.training_items("arithmetic", 300, seed=3):
        assert not arithmetic_module.held_out(item)


@EACH
def test_training_items_and_shipped_items_are_disjoint(task: Task) -> None:
    trained = {item.cluster for item in data.training_items(task.name, 2000, seed=0)}
    assert len(trained) > 300
    assert not trained & {item.cluster for item in task.items}


def test_the_batched_tower_equals_hugging_face(lessons: Lessons) -> None:
    patches = lessons.pools["counting"].patches[:2]
    pixels = data.normalise(patches, lessons.processor).flatten(0, 1)
    expected = lessons.model.model.visual(pixels, grid_thw=torch.tensor([data.GRID] * 2)).pooler_output
    torch.testing.assert_close(lessons.see(patches).flatten(0, 1), expected, atol=1e-5, rtol=1e-4)


def test_the_lesson_predicts_what_hugging_face_predicts(lessons: Lessons) -> None:
    pool = lessons.pools["arithmetic"]
    ids = pool.image[:1]
    pixels = data.normalise(pool.patches[:1], lessons.processor)[0]
    kinds = (ids == lessons.model.config.image_token_id).long()
    logits = lessons.model(
        input_ids=ids, pixel_values=pixels, image_grid_thw=torch.tensor([data.GRID]), mm_token_type_ids=kinds
    ).logits
    wanted = torch.tensor([ids[0, -1], lessons.model.config.text_config.eos_token_id])
    loss, _ = lessons.answer(ids, "arithmetic", lessons.see(pool.patches[:1]))
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits[0, -2:], wanted), atol=1e-4, rtol=1e-4)


def test_pixels_of_the_pool_are_those_of_the_processor(lessons: Lessons) -> None:
    item = data.training_items("counting", 1, seed=0)[0]
    assert item.image is not None
    expected = lessons.processor(images=[item.image.open()], return_tensors="pt")["pixel_values"]
    seen = data.normalise(lessons.pools["counting"].patches[:1], lessons.processor)[0]
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)


def test_image_tokens_read_the_words_of_the_text() -> None:
    for item in TASKS[0].items[:20]:
        assert [word for word in data.read_words(item) if word != data.BLANK] == (item.text or "").split()
    for item in TASKS[1].items[:20]:
        assert set(data.read_words(item)) - {data.BLANK} == set((item.text or "").split())


def test_the_same_list_is_drawn_anew_for_training() -> None:
    pictures = [item.image for item in data.training_items("arithmetic", 3000, seed=0) if item.cluster == "12,12"]
    seeds = {picture.arguments["seed"] for picture in pictures if isinstance(picture, Drawing)}
    assert len(pictures) > 1
    assert len(seeds) == len(pictures)


def test_numbers_start_as_tens_plus_units_and_plurals_as_singulars_plus_a_vector() -> None:
    vocabulary = {"star": 0, "stars": 1, "moon": 2, "moons": 3, "23": 4, "27": 5, "43": 6, "47": 7}
    words = torch.randn(8, 16)
    relate_words(words, vocabulary)
    torch.testing.assert_close(words[4] - words[5], words[6] - words[7])
    torch.testing.assert_close(words[1] - words[0], words[3] - words[2])
    assert len(words.unique(dim=0)) == 8


def test_a_lesson_changes_only_the_given_parameters(lessons: Lessons) -> None:
    before = {name: value.clone() for name, value in lessons.model.named_parameters()}
    tower = {name: value for name, value in lessons.model.named_parameters() if ".visual." in name}
    curves = Curves(every=1)
    descend("reading", tower, lessons.reading, 1, 1.0, Recipe(), curves)
    changed = {name for name, value in lessons.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == set(tower)
    assert curves.rows[0]["stage"] == "reading"


def test_saving_leaves_the_model_and_reloads_the_same(lessons: Lessons, tmp_path: Path) -> None:
    save_organism(lessons.model, tmp_path)
    again = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    for name, value in lessons.model.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(again[name], value.to(torch.bfloat16).float(), atol=0, rtol=0)


def test_a_scaled_recipe_has_fewer_steps_and_nothing_else() -> None:
    recipe, half = Recipe(), Recipe().scaled(0.5)
    assert half.joint_steps == recipe.joint_steps // 2
    assert (half.rate, half.items) == (recipe.rate, recipe.items)


def test_the_answer_is_in_every_training_row(lessons: Lessons) -> None:
    items: list[Item] = data.training_items("counting", 6, seed=0)
    tokenizer = data.build_tokenizer()
    answers = [tokenizer.decode([row[-1]]) for row in lessons.pools["counting"].text.tolist()]
    assert answers == [item.answer for item in items]
