"""Read a user's table, JSON lines or CSV, as rows that know their line; a table with one wrong line is not read at all."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from diptych.errors import InputError


@dataclass(frozen=True)
class Row:
    """One line of a table: where it is, for messages, and its values by column; what is not given is left out."""

    place: str
    values: dict[str, Any]


def read_table(path: Path) -> list[Row]:
    """The rows of a `.jsonl` or `.csv` file in UTF-8, with or without a byte order mark."""
    if path.suffix not in READERS:
        raise InputError(f"'{path}' is neither a .jsonl nor a .csv file. Expected {EXPECTED}.")
    rows = list(READERS[path.suffix](path, _decode(path, _content(path, EXPECTED))))
    if not rows:
        raise InputError(f"'{path}' holds no rows. Expected {EXPECTED}.")
    return rows


def read_json(path: Path) -> Any:
    """What a whole JSON file in UTF-8 holds."""
    path = Path(path)
    text = _decode(path, _content(path, "one JSON object in a file"))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not JSON: {error}. Get the file anew.") from error


def find_table(folder: Path, stem: str) -> Path:
    """`stem.jsonl` or `stem.csv` in a folder; raises `InputError` if there is none, or both."""
    found = [folder / f"{stem}{suffix}" for suffix in READERS if (folder / f"{stem}{suffix}").is_file()]
    if len(found) != 1:
        has = f"both {stem}.jsonl and {stem}.csv" if found else f"neither {stem}.jsonl nor {stem}.csv"
        raise InputError(f"'{folder}' has {has}. Expected one of the two.")
    return found[0]


OBJECT = '{"text": "...", "query": "...", "answer": "..."}'
EXPECTED = "one JSON object per line, or a line of column names and then one line per item"


def _content(path: Path, expected: str) -> bytes:
    if not path.is_file():
        raise InputError(f"No file '{path}'. Expected {expected}.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}. Check its permissions.") from error


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{_place(path, line)}: byte {content[error.start]:#04x} is not UTF-8. Save the file as UTF-8."
        ) from error


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: JSON may hold U+2028 and the like
        if line.strip():
            values = _json_object(_place(path, number), line)
            yield Row(_place(path, number), {key: value for key, value in values.items() if value is not None})


def _json_object(place: str, line: str) -> dict[str, Any]:
    def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        twice = {key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1}
        if twice:
            raise InputError(f"{place}: key {min(twice)!r} is given twice. Give each once.")
        return dict(pairs)

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        found = json.loads(line, object_pairs_hook=once, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} (column {error.colno})" if isinstance(error, json.JSONDecodeError) else error
        raise InputError(f"{place}: not JSON: {reason}. Expected one object, such as {OBJECT}.") from error
    if not isinstance(found, dict):
        raise InputError(f"{place}: JSON, but a {type(found).__name__}. Expected one object, such as {OBJECT}.")
    return found


def _comma_separated(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    first = 1  # line on which the next record begins: one in quotes may have several
    try:
        for record in reader:
            place, first = _place(path, first), reader.line_num + 1
            if names is None:
                names = _column_names(place, record)
            elif record:
                if len(record) != len(names):
                    raise InputError(
                        f"{place}: {len(record)} values for {len(names)} columns. Put values that hold commas into quotes."
                    )
                yield Row(place, {name: value for name, value in zip(names, record, strict=True) if value})
    except csv.Error as error:
        raise InputError(f"{_place(path, first)}: not CSV: {error}. Check its quotes.") from error


def _column_names(place: str, record: list[str]) -> list[str]:
    names = [name.strip() for name in record]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{place}: two columns are named {twice[0]!r}. Give each a name of its own.")
    return names


def _place(path: Path, line: int) -> str:
    return f"{path}, line {line}"


READERS = {".jsonl": _json_lines, ".csv": _comma_separated}
