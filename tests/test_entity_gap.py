"""The entity gap: what is asked, of whom, how answers are counted, and both layouts of its data (methods §11)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import diptych
from diptych.errors import InputError
from diptych.experiments._asked import Asked, choose
from diptych.experiments._gap_rows import rows_of
from diptych.experiments._text import from_lines
from diptych.figures import Bars
from diptych.items import Item, Task
from diptych.result import Result, Row
from diptych.run import Run, Store
from diptych.tasks import make_task
from tiny import tiny

FEW = 6


def few_countries() -> Task:
    """The questions about six countries of the test split."""
    whole = make_task("countries")
    codes = list(dict.fromkeys(item.cluster for item in whole.split("test")))[:FEW]
    items = tuple(replace(item, split="test") for item in whole.items if item.cluster in codes)
    return replace(whole, items=items, naming=tuple(item for item in whole.naming if item.cluster in codes))


def open_run(task: Task, store: Path, model: str = "organism/qwen2vl", **options: Any) -> Run:
    return Run(model, task, store=Store(store), **options)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[dict[str, Any]]]:
    run = open_run(few_countries(), tmp_path_factory.mktemp("runs"))
    result = run.get("entity_gap", max_new_tokens=8)
    return result, from_lines(run.grids(result)["written"])


def popvqa_layout(task: Task, folder: Path) -> dict[str, Any]:
    """The task as two tables whose columns have the names of PopVQA's, with pictures; and how to read them."""
    entities, questions = [], []
    for item in task.naming:
        image = item.pictures[0].open()
        image.save(folder / f"{item.cluster}.png")
        picture = f"{item.cluster}.png"
        aliases = [item.answer.upper(), f"the {item.answer}"]
        entities.append({"s_uri": item.cluster, "subject": item.answer, "aliases": aliases, "type": "country"})
        entities[-1] |= {"image": picture, "split": "test"}
    for item in task.items:
        asked = {"s_uri": item.cluster, "r_uri": item.group, "question": item.wording[0]}
        questions.append(asked | {"question_for_image": item.query, "possible_answers": [item.answer]})
    for name, rows in (("entities", entities), ("questions", questions)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    same = {name: name for name in ("aliases", "type", "image", "split")}
    asked = {"entity": "s_uri", "by_name": "question", "by_image": "question_for_image"}
    return {
        "path": folder,
        "entity_columns": {"id": "s_uri", "name": "subject"} | same,
        "question_columns": asked | {"accepted": "possible_answers", "relation": "r_uri"},
        "naming": task.naming[0].query,
    }


def row_of(rows: Sequence[Row], name: str, family: str = "entities") -> Row:
    [found] = [row for row in rows if (row["family"], row["of"]) == (family, name)]
    return found


def test_an_organism_names_countries_and_answers_by_name_and_by_flag(
    shipped: tuple[Result, list[dict[str, Any]]],
) -> None:
    result, written = shipped
    row = result.rows[0]

    assert (row["of"], row["entities"]) == ("identified", result.conditions["entities identified"])
    assert result.conditions["entities"] == FEW and int(row["entities"] or 0) >= FEW - 2
    assert float(row["text"] or 0) > 0.9 and float(row["image"] or 0) > 0.5
    assert row["gap"] == pytest.approx(float(row["text"] or 0) - float(row["image"] or 0))
    assert "100.0% [" in result.summary and "points [" in result.summary
    assert result.conditions["n test"] == len(written) == len(few_countries().items)


def test_what_was_written_is_kept_beside_the_result(shipped: tuple[Result, list[dict[str, Any]]]) -> None:
    _, written = shipped
    task = few_countries()
    names = {item.cluster: item.answer for item in task.naming}

    assert [one["id"] for one in written] == [item.id for item in task.items]
    for one in written:
        assert one["identified"] == (one["named"].lower() == names[one["entity"]].lower())
        assert one["text right"] == (one["text"] in one["accepted"])
    assert len({one["image"] for one in written}) > FEW


def test_entities_in_the_layout_of_popvqa_have_the_gap_of_the_shipped_ones(
    shipped: tuple[Result, list[dict[str, Any]]], tmp_path: Path
) -> None:
    result, _ = shipped
    task = make_task("entities", **popvqa_layout(few_countries(), tmp_path))

    again = open_run(task, tmp_path / "runs").get("entity_gap", max_new_tokens=8)

    numbers = [{key: value for key, value in row.items() if key != "of"} for row in again.rows]
    assert numbers == [{key: value for key, value in row.items() if key != "of"} for row in result.rows]
    assert next(row["of"] for row in again.rows if row["family"] == "question") == "country: capital"
    assert {item.accepted for item in task.naming} == {
        (item.answer, item.answer.upper(), f"the {item.answer}") for item in few_countries().naming
    }


def test_of_a_model_that_names_nobody_no_gap_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    run = open_run(few_countries(), tmp_path / "runs", str(tmp_path), load=lambda source: tiny("qwen2_vl"))

    result = run.get("entity_gap", max_new_tokens=2)

    assert result.summary.startswith("The model names 0.0% [0.0, ") and "tells nothing of a gap" in result.summary
    assert (result.rows[0]["entities"], result.rows[0]["gap"]) == (0, None)
    assert row_of(result.rows, "all")["entities"] == FEW and row_of(result.rows, "all")["gap"] == 0


def test_answers_do_not_depend_on_batch_size(shipped: tuple[Result, list[dict[str, Any]]], tmp_path: Path) -> None:
    _, written = shipped
    run = open_run(few_countries(), tmp_path, batch_size=5)

    assert from_lines(run.grids(run.get("entity_gap", max_new_tokens=8))["written"]) == written


def asked(number: int, text: str, image: str, named: str = "Ann", **changes: Any) -> Asked:
    """A question to which "blue" is right, about the entity whose name is Ann."""
    item = Item(f"q{number}", "Ann", BLANK, "Which colour?", "blue", group=f"r{number % 2}", cluster=f"e{number // 2}")
    naming = Item(f"e{number // 2}", None, BLANK, "Who?", "Ann", accepted=("Anna",), group="person")
    return Asked(
        replace(item, **changes), replace(naming, group=changes.get("group", "person")[:1]), text, image, named
    )


class Blank:
    def open(self) -> Image.Image:
        return Image.new("RGB", (8, 8))

    def digest(self) -> str:
        return "blank"


BLANK = Blank()


def test_only_entities_that_are_named_by_name_or_alias_count_as_identified() -> None:
    some = [asked(0, "blue", "red"), asked(2, "blue", "blue", "anna."), asked(4, "blue", "red", "Bob")]

    rows = rows_of(some, "alias", 0)

    assert [row_of(rows, name)["entities"] for name in ("identified", "all")] == [2, 3]
    assert row_of(rows, "identified")["gap"] == 0.5 and row_of(rows, "all")["gap"] == pytest.approx(2 / 3)
    assert [row_of(rows, name, "matcher")["entities"] for name in ("alias", "exact", "popvqa")] == [2, 1, 1]


def test_the_control_is_of_questions_that_are_answered_from_text() -> None:
    some = [asked(0, "red", "red"), asked(1, "blue", "red"), asked(2, "blue", "blue"), asked(4, "red", "blue")]

    row = row_of(rows_of(some, "alias", 0), "known by name")

    assert (row["entities"], row["questions"], row["text"], row["image"]) == (2, 2, 1, 0.5)
    assert row["Wilcoxon p"] is None


def test_the_gap_of_what_is_known_by_name_has_no_interval_below_nothing() -> None:
    some = [asked(2 * number, "blue", "red" if number == 0 else "blue") for number in range(12)]

    rows = rows_of(some, "alias", 0)

    known, named = row_of(rows, "known by name"), row_of(rows, "identified")
    assert known["gap"] == named["gap"] == pytest.approx(1 / 12)
    assert float(named["low"] or 0) < 0 < float(known["low"] or 0)


def test_a_right_answer_that_stands_in_the_question_may_be_an_echo() -> None:
    told = asked(0, "blue", "blue", query="Is it blue or red?")
    untold, wrong = asked(2, "blue", "blue"), asked(4, "red", "red", query="Is it blue or red?")

    assert [one.echoes("text", "alias") for one in (told, untold, wrong)] == [True, False, False]
    assert [one.echoes("image", "alias") for one in (told, untold, wrong)] == [True, False, False]
    assert [one.told("alias") for one in (told, untold, wrong)] == [True, False, True]
    row = row_of(rows_of([told, untold, wrong], "alias", 0), "answer untold")
    assert row["questions"] == 1


def test_an_answer_in_the_name_is_echoed_from_text_alone() -> None:
    one = asked(0, "Ann", "Ann", answer="Ann")

    assert one.echoes("text", "alias") and not one.echoes("image", "alias")


def test_answers_of_short_words_alone_are_told() -> None:
    assert asked(0, "red", "red", answer="red", accepted=("a b", "red")).short
    assert not asked(0, "red", "red", answer="red", accepted=("scarlet",)).short


def test_types_and_questions_are_families_of_their_own_with_adjusted_p_values() -> None:
    some = [asked(n, "blue", "red" if n % 2 else "blue", group="xy"[n % 2]) for n in range(24)]

    rows = [row for row in rows_of(some, "alias", 0) if row["family"] == "question"]

    assert [(row["of"], row["gap"], row["entities"]) for row in rows] == [("x", 0, 12), ("y", 1, 12)]
    assert [row["Holm p"] for row in rows] == [1, pytest.approx(2 * float(rows[1]["Wilcoxon p"] or 0))]
    assert [row["of"] for row in rows_of(some, "alias", 0) if row["family"] == "type"] == ["x", "y"]
    assert not [row for row in rows_of(some[::2], "alias", 0) if row["family"] in ("type", "question")]


def test_questions_that_cannot_be_asked_both_ways_of_a_known_entity_are_dropped_and_counted() -> None:
    naming = (Item("n0", None, BLANK, "Who?", "Ann", cluster="e0"),)
    items = [asked(n, "", "").item for n in range(4)] + [replace(asked(0, "", "").item, id="blind", image=None)]
    task = Task("people", 1, tuple(replace(item, split="test") for item in items), ("blue",), naming)

    chosen, dropped = choose(task, "test")

    assert [item.id for item in chosen] == ["q0", "q1"]
    assert dropped == {"of an entity without a question for its name": 2, "without both panels": 1}


def test_a_task_that_asks_for_no_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Task 'counting' has no question in split 'test'.*Use the task countries"):
        open_run(make_task("counting", per_split=4), tmp_path).get("entity_gap")


def test_figures_hold_the_rows_numbers(shipped: tuple[Result, list[dict[str, Any]]]) -> None:
    accuracies, gaps = shipped[0].figures
    assert isinstance(accuracies, Bars) and isinstance(gaps, Bars)
    rows = {row["of"]: row for row in shipped[0].rows}

    for at, name in enumerate(accuracies.categories):
        assert [series.values[at] for series in accuracies.series] == [rows[name]["text"], rows[name]["image"]]
    assert gaps.series[0].values[0] == pytest.approx(100 * float(shipped[0].rows[0]["gap"] or 0))
    assert {"identified", "all", "capital", "currency"} <= set(accuracies.categories)


def test_every_country_of_the_questions_is_asked_for_its_name() -> None:
    task = diptych.make_task("countries")

    assert {item.cluster for item in task.naming} == {item.cluster for item in task.items}
    assert all(item.answer == item.text and item.pictures for item in task.naming)
    assert [item.id for item in task.items] == [item.id for item in make_task("factual_recall").items]
    assert {item.query for item in task.naming} == {"Name this country."}
