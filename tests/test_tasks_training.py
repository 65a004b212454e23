"""What an organism may be trained on, the difficulty of tasks, and what no task can be."""

import random

import pytest

from diptych.errors import InputError
from diptych.tasks import factual_recall
from diptych.tasks._marks import marks
from test_tasks import EACH, MODULES, NAMES_IN_TEXT, TASKS, text_of

ALL_HELD_OUT = pytest.mark.parametrize("name", ["arithmetic", "counting", "ordering", "sentiment"])


@ALL_HELD_OUT
def test_shipped_items_are_held_out(name: str) -> None:
    assert all(MODULES[name].held_out(item) for item in TASKS[name].items)


@EACH
def test_training_never_shows_pictures_of_what_is_held_out(name: str) -> None:
    chance, held = random.Random(0), {item.cluster for item in TASKS[name].items}
    shown = [MODULES[name].training_item(chance, "image") for _ in range(1000)]

    assert len({item.id for item in shown}) > 300
    assert not any(MODULES[name].held_out(item) for item in shown)
    assert name == "factual_recall" or not held & {item.cluster for item in shown}


@ALL_HELD_OUT
def test_training_text_has_what_is_held_out_only_if_it_must_be_learnt_by_heart(name: str) -> None:
    chance = random.Random(0)
    read = [MODULES[name].training_item(chance, "text") for _ in range(2000)]

    found = {item.group for item in read if MODULES[name].held_out(item)}

    assert found == ({"times", "over"} if name == "arithmetic" else set())


def test_a_flag_is_shown_with_some_questions_and_kept_from_others() -> None:
    items = TASKS["factual_recall"].items
    shown = {item.cluster for item in items if not factual_recall.held_out(item)}
    held = [item for item in items if factual_recall.held_out(item)]

    assert 0.2 < len(held) / len(items) < 0.3
    assert len({item.cluster for item in held} & shown) > 100
    assert any(
        map(factual_recall.held_out, (factual_recall.training_item(random.Random(n), "text") for n in range(50)))
    )


@pytest.mark.parametrize(
    ("name", "difficulty", "shown"),
    [
        ("counting", {"objects": 16, "others": 3}, 16),
        ("counting", {"style": "shapes", "others": 1}, 8),
        ("ordering", {"objects": 6, "depth": 0.0}, 6),
        ("sentiment", {"faces": 5, "dissenters": 2, "props": 4}, 9),
        ("sentiment", {"faces": 3, "props": 0}, 3),
    ],
)
def test_difficulty_is_what_was_asked_for(name: str, difficulty: dict[str, object], shown: int) -> None:
    task = getattr(MODULES[name], name)(per_split=20, **difficulty)
    trained = MODULES[name].training_item(random.Random(0), **difficulty)

    for item in (*task.items, trained):
        assert len(marks(item)) == shown
        assert [mark.name for mark in marks(item)] == NAMES_IN_TEXT[name](text_of(item))


@pytest.mark.parametrize(
    ("name", "difficulty", "message"),
    [
        ("arithmetic", {"per_split": 1}, r"cannot have 1 items per split. Give a number from 2 to \d+\."),
        ("arithmetic", {"per_split": 400}, r"cannot have 400 items per split. Give a number from 2 to \d+\."),
        ("arithmetic", {"operators": ""}, "has no operators ''. Give one or more of"),
        ("arithmetic", {"operators": "+^"}, r"has no operators '\+\^'. Give one or more of \+-×÷, each once"),
        ("arithmetic", {"operators": "++"}, "each once"),
        ("arithmetic", {"style": "ink"}, "has no style 'ink'. Known: print, strokes"),
        ("counting", {"per_split": 1001}, "cannot have 1001 items per split. Give a number from 2 to 1000"),
        ("counting", {"style": "ink"}, "has no style 'ink'. Known: emoji, shapes"),
        ("counting", {"objects": 7}, "cannot have 7 objects. Give a number from 8 to 16"),
        ("counting", {"others": 4}, "cannot have 4 other kinds. Give a number from 1 to 3"),
        ("counting", {"per_split": 1000, "style": "shapes", "others": 1}, "too few different lists of 8 objects"),
        ("factual_recall", {"relations": ("river",)}, r"has no relations \('river',\). Give some of capital"),
        ("factual_recall", {"relations": ()}, "Give some of capital, continent, language, currency, each once"),
        ("factual_recall", {"flags": "none"}, "has no flags 'none'. Known: distinct, alike, all"),
        ("ordering", {"per_split": 0}, "cannot have 0 items per split. Give a number from 2 to 1000"),
        ("ordering", {"objects": 7}, "cannot have 7 objects. Give a number from 3 to 6"),
        ("ordering", {"depth": 1.5}, "cannot have depth 1.5. Give a number from 0 to 1"),
        ("sentiment", {"per_split": 601}, "cannot have 601 items per split. Give a number from 2 to 600"),
        ("sentiment", {"faces": 7}, "cannot have 7 faces. Give a number from 3 to 6"),
        ("sentiment", {"dissenters": 2}, "cannot have 2 dissenters of 4 faces. Give fewer than half"),
        ("sentiment", {"props": 5}, "cannot have 5 props. Give a number from 0 to 4"),
        ("sentiment", {"faces": 3, "dissenters": 0, "per_split": 600}, "too few different lists of 3 faces"),
    ],
)
def test_an_impossible_task_is_refused(name: str, difficulty: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        getattr(MODULES[name], name)(**difficulty)


def test_a_fact_that_is_left_out_cannot_be_asked_for() -> None:
    (country,) = [c for c in factual_recall.countries("all") if c.name == "South Africa"]

    with pytest.raises(InputError, match="No single capital of South Africa is known. Choose one of its other facts"):
        factual_recall.item_of(country, "capital")
