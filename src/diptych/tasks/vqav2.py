"""VQAv2: questions about photographs, from the files as they are released: questions, annotations, and a folder of pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from diptych.errors import InputError
from diptych.items import Task
from diptych.tasks._files import Row, read_json
from diptych.tasks._rows import file_opener, task_of

SUFFIXES = (".jpg", ".png")
PREFIXES = {"mscoco": "COCO"}
"""`data_type` of a questions file → how names of its pictures begin; those of others begin with the type itself."""

Record = Mapping[str, Any]


def vqav2(
    questions: Path,
    annotations: Path,
    images: Path,
    *,
    answer_type: str | None = None,
    limit: Annotated[int, Ge(1)] = 1000,
    query: str = "{question}",
    answers: tuple[str, ...] | None = None,
    name: str | None = None,
) -> Task:
    """Questions about photographs with the answers of ten annotators each, for `free_accuracy` with `match=vqa`.

    `questions`, `annotations`: the released JSON files, such as `v2_OpenEnded_mscoco_val2014_questions.json` and
    `v2_mscoco_val2014_annotations.json`; `images`: the folder of pictures, such as `COCO_val2014_000000000042.jpg`.
    `answer_type`: yes/no, number or other, to use these alone. `limit`: how many questions to use, the first ones.
    `query`: what is asked, {question} for the question. A counterfactual has the same question type; questions about one
    picture share a cluster. `answers`, `name`: as for `folder`. Source: Goyal et al. 2017 (arXiv 1612.00837).
    """
    if "{question}" not in query:
        raise InputError(f"The query {query!r} asks no question. Write {{question}} where each one goes.")
    known = {
        record.get("question_id"): record for record in _listed(read_json(annotations), annotations, "annotations")
    }
    asked = read_json(questions)
    pictures = _Pictures(Path(images), _named(asked, questions))
    used = (
        _row(record, known, pictures, questions, query)
        for record in _listed(asked, questions, "questions")
        if answer_type in (None, known.get(record.get("question_id"), {}).get("answer_type", answer_type))
    )
    rows = list(islice(used, limit))
    if not rows:
        raise InputError(
            f"No question of '{questions}' has the answer type {answer_type!r}. Expected yes/no, number or other."
        )
    return task_of(
        name or Path(questions).stem, rows, open_picture=file_opener(Path(images)), query=None, answers=answers
    )


@dataclass(frozen=True)
class _Pictures:
    """The folder of pictures, and how their names begin."""

    folder: Path
    prefix: str

    def of(self, number: int) -> str:
        """The name of a picture's file: one that is there, if any is."""
        names = [f"{self.prefix}_{number:012d}{suffix}" for suffix in SUFFIXES]
        return next((name for name in names if (self.folder / name).is_file()), names[0])


def _row(record: Record, known: Mapping[Any, Record], pictures: _Pictures, questions: Path, query: str) -> Row:
    place = f"'{questions}', question {record.get('question_id')!r}"
    if (answered := known.get(record.get("question_id"))) is None:
        raise InputError(f"{place}: no annotation has this question_id. Give the annotations of the same split.")
    number = record.get("image_id")
    if not isinstance(number, int) or answered.get("image_id") != number:
        raise InputError(
            f"{place}: image_id is {number!r}, and {answered.get('image_id')!r} in its annotation. Expected one whole number in "
            f"both: give files of one release."
        )
    values = {
        "id": record.get("question_id"),
        "image": pictures.of(number),
        "query": query.replace("{question}", text) if isinstance(text := record.get("question"), str) else text,
        "answer": answered.get("multiple_choice_answer"),
        "accepted": answered.get("answers"),
        "group": answered.get("question_type"),
        "cluster": number,
    }
    return Row(place, {name: value for name, value in values.items() if value is not None and value != ""})


def _named(asked: Any, questions: Path) -> str:
    """How names of the pictures begin: the type and the split of the data."""
    kind, split = (asked.get(name) if isinstance(asked, Mapping) else None for name in ("data_type", "data_subtype"))
    if not isinstance(kind, str) or not isinstance(split, str):
        raise InputError(
            f"'{questions}' has data_type {kind!r} and data_subtype {split!r}. Expected two texts, such as mscoco and val2014, "
            f"as in the released questions: they name the pictures."
        )
    return f"{PREFIXES.get(kind, kind)}_{split}"


def _listed(content: Any, path: Path, field: str) -> Sequence[Record]:
    """The records of a released file."""
    found = content.get(field) if isinstance(content, Mapping) else None
    if not isinstance(found, list) or not found or not all(isinstance(record, Mapping) for record in found):
        raise InputError(
            f"'{path}' has no list of {field}. Expected the released file: one JSON object with '{field}', a list of objects."
        )
    return found
