"""Entity names: does the model know who or what is in the picture? One question per entity of the layout of PopVQA."""

from pathlib import Path

from diptych.items import Task
from diptych.tasks._entities import IDENTIFY, naming_items, read_entities


def entity_names(
    path: Path,
    *,
    images: Path | None = None,
    entity_columns: dict[str, str] | None = None,
    query: str = IDENTIFY,
    name: str | None = None,
) -> Task:
    """The entities of a folder that `entities` reads, to be named from their pictures (methods §11).

    Items have an image panel alone; accepted are the name and its aliases, and the cluster is the entity's id, as in
    `entities`. `query`: {type} stands for the entity's type, or for "subject" if it has none.
    """
    items = naming_items(read_entities(Path(path), images, entity_columns).values(), query)
    title = name or f"{Path(path).resolve().name}_names"
    return Task(title, 1, items, tuple(dict.fromkeys(item.answer for item in items)))
