"""Entities that have a name and a picture, read from a table: what `entities` and `entity_names` ask about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from diptych.errors import InputError
from diptych.items import Item
from diptych.tasks._files import Row, find_table, read_table
from diptych.tasks._rows import Stored, file_opener, item_at, needed, picture_of, rename, text, texts

IDENTIFY = "Identify by name the {type} in this image."
"""What PopVQA asks to see whether an entity is recognised; {type} stands for its type."""
FIELDS = ("id", "name", "aliases", "type", "image", "split")


@dataclass(frozen=True)
class Entity:
    """One entity; `row` is where it is from. All its items share a cluster, so they share a split."""

    row: Row
    id: str
    name: str
    aliases: tuple[str, ...]
    type: str
    picture: Stored | None


def read_entities(folder: Path, images: Path | None, columns: Mapping[str, str] | None) -> dict[str, Entity]:
    """The entities in `entities.jsonl` or `entities.csv`, by id; the id is the name if there is no other."""
    table = find_table(folder, "entities")
    open_picture = file_opener(Path(images or folder))
    found: dict[str, Entity] = {}
    for row in rename(read_table(table), columns, FIELDS, f"'{table}'"):
        name = needed(row, "name")
        picture, _ = picture_of(row, open_picture)
        key = text(row, "id") or name
        if key in found:
            raise InputError(f"{row.place}: id '{key}' is that of {found[key].row.place} too. Give each its own.")
        found[key] = Entity(row, key, name, texts(row, "aliases"), text(row, "type") or "", picture)
    return found


def naming_items(entities: Iterable[Entity], query: str) -> tuple[Item, ...]:
    """Each entity to be named from its picture; accepted are its name and aliases, its group is its type.

    `query`: {type} stands for the entity's type, or for "subject" if it has none.
    """
    return tuple(
        item_at(
            entity.row,
            id=entity.id,
            text=None,
            image=entity.picture,
            query=query.replace("{type}", entity.type or "subject"),
            answer=entity.name,
            accepted=(entity.name, *entity.aliases),
            group=entity.type,
            cluster=entity.id,
            split=text(entity.row, "split"),
        )
        for entity in entities
    )
