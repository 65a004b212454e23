"""Folder: your own questions, from a table of JSON lines or CSV with pictures beside it."""

from collections.abc import Sequence
from pathlib import Path

from diptych.items import Task
from diptych.tasks._files import Row, find_table, read_table
from diptych.tasks._rows import file_opener, rename, task_of

PICTURE = "file_name"
"""The image column of a Hugging Face image folder's metadata."""


def folder(
    path: Path,
    *,
    images: Path | None = None,
    columns: dict[str, str] | None = None,
    query: str | None = None,
    answers: tuple[str, ...] | None = None,
    name: str | None = None,
) -> Task:
    """Your own questions: a .jsonl or .csv file with pictures beside it, or an image folder with its metadata.

    `path`: the file, or a folder with `metadata.jsonl` or `metadata.csv`, whose column `file_name` is the image.
    `images`: the folder in which image paths start; the file's own by default. `columns`: field → column, if columns
    have other names. `query`: for rows without one. `answers`: all that may occur, in their order; by default those
    that do. `name`: the task's; by default the file's or the folder's.
    """
    path = Path(path)
    table = find_table(path, "metadata") if path.is_dir() else path
    rows = read_table(table)
    return task_of(
        name or path.resolve().stem,
        rename(rows if columns else _with_pictures(rows), columns, source=f"'{table}'"),
        open_picture=file_opener(Path(images or table.parent)),
        query=query,
        answers=answers,
    )


def _with_pictures(rows: Sequence[Row]) -> list[Row]:
    """The column of an image folder's metadata that holds the picture, by the name that it has here."""
    return [
        Row(
            row.place,
            {"image" if key == PICTURE and "image" not in row.values else key: v for key, v in row.values.items()},
        )
        for row in rows
    ]
