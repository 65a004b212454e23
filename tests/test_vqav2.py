"""VQAv2 as it is released: two JSON files and a folder of pictures; what does not fit together is refused by its question."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from diptych.errors import InputError
from diptych.items import Task
from diptych.pictures import ImageFile
from diptych.tasks import make_task

QUESTIONS, ANNOTATIONS = "v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json"
Content = dict[str, Any]


def release(
    folder: Path,
    change: Callable[[Content, Content], object] = lambda questions, annotations: None,
    pictures: Sequence[int] = (458752, 262148),
) -> Path:
    """Three questions on each picture, in the layout of visualqa.org."""
    told = {"info": {"version": "2.0"}, "data_type": "mscoco", "data_subtype": "val2014", "license": {}}
    numbers = [(picture, n) for picture in pictures for n in range(3)]
    asked = [{"image_id": p, "question": f"How many {n}?", "question_id": 1000 * p + n} for p, n in numbers]
    people = [{"answer": "net", "answer_confidence": "maybe", "answer_id": n} for n in range(1, 11)]
    people[3] |= {"answer": "a net"}
    given = [
        {"question_type": "how many", "multiple_choice_answer": "net", "answers": people, "image_id": p}
        | {"answer_type": "number" if n else "other", "question_id": 1000 * p + n}
        for p, n in reversed(numbers)  # not in the order of the questions
    ]
    questions, annotations = told | {"task_type": "Open-Ended", "questions": asked}, told | {"annotations": given}
    change(questions, annotations)
    (folder / "val2014").mkdir()
    for picture in pictures:
        Image.new("RGB", (32, 32), (picture % 251, 0, 0)).save(folder / "val2014" / f"COCO_val2014_{picture:012d}.jpg")
    (folder / QUESTIONS).write_text(json.dumps(questions), encoding="utf-8")
    (folder / ANNOTATIONS).write_text(json.dumps(annotations), encoding="utf-8")
    return folder


def read(folder: Path, **parameters: Any) -> Task:
    files = {"questions": folder / QUESTIONS, "annotations": folder / ANNOTATIONS, "images": folder / "val2014"}
    return make_task("vqav2", **({name: str(path) for name, path in files.items()} | parameters))


def test_questions_are_joined_with_their_annotations_and_pictures(tmp_path: Path) -> None:
    task = read(release(tmp_path), query="{question} One word.")

    assert (task.name, len(task.items), task.answers) == (QUESTIONS.removesuffix(".json"), 6, ("net",))
    item = task.items[4]
    assert (item.id, item.query, item.answer, item.text) == ("262148001", "How many 1? One word.", "net", None)
    assert (item.group, item.cluster) == ("how many", "262148")
    assert item.accepted == ("net",) * 3 + ("a net",) + ("net",) * 6
    assert isinstance(item.image, ImageFile) and item.image.path.name == "COCO_val2014_000000262148.jpg"


def test_only_questions_of_the_answer_type_are_used_and_as_many_as_asked_for(tmp_path: Path) -> None:
    folder = release(tmp_path)

    numbers, few = read(folder, answer_type="number"), read(folder, answer_type="number", limit=3)

    assert [item.id[-1] for item in numbers.items] == ["1", "2", "1", "2"] and len(few.items) == 3


def test_pictures_of_abstract_scenes_are_found_by_the_name_of_their_data(tmp_path: Path) -> None:
    folder = release(tmp_path, lambda q, a: q.update(data_type="abstract_v002", data_subtype="val2015"))
    for path in (folder / "val2014").iterdir():
        Image.new("RGB", (4, 4)).save(
            path.with_name(path.name.replace("COCO_val2014", "abstract_v002_val2015")[:-4] + ".png")
        )

    (item, *_) = read(folder).items

    assert isinstance(item.image, ImageFile) and item.image.path.name == "abstract_v002_val2015_000000458752.png"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q, a: a["annotations"].pop(), "question 458752000: no annotation has this question_id. Give the annot"),
        (
            lambda q, a: a["annotations"][-1].update(image_id=7),
            "image_id is 458752, and 7 in its annotation. Expected one",
        ),
        (
            lambda q, a: q["questions"][0].update(image_id="458752"),
            "image_id is '458752', and 458752 in its annotation",
        ),
        (lambda q, a: q["questions"][0].pop("question"), "question 458752000: no query. Expected"),
        (lambda q, a: q["questions"][1].update(question_id=458752000), "id '458752000' is that of .*, question 4587"),
        (lambda q, a: a["annotations"][-1].update(answers=[{"answer": 1.5}]), "question 458752000: accepted is 1.5"),
        (lambda q, a: q.pop("questions"), "questions.json' has no list of questions. Expected the released file"),
        (lambda q, a: a.update(annotations=[1]), "annotations.json' has no list of annotations. Expected the rel"),
        (lambda q, a: q.pop("data_subtype"), "has data_type 'mscoco' and data_subtype None. Expected two texts"),
        (lambda q, a: q.update(data_subtype="train2014"), "no image 'COCO_train2014_000000458752.jpg' in '.*val2014'"),
    ],
)
def test_files_that_do_not_fit_together_are_refused_by_their_question(
    tmp_path: Path, change: Callable[[Content, Content], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(release(tmp_path, change))


def test_parameters_and_files_that_cannot_be_are_refused(tmp_path: Path) -> None:
    folder = release(tmp_path)

    with pytest.raises(
        InputError, match="No question of '.*questions.json' has the answer type 'colour'. Expected yes/no"
    ):
        read(folder, answer_type="colour")
    with pytest.raises(InputError, match="The query 'Which\\?' asks no question. Write {question} where each one goes"):
        read(folder, query="Which?")
    with pytest.raises(InputError, match="No file '.*none.json'. Expected one JSON object in a file"):
        read(folder, annotations=str(folder / "none.json"))
    (folder / ANNOTATIONS).write_text('{"annotations": [')
    with pytest.raises(InputError, match="annotations.json' is not JSON: Expecting value: line 1 column 18"):
        read(folder)
    (folder / "val2014" / "COCO_val2014_000000458752.jpg").write_bytes(b"GIF")
    release_again = folder / "again"
    release_again.mkdir()
    release(release_again)
    with pytest.raises(InputError, match="question 458752000: Image .* cannot be opened: cannot identify image file"):
        read(release_again, images=str(folder / "val2014"))
