"""Questions from a Hugging Face data set: the same from a folder as from the hub, streamed, and none of its code run."""

import builtins
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from diptych.errors import InputError
from diptych.items import Item, Task
from diptych.pictures import ImageBytes, ImageFile
from diptych.tasks import make_task
from diptych.tasks._files import Row
from diptych.tasks.hub import _opener

datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install 'diptych[hub]'")

TYPES = ["is it", "is it", "how many"]
COLUMNS = {"image": "image", "query": "question", "answer": "label"}


def questions(count: int = 9) -> Any:
    """Rows as in VQAv2, three questions per picture, and a class label."""
    text, number = datasets.Value("string"), datasets.Value("int64")
    features = {"question_id": number, "question": text, "question_type": text, "image_id": number}
    features |= {"image": datasets.Image(), "answers": [{"answer": text, "answer_confidence": text}]}
    features |= {"multiple_choice_answer": text, "answer_type": text, "label": datasets.ClassLabel(names=["no", "yes"])}
    rows = [
        {
            "question_id": 100 + n,
            "question": f"{TYPES[n % 3]} {n}?",
            "question_type": TYPES[n % 3],
            "image_id": n // 3,
            "image": Image.new("RGB", (5, 4), (40 * (n // 3), 0, 0)),
            "answers": [{"answer": a, "answer_confidence": "yes"} for a in (["yes"] * 7 + ["no", "maybe", "no"])],
            "multiple_choice_answer": "yes" if n % 2 else "no",
            "answer_type": "yes/no" if n % 3 < 2 else "number",
            "label": n % 2,
        }
        for n in range(count)
    ]
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as one would download it: a folder of parquet files named after splits."""
    path = tmp_path_factory.mktemp("hub") / "vqa"
    path.mkdir()
    datasets.disable_progress_bars()
    questions().to_parquet(path / "validation-00000-of-00001.parquet")
    return path


def read(folder: Path, **parameters: Any) -> Task:
    return make_task("hub", **({"data": str(folder), "split": "validation"} | parameters))


def test_the_layout_of_vqav2_is_known(folder: Path) -> None:
    task = read(folder, layout="vqav2")
    item: Item = task.items[4]

    assert (task.name, len(task.items), task.answers) == ("vqa", 9, ("no", "yes"))
    assert (item.id, item.query, item.answer) == ("104", "is it 4?", "no")
    assert (item.group, item.cluster, item.text) == ("is it", "1", None)
    assert item.accepted == ("yes",) * 7 + ("no", "maybe", "no")
    assert item.image is not None and item.image.open().getpixel((0, 0)) == (40, 0, 0)


def test_class_labels_are_read_by_name_and_equal_pictures_share_a_cluster(folder: Path) -> None:
    task = read(folder, columns=COLUMNS)

    assert [item.answer for item in task.items[:3]] == ["no", "yes", "no"]
    assert len({item.cluster for item in task.items}) == 3


def test_only_as_many_rows_as_asked_for_and_only_those_that_are_wanted_are_used(folder: Path) -> None:
    few = read(folder, columns=COLUMNS, limit=2)
    numbers = read(folder, layout="vqav2", where={"answer_type": "number"})

    assert [item.id for item in few.items] == ["1", "2"]
    assert [item.id for item in numbers.items] == ["102", "105", "108"]


def test_what_was_saved_to_disk_is_the_same_task(folder: Path, tmp_path: Path) -> None:
    questions().save_to_disk(tmp_path / "vqa")
    datasets.DatasetDict({"validation": questions()}).save_to_disk(tmp_path / "both" / "vqa")

    digests = {read(place, layout="vqav2").digest() for place in (folder, tmp_path / "vqa", tmp_path / "both" / "vqa")}

    assert len(digests) == 1


def test_an_image_folder_is_read_from_its_files(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "cat.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "cat.png", "query": "Which?", "answer": "cat"}\n')

    (item,) = read(tmp_path, split="train").items

    assert isinstance(item.image, ImageFile) and item.cluster == "cat.png"


def test_code_in_a_data_set_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "clever"
    path.mkdir()
    (path / "clever.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")

    with pytest.raises(InputError, match="Data set '.*clever' .train. cannot be read: RuntimeError"):
        read(path, split="train")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"split": "train"}, r"cannot be read: ValueError: Bad split: train. Available splits: \['validation'\]"),
        (
            {"data": "no/such"},
            "Data set 'no/such' .validation. cannot be read: .*Expected an id of the Hugging Face hub",
        ),
        ({}, "row 1 of data set '.*vqa' .validation.: unknown column 'question_id'. Known: id, text,"),
        (
            {"columns": COLUMNS | {"answer": "answr"}},
            "Data set .* has no column 'answr'. It has: question_id, question",
        ),
        ({"columns": COLUMNS | {"image": "question"}}, "row 1 .*: image is a str. Expected a column of pictures"),
        ({"layout": "vqav2", "columns": COLUMNS}, "Both layout=vqav2 and columns are given"),
        ({"layout": "vqa"}, "Parameter layout='vqa' of task 'hub' cannot be used: Input should be 'vqav2'"),
        ({"revision": "main"}, "Revision 'main' cannot be chosen for '.*', which is a folder"),
        ({"columns": COLUMNS, "where": {"labl": "no"}}, "Row 1 .* has no value in column 'labl', which `where` names"),
        ({"columns": COLUMNS, "where": {"label": "perhaps"}}, "No row of .* can be used. .*'perhaps'"),
        ({"columns": COLUMNS, "limit": 0}, "Parameter limit=0 of task 'hub' cannot be used"),
        ({"columns": COLUMNS, "answers": "no"}, "row 2 .*: answer 'yes' is not in the answer set .no."),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(folder: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(folder, **parameters)


def test_a_split_that_was_not_saved_is_refused(tmp_path: Path) -> None:
    found = datasets.Dataset.from_list([{"text": "a"}], split="validation")
    datasets.DatasetDict({"validation": found}).save_to_disk(tmp_path / "both")

    for place in (tmp_path / "both", tmp_path / "both" / "validation"):
        with pytest.raises(InputError, match="has no split 'train'. Known: validation"):
            read(place, split="train")


def test_a_picture_whose_path_leads_out_of_the_data_set_is_refused(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "private.png")
    value = {"bytes": None, "path": str(tmp_path / "private.png")}

    for data in (folder, Path("some/dataset")):
        with pytest.raises(InputError, match=r"row 1: its picture is not in the data set but at '.*private.png'"):
            _opener(data)(Row("row 1", {"image": value}), value)


def test_a_picture_that_cannot_be_opened_is_named_by_its_row(tmp_path: Path) -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "query": datasets.Value("string"), "answer": datasets.Value("string")}
    )
    rows = [{"image": {"bytes": b"meow", "path": None}, "query": "Which?", "answer": "cat"}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "bad")

    with pytest.raises(InputError, match="^row 1 of data set .*: The picture of row 1 .* cannot be opened"):
        read(tmp_path / "bad")


def test_pictures_held_as_bytes_are_told_apart_by_content() -> None:
    one, same, other = ImageBytes(b"1", "a"), ImageBytes(b"1", "b"), ImageBytes(b"2", "a")

    assert one.digest() == same.digest() != other.digest()


def test_a_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(
        InputError, match=r"package `datasets`, which is not installed. Run: pip install 'diptych\[hub\]'"
    ):
        read(folder)
