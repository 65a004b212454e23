"""Items, tasks and contrasts check themselves; splits and counterfactuals are fair and repeatable (methods §3)."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diptych.errors import InputError
from diptych.items import MODALITIES, SPLITS, Contrast, Drawing, Item, Task
from laws import LAWS


def grey(shade: int) -> Image.Image:
    return Image.new("RGB", (2, 2), (shade, shade, shade))


def black(shade: int) -> Image.Image:
    return Image.new("RGB", (2, 2))


def item(number: int, **changes: Any) -> Item:
    """A paired item of group even or odd, with one of three answers."""
    plain = Item(
        id=f"i{number}",
        text=f"x{number}",
        image=Drawing(grey, {"shade": number % 256}),
        query="Which?",
        answer="abc"[number // 2 % 3],
        group=("even", "odd")[number % 2],
    )
    return replace(plain, **changes)


def task(items: tuple[Item, ...] = tuple(map(item, range(60))), **changes: Any) -> Task:
    return replace(Task("letters", 1, items, ("a", "b", "c")), **changes)


BROKEN_ITEMS = {
    "no id": ({"id": " "}, "has an empty id. Every item needs an id, a query and an answer"),
    "no query": ({"query": ""}, "Item 'i0' has an empty query"),
    "no answer": ({"answer": "\n"}, "Item 'i0' has an empty answer"),
    "an empty text": ({"text": ""}, "Item 'i0' has an empty text. Every item needs an id, a query and an answer; text may be"),
    "a blank text": ({"text": " \n"}, "Item 'i0' has an empty text"),
    "no panel": ({"text": None, "image": None}, "Item 'i0' has neither text nor image. Give at least one panel"),
    "a bell in its text": ({"text": "a\x07"}, "Item 'i0' has control characters in its text: U+0007. Remove them"),
    "a null in its query": ({"query": "a\0b\x1b"}, "control characters in its query: U+0000, U+001B"),
    "a bell in an accepted answer": ({"accepted": ("a\a",)}, "control characters in its accepted answers: U+0007"),
    "a bell in its group": ({"group": "a\a"}, "control characters in its group: U+0007"),
    "half a character": ({"text": "a\ud800"}, "control characters in its text: U+D800"),
    "a sentence without its text": ({"sentence": "What is y0?"}, "does not hold its text 'x0' exactly once: 'What is y0?'. Write"),
    "a sentence with its text twice": ({"sentence": "Is x0 x0?"}, "does not hold its text 'x0' exactly once"),
    "a sentence without a text panel": ({"sentence": "Is x0?", "text": None}, "does not hold its text 'None' exactly once"),
    "an unknown split": ({"split": "train"}, "Item 'i0' is of split 'train'. Expected discover, select, test, or none for all"),
    "a return in its answer": ({"answer": "a\r"}, "control characters in its answer: U+000D"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_ITEMS)
def test_an_item_that_cannot_be_asked_is_refused(what: str) -> None:
    changes, message = BROKEN_ITEMS[what]

    with pytest.raises(InputError) as raised:
        item(0, **changes)

    assert message in str(raised.value)


def test_line_breaks_tabs_and_other_scripts_are_allowed() -> None:
    assert item(0, text="ä\n\t日本 🙂 é").text == "ä\n\t日本 🙂 é"


def test_an_item_without_cluster_is_a_cluster_of_its_own() -> None:
    assert item(7).cluster == "i7"
    assert item(7, cluster="scene").cluster == "scene"


def test_an_item_is_paired_if_it_has_both_panels() -> None:
    text, image = item(0, image=None), item(0, text=None)

    assert [item(0).paired, text.paired, image.paired] == [True, False, False]
    assert [[one.has(modality) for modality in MODALITIES] for one in (text, image)] == [[True, False], [False, True]]


BROKEN_CONTRASTS = {
    "a clean panel": (item(0, image=None), item(2), "Item 'i0' has no image panel. Choose items that have one"),
    "a counterfactual panel": (item(0), item(2, image=None), "Item 'i2' has no image panel"),
    "one group": (item(0), item(3), "Items 'i0' and 'i3' are of groups 'even' and 'odd'. A contrast needs two items of one group"),
    "another answer": (item(0), item(6), "Items 'i0' and 'i6' have the same answer 'a'. A contrast needs different answers"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_CONTRASTS)
def test_a_contrast_without_what_it_needs_is_refused(what: str) -> None:
    clean, counterfactual, message = BROKEN_CONTRASTS[what]

    with pytest.raises(InputError) as raised:
        Contrast("image", clean, counterfactual)

    assert message in str(raised.value)


BROKEN_TASKS = {
    "no items": ({"items": ()}, "Task 'letters' has no items. Give at least two per split"),
    "one id twice": ({"items": (item(0), item(2), item(0))}, "has items of the same id: ['i0']. Each must be unique"),
    "an answer twice": ({"answers": ("a", "b", "c", "b")}, "lists answers twice: ['b']. Each must be unique"),
    "one entity named twice": (
        {"naming": tuple(item(number, cluster="c0") for number in (0, 1))},
        "Task 'letters' asks twice for the names of clusters: ['c0']. Each must be unique",
    ),
    "a name without a picture": (
        {"naming": (item(0), item(1, image=None))},
        "Task 'letters' asks for names without a picture: ['i1']. Expected items that show the entity",
    ),
    "an unlisted answer": (
        {"answers": ("a",)},
        "answers that are not in its answer set: ['b', 'c']. Add them to `answers`",
    ),
}


@pytest.mark.parametrize("what", BROKEN_TASKS)
def test_a_task_that_is_inconsistent_is_refused(what: str) -> None:
    changes, message = BROKEN_TASKS[what]

    with pytest.raises(InputError) as raised:
        task(**changes)

    assert message in str(raised.value)


def test_the_words_of_a_text_panel_are_data_and_query_or_one_sentence() -> None:
    assert item(0).wording == ("x0\nWhich?", 0)
    assert item(0, query="x0?").wording == ("x0\nx0?", 0)
    assert item(0, sentence="Which is x0?").wording == ("Which is x0?", 9)


def test_own_splits_are_kept() -> None:
    own = task(tuple(item(n, split=SPLITS[n % 3 - 1]) for n in range(9)))

    assert [[one.id for one in own.split(split)] for split in SPLITS] == [
        ["i1", "i4", "i7"],
        ["i2", "i5", "i8"],
        ["i0", "i3", "i6"],
    ]


def test_a_split_of_its_own_is_for_all_items_or_none() -> None:
    with pytest.raises(
        InputError, match="has 1 items with a split and 1 without, such as 'i1'. Give every item a split, or none"
    ):
        task((item(0, split="test"), item(1)))


def test_a_cluster_in_two_splits_is_refused() -> None:
    with pytest.raises(
        InputError, match="Cluster 'scene' of task 'letters' is in the splits discover and test. .*one split"
    ):
        task((item(0, split="discover", cluster="scene"), item(1, split="test", cluster="scene")))


def test_an_unknown_split_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="No split named 'train'. Known: discover, select, test"):
        task().split("train")  # type: ignore[arg-type]


@LAWS
@given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_splits_are_disjoint_complete_and_even_and_a_cluster_is_never_divided(clusters: list[int]) -> None:
    drawn = task(tuple(item(n, cluster=f"c{c}") for n, c in enumerate(clusters)))
    places = [{one.cluster for one in drawn.split(split)} for split in SPLITS]

    assert sorted(one.id for split in SPLITS for one in drawn.split(split)) == sorted(one.id for one in drawn.items)
    assert sum(map(len, places)) == len(set(clusters))
    assert max(map(len, places)) - min(map(len, places)) <= 1


def test_splits_do_not_depend_on_the_order_of_the_items() -> None:
    forwards, backwards = task(), task(task().items[::-1])

    for split in SPLITS:
        assert list(forwards.split(split)) == list(backwards.split(split))[::-1]


TWICE = """
from diptych.items import Item, Task
items = tuple(Item(f"i{n}", "x", None, "Which?", "abc"[n % 3]) for n in range(30))
task = Task("letters", 1, items, ("a", "b", "c"))
print(task.digest(), [[c.clean.id, c.counterfactual.id] for c in task.contrasts("text", "test")])
"""


def test_digest_splits_and_contrasts_are_the_same_in_every_process() -> None:
    found = []
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        found.append(
            subprocess.run([sys.executable, "-B", "-c", TWICE], env=environment, check=True, capture_output=True).stdout
        )

    assert len(found[0].split()[0]) == 12
    assert found[0] == found[1]


CHANGED_ITEMS: dict[str, Any] = {
    "id": "i99",
    "text": "y",
    "image": Drawing(grey, {"shade": 99}),
    "query": "Which one?",
    "answer": "c",
    "group": "prime",
    "cluster": "scene",
    "spans": (("data.x", 0, 1),),
    "cells": (2, 2),
    "accepted": ("a", "A"),
    "split": "test",
    "sentence": "What is x0?",
}
CHANGED_TASKS: dict[str, Any] = {
    "name": "words",
    "version": 2,
    "items": tuple(map(item, range(59))),
    "answers": ("a", "b", "c", "d"),
    "naming": (Item("n0", None, Drawing(grey, {"shade": 0}), "Who is it?", "Ann", cluster="c0"),),
}


def test_the_digest_is_12_hex_digits_and_the_same_for_equal_tasks() -> None:
    assert task().digest() == task().digest()
    assert int(task().digest(), 16) >= 0
    assert len(task().digest()) == 12


@pytest.mark.parametrize("field", CHANGED_ITEMS)
def test_the_digest_changes_with_every_field_of_an_item(field: str) -> None:
    plain = item(0, cluster="c0")  # named, so that it does not follow the id

    assert task((replace(plain, **{field: CHANGED_ITEMS[field]}),)).digest() != task((plain,)).digest()


@pytest.mark.parametrize("field", CHANGED_TASKS)
def test_the_digest_changes_with_every_field_of_a_task(field: str) -> None:
    assert task(**{field: CHANGED_TASKS[field]}).digest() != task().digest()


def test_a_missing_panel_and_another_drawing_function_have_digests_of_their_own() -> None:
    changes = [{"text": None}, {"image": None}, {"image": Drawing(black, {"shade": 0})}, {}]

    assert len({task((item(0, **change),)).digest() for change in changes}) == 4


@pytest.mark.parametrize("split", SPLITS)
def test_every_item_gets_one_counterfactual_of_its_group_with_another_answer(split: Any) -> None:
    contrasts = task().contrasts("text", split)

    assert [contrast.clean for contrast in contrasts] == list(task().split(split))
    for contrast in contrasts:
        assert contrast.counterfactual in task().split(split)
        assert contrast.clean.group == contrast.counterfactual.group
        assert contrast.clean.answer != contrast.counterfactual.answer


def test_a_paired_item_has_the_same_partner_in_both_panels() -> None:
    panels = [{}, {}, {"image": None}, {"text": None}]  # half of the items lack a panel
    mixed = task(tuple(item(n, **panels[n // 6 % 4]) for n in range(240)))
    text, image = (mixed.contrasts(modality, "discover") for modality in MODALITIES)

    partners = [{c.clean.id: c.counterfactual.id for c in found if c.clean.paired} for found in (text, image)]

    assert len(partners[0]) > 20
    assert partners[0] == partners[1]
    assert all(c.counterfactual.paired for c in (*text, *image) if c.clean.paired)
    assert len(text) > len(partners[0])


def test_an_item_without_a_partner_gives_no_contrast() -> None:
    alone = tuple(item(n, group="all", answer="a") for n in range(30))

    assert all(task(alone).contrasts("text", split) == [] for split in SPLITS)


def test_contrasts_follow_from_the_seed() -> None:
    partners = [[c.counterfactual.id for c in task().contrasts("text", "test", seed)] for seed in (0, 0, 1)]

    assert partners[0] == partners[1]
    assert partners[0] != partners[2]


def test_not_all_items_get_the_same_partner() -> None:
    partners = {c.counterfactual.id for c in task().contrasts("text", "discover")}

    assert len(partners) > 12  # 20 items of 2 groups, 2 halves and 3 answers


@LAWS
@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(2, 5))
def test_folds_of_a_split_are_even_and_a_cluster_is_never_divided(clusters: list[int], folds: int) -> None:
    drawn = task(tuple(item(n, cluster=f"c{c}") for n, c in enumerate(clusters)))
    for split in SPLITS:
        parts = [{i.cluster for i in drawn.split(split) if drawn.fold(i, folds) == fold} for fold in range(folds)]

        assert sum(map(len, parts)) == len({i.cluster for i in drawn.split(split)})
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("modality", MODALITIES)
def test_halves_of_a_split_share_no_prompt(modality: Any) -> None:
    drawn = task()
    contrasts = drawn.contrasts(modality, "discover")

    halves = [
        {i.id for c in contrasts if drawn.fold(c.clean, 2) == h for i in (c.clean, c.counterfactual)} for h in (0, 1)
    ]

    assert all(halves)
    assert not halves[0] & halves[1]
