"""The paired tasks: the same data in both panels, right answers, balanced, constant lengths, nothing from training."""

import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType

import pytest

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
    task = getattr(MODULES[name], name)(per_split=per_split)

    assert 3 * per_split <= len(task.items) <= 3.3 * per_split
    assert all(0.9 * per_split - 1 <= len(task.split(split)) <= 1.15 * per_split + 1 for split in SPLITS)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "per_split"), [("arithmetic", 270), ("counting", 250), ("ordering", 250), ("sentiment", 250)]
)
def test_every_split_holds_250_items_if_so_many_are_asked_for(name: str, per_split: int, seed: int) -> None:
    task = getattr(MODULES[name], name)(per_split=per_split, seed=seed)

    assert all(len(task.split(split)) >= 250 for split in SPLITS)


@pytest.mark.parametrize("per_split", [2, 37, 100])
def test_no_split_of_ordering_is_short(per_split: int) -> None:
    assert all(len(ordering.ordering(per_split=per_split, seed=1).split(split)) >= per_split for split in SPLITS)


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

    assert groups == {"plus": 203, "minus": 203, "times": 202, "over": 202}


def test_products_and_quotients_are_as_many_as_said_and_small() -> None:
    assert (len(arithmetic.pairs("×")), len(arithmetic.pairs("÷"))) == (491, 491)
    assert all(0 < int(answer) < 200 for answer in TASKS["arithmetic"].answers)


def test_expressions_of_the_same_numbers_are_never_apart() -> None:
    one, other, quotient = (arithmetic.item_of(*e) for e in (("×", 12, 14), ("×", 14, 12), ("÷", 168, 12)))
    total, difference = arithmetic.item_of("+", 23, 45), arithmetic.item_of("-", 45, 23)

    assert one.cluster == other.cluster == quotient.cluster
    assert total.cluster == difference.cluster != one.cluster


def test_look_alikes_are_each_other_s_counterfactuals_on_request() -> None:
    task = factual_recall.factual_recall(flags="alike")
    contrasts = [contrast for split in SPLITS for contrast in task.contrasts("image", split)]

    pairs = {tuple(sorted(text_of(item) for item in (c.clean, c.counterfactual))) for c in contrasts}

    assert ("Chad", "Romania") in pairs and ("Netherlands", "Paraguay") in pairs
    assert not {item.text for item in task.items} & {item.text for item in TASKS["factual_recall"].items}
