"""Hub: questions from a data set of the Hugging Face hub, or from a folder that the datasets library reads."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from diptych.errors import InputError
from diptych.items import Task
from diptych.pictures import ImageBytes, ImageFile
from diptych.retries import told_once
from diptych.tasks._files import Row
from diptych.tasks._rows import Open, Stored, rename, task_of

LAYOUTS: dict[str, dict[str, str]] = {
    "vqav2": {
        "id": "question_id",
        "image": "image",
        "query": "question",
        "answer": "multiple_choice_answer",
        "accepted": "answers",
        "group": "question_type",
        "cluster": "image_id",
    },
}
"""Column maps of known data sets: field → column."""


def hub(
    data: str,
    split: str,
    *,
    revision: str | None = None,
    subset: str | None = None,
    layout: Literal["vqav2"] | None = None,
    columns: dict[str, str] | None = None,
    where: dict[str, str] | None = None,
    limit: Annotated[int, Ge(1)] = 1000,
    query: str | None = None,
    answers: tuple[str, ...] | None = None,
    name: str | None = None,
) -> Task:
    """Questions of a Hugging Face data set: its first rows, streamed, so no more is fetched than is used.

    `data`: an id of the hub, or a folder that `datasets` reads (parquet, JSON, CSV, image folder, `save_to_disk`).
    `split`: the data set's, such as validation; all items come from it. `revision`: commit or branch. `subset`: the
    configuration. `layout`: a known map of columns. `columns`: your own, field → column. `where`: column → the value
    that a row must have to be used. `limit`: how many rows to use. `query`, `answers`, `name`: as for `folder`.
    Code of a data set is never run. Needs `pip install 'diptych[hub]'`.
    """
    if layout is not None and columns is not None:
        raise InputError(f"Both layout={layout} and columns are given. Expected one of the two maps of columns.")
    if Path(data).exists() and revision is not None:
        raise InputError(f"Revision '{revision}' cannot be chosen for '{data}', which is a folder. Leave it out.")
    title = f"data set '{data}' ({split})"
    chosen = LAYOUTS[layout] if layout else columns
    with told_once():
        rows = list(itertools.islice(_wanted(_rows(data, split, revision, subset, title), where), limit))
    if not rows:
        raise InputError(
            f"No row of {title} can be used. Expected at least one{' with ' + str(where) if where else ''}."
        )
    return task_of(
        name or Path(data).name,
        rename(rows, chosen, source=f"D{title[1:]}"),
        open_picture=_opener(Path(data)),
        query=query,
        answers=answers,
    )


def _rows(data: str, split: str, revision: str | None, subset: str | None, title: str) -> Iterator[Row]:
    """The rows one by one, pictures undecoded, class labels by name; `InputError` for whatever goes wrong in between."""
    try:
        read: Iterable[Mapping[str, Any]] = _streamed(data, split, revision, subset)
        for number, values in enumerate(read, 1):
            given = {key: value for key, value in values.items() if value is not None and value != ""}
            yield Row(f"row {number} of {title}", given)
    except InputError:
        raise
    except Exception as error:  # of the network, the file format, the split's name: each library has its own
        raise InputError(
            f"{title[0].upper()}{title[1:]} cannot be read: {type(error).__name__}: {str(error)[:300].rstrip('.')}. "
            f"Expected an id of the Hugging Face hub or a folder that `datasets` reads, and the name of one of its splits."
        ) from error


def _streamed(data: str, split: str, revision: str | None, subset: str | None) -> Iterable[Mapping[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "Data sets of the hub need the package `datasets`, which is not installed. Run: pip install 'diptych[hub]'."
        ) from error
    if (Path(data) / "state.json").exists() or (Path(data) / "dataset_dict.json").exists():
        found = datasets.load_from_disk(data)
        parts = found if isinstance(found, datasets.DatasetDict) else {str(found.split or split): found}
        if split not in parts:
            raise InputError(f"'{data}' has no split '{split}'. Known: {', '.join(parts)}.")
        source: Any = parts[split]
    else:
        source = datasets.load_dataset(data, name=subset, split=split, revision=revision, streaming=True)
    features = dict(source.features or {})
    for column, feature in features.items():
        if isinstance(feature, datasets.Image):
            source = source.cast_column(column, datasets.Image(decode=False))
    labels = {name: feature.int2str for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)}
    return (_labelled(values, labels) for values in source)


def _labelled(values: Mapping[str, Any], labels: Mapping[str, Callable[[int], str]]) -> dict[str, Any]:
    """The values with class labels by name; a label of −1 is none."""
    numbers = {name: values[name] for name in labels if values[name] is not None}
    return {**values, **{name: labels[name](n) if n >= 0 else None for name, n in numbers.items()}}


def _wanted(rows: Iterator[Row], where: Mapping[str, str] | None) -> Iterator[Row]:
    for row in rows:
        strange = [column for column in where or {} if column not in row.values]
        if strange:
            raise InputError(
                f"{row.place[0].upper()}{row.place[1:]} has no value in column '{strange[0]}', which `where` names. "
                f"It has: {', '.join(row.values)}."
            )
        if all(str(row.values[column]) == value for column, value in (where or {}).items()):
            yield row


def _opener(folder: Path) -> Open:
    """Opens pictures from their bytes, or, of a data set in a folder, from a file inside it: never from elsewhere."""

    def open_picture(row: Row, value: Any) -> tuple[Stored, str]:
        held = {"bytes": value} if isinstance(value, bytes) else value
        if not isinstance(held, dict) or not held.keys() & {"bytes", "path"}:
            raise InputError(
                f"{row.place}: image is a {type(value).__name__}. Expected a column of pictures (`datasets.Image`)."
            )
        if held.get("bytes") is not None:
            found = ImageBytes(held["bytes"], row.place)
            return found, found.digest()[:12]
        path = Path(str(held["path"])).resolve()
        if not (folder.is_dir() and path.is_relative_to(folder.resolve()) and path.is_file()):
            raise InputError(
                f"{row.place}: its picture is not in the data set but at {str(held['path'])!r}. Expected pictures in the "
                f"data set itself, or in its folder."
            )
        return ImageFile(path), str(path.relative_to(folder.resolve()))

    return open_picture
