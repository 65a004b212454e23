"""Entities: questions about named and pictured entities, each in two forms, in the layout of PopVQA."""

from pathlib import Path

from diptych.errors import InputError
from diptych.items import Item, Task
from diptych.tasks._entities import IDENTIFY, Entity, naming_items, read_entities
from diptych.tasks._files import Row, find_table, read_table
from diptych.tasks._rows import item_at, needed, rename, text, texts

FIELDS = ("id", "entity", "by_name", "by_image", "accepted", "answer", "relation")


def entities(
    path: Path,
    *,
    images: Path | None = None,
    entity_columns: dict[str, str] | None = None,
    question_columns: dict[str, str] | None = None,
    naming: str = IDENTIFY,
    name: str | None = None,
) -> Task:
    """Questions about entities, by name in the text panel and by picture in the other (PopVQA, Cohen et al. 2412.14133).

    `path`: a folder with two tables (.jsonl or .csv). `entities`: id, name, and possibly aliases, type, image, split.
    `questions`: entity (its id), `by_name` (the question with the entity's name in it), `by_image` (the question about
    "the subject of this image"), accepted (answers; the first is the one that is compared by its first token), and
    possibly id and relation. `images`: the folder in which image paths start. `entity_columns`, `question_columns`:
    field → column, if columns have other names. A counterfactual is asked the same relation of another entity.

    `naming`: what asks for the name of an entity that has a picture and questions (see `entity_names`, `entity_gap`).
    """
    known = read_entities(Path(path), images, entity_columns)
    table = find_table(Path(path), "questions")
    items: dict[str, tuple[Row, Item]] = {}
    for row in rename(read_table(table), question_columns, FIELDS, f"'{table}'"):
        item = _item(row, known)
        if item.id in items:
            raise InputError(
                f"{row.place}: id '{item.id}' is that of {items[item.id][0].place} too. Give each its own."
            )
        items[item.id] = (row, item)
    found = tuple(item for _, item in items.values())
    asked = {item.cluster for item in found}
    names = naming_items((entity for key, entity in known.items() if key in asked and entity.picture), naming)
    answers = tuple(dict.fromkeys(item.answer for item in found))
    return Task(name or Path(path).resolve().name, 1, found, answers, names)


def _item(row: Row, known: dict[str, Entity]) -> Item:
    key = needed(row, "entity")
    if key not in known:
        raise InputError(f"{row.place}: no entity '{key}'. Expected the id of a row of the entities.")
    entity = known[key]
    by_image = needed(row, "by_image")
    relation = text(row, "relation") or by_image
    accepted = texts(row, "accepted")
    return item_at(
        row,
        id=text(row, "id") or f"{key}: {relation}",
        text=entity.name,
        image=entity.picture,
        query=by_image,
        sentence=needed(row, "by_name"),
        answer=accepted[0] if accepted and text(row, "answer") is None else needed(row, "answer"),
        accepted=accepted,
        group=f"{entity.type}: {relation}" if entity.type else relation,
        cluster=key,
        split=text(entity.row, "split"),
    )
