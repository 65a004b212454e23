"""The paired tasks: balanced, the same data in both panels, constant lengths, fixed pixels, nothing from training."""

import hashlib
import random
import re
from collections import Counter

import pytest

from diptych.errors import InputError
from diptych.items import SPLITS, Task
from diptych.tasks import _draw
from diptych.tasks.arithmetic import arithmetic
from diptych.tasks.arithmetic import held_out as pair_is_held_out
from diptych.tasks.counting import KINDS, counting, sample
from diptych.tasks.counting import held_out as list_is_held_out

TASKS = [counting(), arithmetic()]
EACH = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@EACH
def test_splits_hold_about_as_many_items_as_asked_for(task: Task) -> None:
    assert len(task.items) == 300
    assert all(90 <= len(task.split(split)) <= 110 for split in SPLITS)


@EACH
def test_the_same_seed_gives_the_same_items_and_another_seed_others(task: Task) -> None:
    function = {"counting": counting, "arithmetic": arithmetic}[task.name]
    assert function(seed=0).digest() == task.digest()
    assert function(seed=1).digest() != task.digest()


@EACH
def test_prompts_of_a_task_have_one_length_in_words(task: Task) -> None:
    lengths = {
        (len(item.text.split()), len(item.query.split()), len(item.answer.split())) for item in task.items if item.text
    }
    assert len(lengths) == 1


@EACH
def test_both_panels_get_the_same_counterfactual(task: Task) -> None:
    text, image = (task.contrasts(modality, "test") for modality in ("text", "image"))
    assert [(c.clean.id, c.counterfactual.id) for c in text] == [(c.clean.id, c.counterfactual.id) for c in image]
    assert len(text) == len(task.split("test"))


@EACH
def test_a_counterfactual_has_the_same_query_and_other_data(task: Task) -> None:
    for contrast in task.contrasts("text", "discover"):
        assert contrast.clean.query == contrast.counterfactual.query
        assert contrast.clean.text != contrast.counterfactual.text


def test_every_kind_has_every_count_equally_often() -> None:
    pairs = Counter((item.group, item.answer) for item in TASKS[0].items)
    assert len(pairs) == len(KINDS) * 5
    assert set(pairs.values()) == {10}


def test_no_result_is_much_more_frequent_than_others() -> None:
    answers = Counter(item.answer for item in TASKS[1].items)
    assert max(answers.values()) <= 0.06 * len(TASKS[1].items)


def test_half_of_the_expressions_are_sums() -> None:
    assert Counter(item.group for item in TASKS[1].items) == {"plus": 150, "minus": 150}


def test_answers_of_counting_are_the_counts() -> None:
    for item in TASKS[0].items:
        assert item.text is not None
        assert item.answer == str(item.text.split().count(item.group))


def test_answers_of_arithmetic_are_the_results() -> None:
    for item in TASKS[1].items:
        a, b = re.findall(r"\d+", item.text or "")
        assert int(item.answer) == (int(a) + int(b) if item.group == "plus" else int(a) - int(b))


@pytest.mark.parametrize(("function", "number"), [(counting, 1), (counting, 1001), (arithmetic, 1), (arithmetic, 400)])
def test_an_impossible_number_of_items_is_refused(function: object, number: int) -> None:
    with pytest.raises(InputError, match=f"cannot have {number} items per split. Give a number from 2 to"):
        function(per_split=number)  # type: ignore[operator]


def test_pictures_show_the_data_of_the_text() -> None:
    for item in TASKS[0].items[:20]:
        assert [mark.name for mark in _draw.place_shapes(**item.image.arguments)] == (item.text or "").split()  # type: ignore[union-attr]
    for item in TASKS[1].items[:20]:
        marks = _draw.place_expression(**item.image.arguments)  # type: ignore[union-attr]
        assert "".join(mark.name for mark in marks) == (item.text or "").replace(" ", "")


def test_marks_stay_inside_the_picture_and_apart() -> None:
    for seed in range(200):
        shapes = _draw.place_shapes(sample("star", 3, random.Random(seed)), seed)
        glyphs = _draw.place_expression("12+34", seed)
        for marks in (shapes, glyphs):
            assert all(min(mark.box) >= 0 and max(mark.box) <= _draw.SIZE for mark in marks)
            assert not any(_overlap(a.box, b.box) for a in marks for b in marks if a is not b)


def _overlap(a: _draw.Box, b: _draw.Box) -> bool:
    apart = a.right <= b.left + 1e-9 or b.right <= a.left + 1e-9 or a.bottom <= b.top + 1e-9 or b.bottom <= a.top + 1e-9
    return not apart


PIXELS = {
    "circles-in-csssssms": "0c355d7476a182945c5014a8754a41be440790e28c229193ae5051e6693188c2",
    "hearts-in-qccqqchq": "76349a312ed72df009e8c5000a4b7296076439e40b836a93fd74c657812fb9e2",
    "25-plus-23": "2c0e855199ecc145eca448dca4bdce9097e75bc54a9db66054a904b940a5c01b",
    "45-minus-26": "cac09af333d73880abce65b0486bd92b01faea5a749dfc214115da794aaa8f50",
}


@pytest.mark.parametrize("name", PIXELS)
def test_a_drawing_has_the_recorded_pixels(name: str) -> None:
    picture = {item.id: item.image for task in TASKS for item in task.items}[name]
    assert picture is not None
    image = picture.open()
    assert (image.mode, image.size) == ("RGB", (224, 224))
    assert hashlib.sha256(image.tobytes()).hexdigest() == PIXELS[name]


def test_every_shape_and_character_looks_different() -> None:
    shapes = {_draw.draw_shapes([kind], 0).tobytes() for kind in _draw.SHAPES}
    glyphs = {_draw.draw_expression(glyph, 0).tobytes() for glyph in _draw.GLYPHS}
    assert (len(shapes), len(glyphs)) == (len(_draw.SHAPES), len(_draw.GLYPHS))


def test_shipped_items_are_held_out() -> None:
    assert all(list_is_held_out((item.text or "").split()) for item in TASKS[0].items)
    assert all(pair_is_held_out(*map(int, re.findall(r"\d+", item.text or ""))) for item in TASKS[1].items)


def test_operands_are_held_out_in_either_order() -> None:
    assert all(pair_is_held_out(a, b) == pair_is_held_out(b, a) for a in range(10, 50) for b in range(10, 50))
