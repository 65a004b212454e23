"""Entities in the layout of PopVQA: questions in two forms, names, aliases and accepted answers."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from diptych.errors import InputError
from diptych.items import Task
from diptych.models.encode import encode, encode_item
from diptych.tasks import make_task
from prompts import answers
from tiny import tiny

ENTITY_COLUMNS = {"id": "s_uri", "name": "subject", "aliases": "aliases", "type": "kind", "image": "picture"}
QUESTION_COLUMNS = {"entity": "s_uri", "by_name": "question", "by_image": "question_for_image"}
QUESTION_COLUMNS |= {"accepted": "possible_answers", "relation": "r_uri"}
MAPS = {"entity_columns": ENTITY_COLUMNS, "question_columns": QUESTION_COLUMNS}
COUNT = 18


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tables as the authors of PopVQA name their columns, with the index that pandas writes in front."""
    path = tmp_path / "pop"
    path.mkdir()
    entities = [",s_uri,subject,aliases,kind,picture"]
    questions = [",s_uri,r_uri,question,question_for_image,possible_answers"]
    for n in range(COUNT):
        Image.new("RGB", (32, 32), (9 * n, 0, 0)).save(path / f"{n}.png")
        entities.append(f'{n},Q{n},{n} {n + 1},"[\'the {n}\', ""O\'{n}""]",number,{n}.png')
        questions.append(f"{n},Q{n},P1,How many are {n} {n + 1} ?,How many are there ?,\"['{n % 5}', '{n}']\"")
        questions.append(f"{n},Q{n},P2,What is the {n} {n + 1} ?,What is the result ?,['{n % 7}']")
    (path / "entities.csv").write_text("\n".join(entities))
    (path / "questions.csv").write_text("\n".join(questions))
    return path


def read(folder: Path, name: str = "entities", **parameters: Any) -> Task:
    return make_task(name, path=folder, **parameters)


def test_a_question_is_asked_by_name_and_by_picture(folder: Path) -> None:
    task = read(folder, **MAPS)
    item = task.items[3]

    assert (task.name, len(task.items)) == ("pop", 2 * COUNT)
    assert (item.id, item.text, item.sentence) == ("Q1: P2", "1 2", "What is the 1 2 ?")
    assert (item.query, item.answer, item.accepted) == ("What is the result ?", "1", ("1",))
    assert (item.group, item.cluster) == ("number: P2", "Q1")
    assert item.paired


def test_the_data_of_the_text_panel_is_the_name_inside_the_question(folder: Path) -> None:
    vlm = tiny("qwen2_vl")

    prompt = encode_item(vlm, read(folder, **MAPS).items[3], "text")

    words = [vlm.processor.tokenizer.decode(prompt.tokens[part]) for part in (prompt.layout.prefix, prompt.layout.data)]
    assert words[0].endswith("What is the") and words[1] == "1 2"


def test_counterfactuals_are_asked_the_same_of_another_entity_and_questions_may_share_a_batch(folder: Path) -> None:
    vlm = tiny("qwen2_vl")
    contrasts = read(folder, **MAPS).contrasts("text", "discover")

    encoded = encode(vlm, contrasts, answers(vlm))

    assert {c.clean.group for c in contrasts} == {"number: P1", "number: P2"}
    assert all(
        c.clean.group == c.counterfactual.group and c.clean.cluster != c.counterfactual.cluster for c in contrasts
    )
    assert len({c.clean.group for batch in encoded.batches for c in batch.contrasts}) == 2


def test_names_are_asked_of_the_same_entities_in_the_same_splits(folder: Path) -> None:
    names = read(folder, "entity_names", entity_columns=ENTITY_COLUMNS)
    item = names.items[1]

    assert (names.name, len(names.items)) == ("pop_names", COUNT)
    assert (item.text, item.query) == (None, "Identify by name the number in this image.")
    assert (item.answer, item.accepted) == ("1 2", ("1 2", "the 1", "O'1"))
    assert {item.cluster for item in names.items} == {item.cluster for item in read(folder, **MAPS).items}


def test_questions_come_with_those_for_names_of_pictured_entities_that_are_asked_about(folder: Path) -> None:
    names = read(folder, "entity_names", entity_columns=ENTITY_COLUMNS, query="Who is this {type}?").items
    table = folder / "questions.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if ",Q1," not in line))
    entities = folder / "entities.csv"
    entities.write_text(entities.read_text().replace("number,2.png", "number,"))

    named = read(folder, **MAPS, naming="Who is this {type}?").naming

    assert [item.cluster for item in named] == [f"Q{n}" for n in range(COUNT) if n not in (1, 2)]
    assert (named[1].query, named[1].answer, named[1].accepted) == (
        "Who is this number?",
        "3 4",
        ("3 4", "the 3", "O'3"),
    )
    assert named == tuple(item for item in names if item.cluster not in ("Q1", "Q2"))


def test_an_entity_of_no_type_is_a_subject(folder: Path) -> None:
    columns = {key: column for key, column in ENTITY_COLUMNS.items() if key != "type"}

    assert (
        read(folder, "entity_names", entity_columns=columns).items[0].query
        == "Identify by name the subject in this image."
    )
    assert read(folder, entity_columns=columns, question_columns=QUESTION_COLUMNS).items[0].group == "P1"


BROKEN: dict[str, tuple[str, str, str, str]] = {
    "an unknown entity": ("questions", "1,Q1,P1,", "1,Q99,P1,", "questions.csv, line 4: no entity 'Q99'. Expected the id"),
    "a question without the name": ("questions", "How many are 1 2 ?", "How many ?", "questions.csv, line 4: The sentence of item"),
    "a question twice": ("questions", "1,Q1,P2,", "1,Q1,P1,", "questions.csv, line 5: id 'Q1: P1' is that of "),
    "no answer": ("questions", ",['1']", ",", "questions.csv, line 5: no answer"),
    "an entity twice": ("entities", "1,Q1,", "1,Q0,", "entities.csv, line 3: id 'Q0' is that of "),
    "an entity without a name": ("entities", "Q1,1 2,", "Q1,,", "entities.csv, line 3: no name"),
    "a missing picture": ("entities", ",1.png", ",x.png", "entities.csv, line 3: no image 'x.png'"),
    "a picture elsewhere": ("entities", ",1.png", ",../../1.png", "entities.csv, line 3: image '../../1.png' leads out of"),
    "a bell in an alias": ("entities", "the 1'", "\a'", "entities.csv, line 3: Item 'Q1' has control characters in its accepted"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_wrong_row_is_refused_by_file_and_line(what: str, folder: Path) -> None:
    name, old, new, message = BROKEN[what]
    table = folder / f"{name}.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))

    asked: dict[str, Any] = {"name": "entity_names", "entity_columns": ENTITY_COLUMNS} if "alias" in what else MAPS

    with pytest.raises(InputError) as raised:
        read(folder, **asked)

    assert str(raised.value).startswith(f"{table}, line ")
    assert message in str(raised.value)


def test_a_missing_table_is_named(folder: Path) -> None:
    (folder / "questions.csv").unlink()

    with pytest.raises(InputError, match="neither questions.jsonl nor questions.csv"):
        read(folder, **MAPS)
