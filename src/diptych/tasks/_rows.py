"""Make items of rows: which column holds what, what is taken where a column is missing, and what is refused."""

import ast
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from diptych.errors import InputError
from diptych.items import Item, Task
from diptych.pictures import ImageBytes, ImageFile
from diptych.tasks._files import Row

FIELDS = ("id", "text", "image", "query", "answer", "accepted", "group", "cluster", "split")
"""What a row may say of its item; only a query, an answer and one panel are needed."""

Stored = ImageFile | ImageBytes
Open = Callable[[Row, Any], tuple[Stored, str]]
"""A row and the value of its image column → the picture, and a name that equal pictures share."""


def task_of(
    name: str, rows: Sequence[Row], *, open_picture: Open, query: str | None, answers: Sequence[str] | None
) -> Task:
    """A task of rows whose columns are `FIELDS`.

    Where a row says nothing: `query` for its query, the first accepted answer for its answer, its number for its id, its
    query for its group (so a counterfactual is asked the same), its picture, else its text, for its cluster.
    """
    items: dict[str, tuple[Row, Item]] = {}
    for number, row in enumerate(rows, 1):
        item = _item(row, number, open_picture, query)
        if item.id in items:
            raise InputError(
                f"{row.place}: id '{item.id}' is that of {items[item.id][0].place} too. Give each its own."
            )
        if answers is not None and item.answer not in answers:
            raise InputError(
                f"{row.place}: answer '{item.answer}' is not in the answer set ({_some(answers)}). Correct it, or add it "
                f"to `answers`."
            )
        items[item.id] = (row, item)
    found = tuple(item for _, item in items.values())
    return Task(name, 1, found, tuple(answers or dict.fromkeys(item.answer for item in found)))


def rename(
    rows: Sequence[Row], columns: Mapping[str, str] | None, fields: Sequence[str] = FIELDS, source: str = "The table"
) -> list[Row]:
    """The rows with `fields` for columns: as they are named, or as `columns` says (field → column), others left out."""
    if columns is None:
        for row in rows:
            unknown = [name for name in row.values if name not in fields]
            if unknown:
                raise InputError(
                    f"{row.place}: unknown column {unknown[0]!r}. Known: {', '.join(fields)}. If columns have other names, "
                    f'say which to read, field by field: `columns={{"{_nearest(unknown[0], fields)}": {json.dumps(unknown[0])}}}`.'
                )
        return list(rows)
    strange = [field for field in columns if field not in fields]
    if strange:
        raise InputError(f"`columns` names a field '{strange[0]}'. Known: {', '.join(fields)}. Write field: column.")
    present = dict.fromkeys(name for row in rows for name in row.values)
    missing = [column for column in columns.values() if column not in present]
    if missing:
        raise InputError(f"{source} has no column '{missing[0]}'. It has: {_some(list(present))}. Correct `columns`.")
    return [
        Row(row.place, {field: row.values[column] for field, column in columns.items() if column in row.values})
        for row in rows
    ]


def needed(row: Row, field: str) -> str:
    """A text that the row must have."""
    found = text(row, field)
    if found is None:
        raise InputError(f"{row.place}: no {field}. Expected a column '{field}' with a text in every row.")
    return found


def text(row: Row, field: str) -> str | None:
    """A text of the row, or `None`; whole numbers are read as they are written."""
    value = row.values.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(
            f"{row.place}: {field} is {_some([value])} ({type(value).__name__}). Expected a text: put it into quotes."
        )
    return str(value).replace("\r\n", "\n")


def texts(row: Row, field: str) -> tuple[str, ...]:
    """Several texts: a list, a text that holds a list, or texts with | between; of VQA's annotations, the answers."""
    value = row.values.get(field, ())
    if isinstance(value, str):
        value = _listed(value)
    if isinstance(value, dict):  # datasets may keep a list of records as a record of lists
        value = value.get("answer", [value])
    if not isinstance(value, list | tuple):
        value = [value]
    parts = [part["answer"] if isinstance(part, dict) and "answer" in part else part for part in value]
    return tuple(needed(Row(row.place, {field: part}), field).strip() for part in parts)


def file_opener(folder: Path) -> Open:
    """Opens pictures by their paths in `folder`; a path may not leave it, but links in it are followed."""

    def open_picture(row: Row, value: Any) -> tuple[Stored, str]:
        path = PurePosixPath(needed(row, "image"))
        if path.is_absolute() or ".." in path.parts or "\0" in str(path):
            raise InputError(
                f"{row.place}: image {str(path)!r} leads out of '{folder}'. Expected a path inside; `images` names the folder."
            )
        if not (folder / path).is_file():
            raise InputError(
                f"{row.place}: no image {str(path)!r} in '{folder}'. Correct the path, or name the folder as `images`."
            )
        return ImageFile(folder / path), str(path)

    return open_picture


def picture_of(row: Row, open_picture: Open) -> tuple[Stored | None, str]:
    """The row's picture, and its name; raises `InputError` if it cannot be decoded or is too large for that."""
    if row.values.get("image") is None:
        return None, ""
    picture, name = open_picture(row, row.values["image"])
    try:
        picture.open()  # only to see that it can be: a damaged one is refused here, by its line
    except InputError as error:
        raise InputError(f"{row.place}: {error}") from error
    return picture, name


def item_at(row: Row, **fields: Any) -> Item:
    """The item; if it cannot be, the message says where it is from."""
    try:
        return Item(**fields)
    except InputError as error:
        raise InputError(f"{row.place}: {error}") from error


def _item(row: Row, number: int, open_picture: Open, query: str | None) -> Item:
    picture, name = picture_of(row, open_picture)
    asked = query if query is not None and text(row, "query") is None else needed(row, "query")
    accepted = texts(row, "accepted")
    answer = accepted[0] if accepted and text(row, "answer") is None else needed(row, "answer")
    return item_at(
        row,
        id=text(row, "id") or str(number),
        text=text(row, "text"),
        image=picture,
        query=asked,
        answer=answer,
        accepted=accepted,
        group=text(row, "group") or asked,
        cluster=text(row, "cluster") or name or text(row, "text") or "",
        split=text(row, "split"),
    )


def _listed(value: str) -> list[Any]:
    """The parts of a text that holds several: a list as JSON or Python writes it, or parts with | between."""
    if not value.startswith("["):
        return value.split("|")
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    return [value]


def _nearest(name: str, fields: Sequence[str]) -> str:
    return difflib.get_close_matches(name, fields, n=1, cutoff=0)[0]


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value)[:60] for value in values[:8])
    return shown + ", ..." if len(values) > 8 else shown
