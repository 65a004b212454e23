"""Entity names: does the model know who or what is in the picture? One question per entity of the layout of PopVQA."""

from pathlib import Path

from diptych.items import Task
from diptych.tasks._entities import read_entities
from diptych.tasks._rows import item_at, text


def entity_names(
    path: Path,
    *,
    images: Path | None = None,
    entity_columns: dict[str, str] | None = None,
    query: str = "Identify by name the {type} in this image.",
    name: str | None = None,
) -> Task:
    """The entities of a folder that `entities` reads, to be named from their pictures (methods §11).

    Items have an image panel alone; accepted are the name and its aliases, and the cluster is the entity's id, as in
    `entities`. `query`: {type} stands for the entity's type, or for "subject" if it has none.
    """
    known = read_entities(Path(path), images, entity_columns)
    items = tuple(
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
        for entity in known.values()
    )
    title = name or f"{Path(path).resolve().name}_names"
    return Task(title, 1, items, tuple(dict.fromkeys(entity.name for entity in known.values())))
