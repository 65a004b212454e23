"""The paired tasks: the same data in both panels, right answers, balanced, constant lengths, nothing from training."""

import random
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType

import pytest

from diptych.errors import InputError
from diptych.items import MODALITIES, SPLITS, Item, Task
from diptych.tasks import arithmetic, counting, factual_recall, ordering, sentiment
from diptych.tasks._marks import marks

MODULES: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module for module in (arithmetic, counting, factual_recall, ordering, sentiment)
}
TASKS: dict[str, Task] = {name: getattr(module, name)() for name, module in MODULES.items()}
EACH = pytest.mark.parametrize("name", TASKS)
GENERATED = pytest.mark.parametrize("name", [name for name in TASKS if name != "factual_recall"])


def text_of(item: Item) -> str:
    assert item.text is not None
    return item.text


@GENERATED
@pytest.mark.parametrize("per_split", [2, 100, 250])
def test_splits_hold_about_as_many_items_as_asked_for(name: str, per_split: int) -> None:
    if (name, per_split) == ("arithmetic", 250):
        per_split = 240

    task = getattr(MODULES[name], name)(per_split=per_split)

    assert len(task.items) == 3 * per_split
    assert all(0.9 * per_split - 1 <= len(task.split(split)) <= 1.1 * per_split + 1 for split in SPLITS)


@EACH
def test_no_data_is_in_two_splits(name: str) -> None:
    texts = [{item.text for item in TASKS[name].split(split)} for split in SPLITS]

    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]


@GENERATED
def test_the_same_seed_gives_the_same_items_and_another_seed_others(name: str) -> None:
    function = getattr(MODULES[name], name)

    assert function(seed=0).digest() == TASKS[name].digest()
    assert function(seed=1).digest() != TASKS[name].digest()


@GENERATED
def test_prompts_of_a_task_have_one_length_in_words(name: str) -> None:
    lengths = {tuple(len(part.split()) for part in (text_of(i), i.query, i.answer)) for i in TASKS[name].items}

    assert len(lengths) == 1


@EACH
def test_both_panels_get_the_same_counterfactual_for_nearly_every_item(name: str) -> None:
    task = TASKS[name]

    text, image = (task.contrasts(modality, "test") for modality in MODALITIES)

    assert [(c.clean.id, c.counterfactual.id) for c in text] == [(c.clean.id, c.counterfactual.id) for c in image]
    assert len(text) >= 0.97 * len(task.split("test"))  # in a small group all answers of one half may be alike


@EACH
def test_a_counterfactual_has_the_same_query_and_other_data(name: str) -> None:
    for contrast in TASKS[name].contrasts("text", "discover"):
        assert contrast.clean.query == contrast.counterfactual.query
        assert contrast.clean.text != contrast.counterfactual.text


NAMES_IN_TEXT: dict[str, Callable[[str], list[str]]] = {
    "arithmetic": lambda text: list(text.replace(" ", "")),
    "counting": str.split,
    "factual_recall": lambda text: [text],
    "ordering": lambda text: re.findall(r"\ba (\w+ \w+)", text),
    "sentiment": lambda text: re.findall(r"one is (\w+)", text) + re.findall(r"\ba (\w+)", text),
}
"""What a reader of the text would expect to see, in order."""


@EACH
def test_the_picture_shows_the_data_of_the_text_in_its_order(name: str) -> None:
    for item in TASKS[name].items:
        assert [mark.name for mark in marks(item)] == NAMES_IN_TEXT[name](text_of(item))


def asked_place(item: Item) -> str:
    ordinal, side = re.findall(r"the (\w+) object from the (\w+)", item.query)[0]
    colours = re.findall(r"\ba (\w+)", text_of(item))
    place = ["first", "second", "third", "fourth", "fifth", "sixth"].index(ordinal)
    return (colours if side == "left" else colours[::-1])[place]


def asked_mood(item: Item) -> str:
    moods = {
        "happy": "grinning laughing smiling",
        "sad": "crying frowning sobbing",
        "angry": "fuming scowling shouting",
        "scared": "screaming sweating trembling",
    }
    felt = Counter(mood for word in text_of(item).split() for mood in moods if word.strip(".,") in moods[mood].split())
    (mood, most), *others = felt.most_common()
    assert all(count < most for _, count in others)
    return mood


def asked_result(item: Item) -> str:
    a, sign, b = text_of(item).split()
    first, second = Fraction(a), Fraction(b)
    return str({"+": first + second, "-": first - second, "×": first * second, "÷": first / second}[sign])


def asked_number(item: Item) -> str:
    return str(text_of(item).split().count(re.findall(r"many (\w+)s", item.query)[0]))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("arithmetic", asked_result),
        ("counting", asked_number),
        ("ordering", asked_place),
        ("sentiment", asked_mood),
    ],
)
def test_answers_are_right(name: str, asked: Callable[[Item], str]) -> None:
    assert [item.answer for item in TASKS[name].items] == [asked(item) for item in TASKS[name].items]


@pytest.mark.parametrize(
    ("name", "share"), [("arithmetic", 0.05), ("counting", 0.21), ("ordering", 0.14), ("sentiment", 0.26)]
)
def test_who_always_gives_the_most_frequent_answer_is_rarely_right(name: str, share: float) -> None:
    answers = Counter(item.answer for item in TASKS[name].items)

    assert max(answers.values()) <= share * len(TASKS[name].items)


@pytest.mark.parametrize(
    ("relation", "answer", "share"),
    [
        ("capital", None, 0.01),
        ("continent", "Africa", 0.29),
        ("language", "English", 0.19),
        ("currency", "dollar", 0.17),
    ],
)
def test_the_most_frequent_fact_is_the_one_the_task_tells(relation: str, answer: str | None, share: float) -> None:
    answers = Counter(item.answer for item in TASKS["factual_recall"].items if item.group == relation)

    (top, number), *_ = answers.most_common()

    assert top == answer or (answer is None and number == 1)
    assert round(number / answers.total(), 2) == share


def test_every_kind_has_every_count_equally_often() -> None:
    pairs = Counter((item.group, item.answer) for item in counting.counting(per_split=100).items)

    assert (len(pairs), set(pairs.values())) == (12 * 5, {5})


def test_every_operator_is_equally_frequent() -> None:
    groups = Counter(item.group for item in TASKS["arithmetic"].items)

    assert groups == {"plus": 75, "minus": 75, "times": 75, "over": 75}


def test_products_and_quotients_are_as_many_as_said_and_small() -> None:
    assert (len(arithmetic.pairs("×")), len(arithmetic.pairs("÷"))) == (491, 491)
    assert all(0 < int(answer) < 200 for answer in TASKS["arithmetic"].answers)


def test_expressions_of_the_same_numbers_are_never_apart() -> None:
    one, other, quotient = (arithmetic.item_of(*e) for e in (("×", 12, 14), ("×", 14, 12), ("÷", 168, 12)))
    total, difference = arithmetic.item_of("+", 23, 45), arithmetic.item_of("-", 45, 23)

    assert one.cluster == other.cluster == quotient.cluster
    assert total.cluster == difference.cluster != one.cluster


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


def test_look_alikes_are_each_other_s_counterfactuals_on_request() -> None:
    task = factual_recall.factual_recall(flags="alike")
    contrasts = [contrast for split in SPLITS for contrast in task.contrasts("image", split)]

    pairs = {tuple(sorted(text_of(item) for item in (c.clean, c.counterfactual))) for c in contrasts}

    assert ("Chad", "Romania") in pairs and ("Netherlands", "Paraguay") in pairs
    assert not {item.text for item in task.items} & {item.text for item in TASKS["factual_recall"].items}


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
