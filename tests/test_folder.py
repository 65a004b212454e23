"""A user's own questions from files: read as documented, or refused with file and line, nothing half-read."""

import csv
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from diptych.errors import InputError
from diptych.items import SPLITS, Task
from diptych.tasks import make_task

GOOD = {"text": "a cat", "query": "Which animal?", "answer": "cat"}


def png(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(path)
    return path


def bomb(path: Path, side: int) -> None:
    """A PNG whose header says side × side pixels, and that holds none."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def jsonl(folder: Path, *rows: Any, name: str = "animals.jsonl") -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def read(path: Path, **parameters: Any) -> Task:
    return make_task("folder", path=path, **parameters)


def test_a_row_becomes_an_item_with_the_documented_defaults(tmp_path: Path) -> None:
    png(tmp_path / "pictures" / "cat.png")
    path = jsonl(tmp_path, {**GOOD, "image": "pictures/cat.png"}, {**GOOD, "id": 7, "text": "a dog", "answer": "dog"})

    task = read(path)
    cat, dog = task.items

    assert (task.name, task.answers) == ("animals", ("cat", "dog"))
    assert (cat.id, cat.text, cat.query, cat.answer) == ("1", "a cat", "Which animal?", "cat")
    assert (cat.group, cat.cluster, cat.paired) == ("Which animal?", "pictures/cat.png", True)
    assert cat.image is not None and cat.image.open().size == (4, 3)
    assert (dog.id, dog.cluster, dog.image) == ("7", "a dog", None)


def test_every_column_is_read(tmp_path: Path) -> None:
    row = {"id": "i", "text": "2 x", "query": "How many?", "answer": 2, "accepted": ["2", "two"], "group": "g"}
    (item,) = read(jsonl(tmp_path, {**row, "cluster": "c", "split": "test"})).items

    assert (item.id, item.text, item.query, item.answer) == ("i", "2 x", "How many?", "2")
    assert (item.accepted, item.group, item.cluster, item.split) == (("2", "two"), "g", "c", "test")


def test_csv_means_the_same_as_json_lines_also_with_a_byte_order_mark(tmp_path: Path) -> None:
    rows = [GOOD | {"accepted": ["cat", "kitten"]}, {**GOOD, "text": "a\ndog, big", "answer": "dog"}]
    table = 'text,query,answer,accepted\na cat,Which animal?,cat,cat|kitten\n"a\r\ndog, big",Which animal?,dog,\n'
    (tmp_path / "animals.csv").write_bytes(b"\xef\xbb\xbf" + table.encode())

    assert read(tmp_path / "animals.csv").digest() == read(jsonl(tmp_path, *rows)).digest()


def test_an_image_folder_of_hugging_face_is_read_by_its_metadata(tmp_path: Path) -> None:
    png(tmp_path / "pets" / "cat.png")
    jsonl(tmp_path / "pets", {"file_name": "cat.png", "answer": "cat"}, name="metadata.jsonl")

    task = read(tmp_path / "pets", query="Which animal?")

    assert task.name == "pets"
    assert task.items[0].query == "Which animal?"
    assert task.items[0].has("image") and not task.items[0].has("text")


def test_pictures_may_lie_in_a_folder_that_is_named(tmp_path: Path) -> None:
    png(tmp_path / "elsewhere" / "cat.png")
    path = jsonl(tmp_path, {**GOOD, "image": "cat.png"})

    assert read(path, images=tmp_path / "elsewhere").items[0].paired
    with pytest.raises(InputError, match="no image 'cat.png'"):
        read(path)


def test_a_link_to_a_picture_is_followed(tmp_path: Path) -> None:
    png(tmp_path / "store" / "cat.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pictures").symlink_to(tmp_path / "store")

    assert read(jsonl(tmp_path / "data", {**GOOD, "image": "pictures/cat.png"})).items[0].paired


def test_columns_of_other_names_are_mapped_and_the_others_left_out(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"label": "cat", "caption": "a cat", "question": "Which?", "licence": "CC0"})

    (item,) = read(path, columns={"text": "caption", "query": "question", "answer": "label"}).items

    assert (item.text, item.query, item.answer) == ("a cat", "Which?", "cat")


def test_the_first_accepted_answer_stands_in_for_a_missing_one(tmp_path: Path) -> None:
    (item,) = read(jsonl(tmp_path, {"text": "x", "query": "Who?", "accepted": "['Ada', \"Ada O'Neil\"]"})).items

    assert (item.answer, item.accepted) == ("Ada", ("Ada", "Ada O'Neil"))


def test_own_splits_are_kept_and_without_them_a_picture_is_never_divided(tmp_path: Path) -> None:
    for n in range(6):
        png(tmp_path / f"{n}.png", n)
    rows = [{"image": f"{n % 6}.png", "query": f"Is it {n // 6}?", "answer": "yes"} for n in range(18)]
    own = read(jsonl(tmp_path, *({**row, "split": SPLITS[n % 3]} for n, row in enumerate(rows))))
    drawn = read(jsonl(tmp_path, *rows))

    assert all(
        [item.id for item in own.split(split)] == [str(n + 1) for n in range(i, 18, 3)]
        for i, split in enumerate(SPLITS)
    )
    pictures = [{item.cluster for item in drawn.split(split)} for split in SPLITS]
    assert [len(found) for found in pictures] == [2, 2, 2]
    assert len(set.union(*pictures)) == 6


def test_a_counterfactual_is_asked_the_same_question_unless_groups_are_given(tmp_path: Path) -> None:
    rows = [{"text": f"x{n}", "query": f"Is it {n % 2}?", "answer": "yn"[n // 2 % 2]} for n in range(40)]
    plain = read(jsonl(tmp_path, *rows)).contrasts("text", "test")
    grouped = read(jsonl(tmp_path, *({**row, "group": "is it"} for row in rows))).contrasts("text", "test")

    assert plain and all(c.clean.query == c.counterfactual.query for c in plain)
    assert any(c.clean.query != c.counterfactual.query for c in grouped)


def test_what_is_read_depends_on_content_not_on_place(tmp_path: Path) -> None:
    digests = []
    for place, shade in (("a", 1), ("b", 1), ("c", 2)):
        png(tmp_path / place / "cat.png", shade)
        digests.append(read(jsonl(tmp_path / place, {**GOOD, "image": "cat.png"})).digest())

    assert digests[0] == digests[1] != digests[2]


BROKEN_LINES: dict[str, tuple[Any, str]] = {
    "a malformed line": ('{"text": "a",', "double quotes (column 14). Expected one object"),
    "a list": ("[1]", "line 2: JSON, but a list. Expected one object"),
    "a number that is none": ('{"answer": NaN}', "line 2: not JSON: NaN is not JSON"),
    "endless brackets": ("[" * 100_000, "line 2: not JSON: "),
    "a key twice": ('{"text": "a", "text": "b"}', "line 2: key 'text' is given twice"),
    "no query": ({"text": "a", "answer": "b"}, "line 2: no query. Expected a column 'query' with a text in every row"),
    "no answer": ({"text": "a", "query": "b"}, "line 2: no answer. Expected a column 'answer'"),
    "no panel": ({"query": "a", "answer": "b"}, "line 2: Item '2' has neither text nor image"),
    "a misspelt column": (GOOD | {"anwser": "b"}, "line 2: unknown column 'anwser'. Known: id, text, image, query, answer,"),
    "a fraction": (GOOD | {"answer": 1.5}, "line 2: answer is 1.5 (float). Expected a text: put it into quotes"),
    "a truth value": (GOOD | {"answer": True}, "line 2: answer is True (bool). Expected a text"),
    "a list for a text": (GOOD | {"query": ["a"]}, "line 2: query is ['a'] (list). Expected a text"),
    "a bell": (GOOD | {"text": "a\x07"}, "line 2: Item '2' has control characters in its text: U+0007"),
    "a lone surrogate": (GOOD | {"text": "a\ud800"}, "line 2: Item '2' has control characters in its text: U+D800"),
    "an escape in the id": (GOOD | {"id": "\x1b[31m"}, r"line 2: Item '\x1b[31m' has control characters in its id: U+001B"),
    "an unknown answer": (GOOD | {"answer": "dgo"}, "line 2: answer 'dgo' is not in the answer set (cat, dog). Correct it, or add"),
    "an id twice": (GOOD | {"id": "1"}, "line 2: id '1' is that of"),
    "an unknown split": (GOOD | {"split": "train"}, "line 2: Item '2' is of split 'train'. Expected discover, select, test"),
    "no such picture": (GOOD | {"image": "dog.png"}, "line 2: no image 'dog.png' in"),
    "a picture elsewhere": (GOOD | {"image": "../../etc/passwd"}, "line 2: image '../../etc/passwd' leads out of"),
    "a picture at the root": (GOOD | {"image": "/etc/passwd"}, "line 2: image '/etc/passwd' leads out of"),
    "a folder for a picture": (GOOD | {"image": "."}, "line 2: no image '.' in"),
    "a picture that is none": (GOOD | {"image": "meow.png"}, "line 2: Image"),
    "a picture of too many pixels": (GOOD | {"image": "large.png"}, "cannot be opened: it has more than 89,478,485 pixels"),
    "a picture of far too many pixels": (GOOD | {"image": "huge.png"}, "cannot be opened: it has more than 89,478,485 pixels"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_LINES)
def test_a_wrong_line_is_refused_by_file_and_line(what: str, tmp_path: Path) -> None:
    row, message = BROKEN_LINES[what]
    (tmp_path / "meow.png").write_text("meow")
    bomb(tmp_path / "large.png", 10_000)  # Pillow alone would warn of the first, and decode it
    bomb(tmp_path / "huge.png", 60_000)
    path = jsonl(tmp_path, GOOD, row, GOOD)

    with pytest.raises(InputError) as raised:
        read(path, answers=("cat", "dog"))

    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{path}, line 2: ")
    assert len(str(raised.value)) < 700


SHARED = {
    "a terminal's escape": ({"query": "a\x1b[2J"}, "control characters in its query: U+001B"),
    "a missing picture": ({"image": "dog.png"}, "no image 'dog.png' in"),
    "a picture of too many pixels": ({"image": "huge.png"}, "more than 89,478,485 pixels, so it is not decoded"),
    "a PNG cut short": ({"image": "short.png"}, "short.png' cannot be opened: "),
    "a JPEG cut short": ({"image": "short.jpg"}, "short.jpg' cannot be opened: "),
    "a WebP cut short": ({"image": "short.webp"}, "short.webp' cannot be opened: "),
    "an empty file": ({"image": "empty.png"}, "empty.png' cannot be opened: "),
    "an unknown answer": ({"answer": "dgo"}, "answer 'dgo' is not in the answer set (cat, dog)"),
    "an id twice": ({"id": "1"}, "id '1' is that of"),
}


@pytest.mark.parametrize("table", ["animals.jsonl", "animals.csv", "metadata.jsonl", "metadata.csv"])
@pytest.mark.parametrize("what", SHARED)
def test_what_is_wrong_is_refused_by_file_and_line_in_every_kind_of_table(
    what: str, table: str, tmp_path: Path
) -> None:
    change, message = SHARED[what]
    bomb(tmp_path / "huge.png", 60_000)
    for name in ("short.png", "short.jpg", "short.webp"):
        Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-300])
    (tmp_path / "empty.png").touch()
    path, line = table_of(tmp_path / table, GOOD, GOOD | {"text": "a dog"} | change, GOOD)

    with pytest.raises(InputError) as raised:
        read(path, answers=("cat", "dog"))

    assert str(raised.value).startswith(f"{tmp_path / table}, line {line}: ")
    assert message in str(raised.value)


def table_of(file: Path, *rows: dict[str, str]) -> tuple[Path, int]:
    """Write rows as the kind of table that the name says; what to read, and the line of the second row."""
    png(file.parent / "cat.png")
    image = "file_name" if file.stem == "metadata" else "image"
    rows = tuple({image if key == "image" else key: value for key, value in row.items()} for row in rows)
    if file.suffix == ".jsonl":
        jsonl(file.parent, *rows, name=file.name)
    else:
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, sorted(set().union(*rows)))
            writer.writeheader()
            writer.writerows(rows)
    return (file.parent if file.stem == "metadata" else file), 2 + (file.suffix == ".csv")


@pytest.mark.parametrize("table", ["animals.jsonl", "animals.csv", "metadata.jsonl", "metadata.csv"])
def test_a_table_without_faults_is_read_whole_and_keeps_its_html(table: str, tmp_path: Path) -> None:
    path, _ = table_of(tmp_path / table, GOOD | {"image": "cat.png"}, GOOD | {"text": "<b>a dog</b>"})

    items = read(path).items

    assert [(item.text, item.paired) for item in items] == [("a cat", True), ("<b>a dog</b>", False)]


BROKEN_TABLES = {
    "too few values": ("text,query,answer\na,b,c\na,b\n", "line 3: 2 values for 3 columns. Put values that hold commas into quotes"),
    "an open quote": ('text,query,answer\na,b,c\n"a,b,c\n', "line 3: not CSV: unexpected end of data. Check its quotes"),
    "a line after one of two": ('text,query,answer\n"a\nb",c,d\na,b\n', "line 4: 2 values for 3 columns"),
    "a name twice": ("text,text,query,answer\n", "line 1: two columns are named 'text'"),
    "semicolons": ("text;query;answer\na;b;c\n", "line 2: unknown column 'text;query;answer'. Known: id, text"),
    "a missing column": ("text,query\na,b\n", "line 2: no answer. Expected a column 'answer'"),
    "a terminal's escape": ("text,query,answer\na,b,c\n\x1b,b,c\n", "line 3: Item '2' has control characters in its text: U+001B"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_TABLES)
def test_a_wrong_line_of_csv_is_refused_by_file_and_line(what: str, tmp_path: Path) -> None:
    table, message = BROKEN_TABLES[what]
    (tmp_path / "animals.csv").write_text(table)

    with pytest.raises(InputError) as raised:
        read(tmp_path / "animals.csv")

    assert str(raised.value).startswith(f"{tmp_path / 'animals.csv'}, ")
    assert message in str(raised.value)


BROKEN_FILES: dict[str, tuple[str, bytes | None, str]] = {
    "an empty file": ("a.jsonl", b"", "a.jsonl' holds no rows. Expected one JSON object per line"),
    "blank lines alone": ("a.jsonl", b"\n \n", "a.jsonl' holds no rows"),
    "names of columns alone": ("a.csv", b"text,query,answer\n", "a.csv' holds no rows"),
    "Latin-1": ("a.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n', "a.jsonl, line 2: byte 0xe9 is not UTF-8. Save the file as UTF-8"),
    "UTF-16": ("a.csv", "text\na".encode("utf-16"), "a.csv, line 1: byte 0xff is not UTF-8"),
    "another format": ("a.xlsx", b"PK", "a.xlsx' is neither a .jsonl nor a .csv file"),
    "no file": ("a.jsonl", None, "No file '"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_FILES)
def test_a_file_that_is_no_table_is_refused(what: str, tmp_path: Path) -> None:
    name, content, message = BROKEN_FILES[what]
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError) as raised:
        read(tmp_path / name)

    assert message in str(raised.value)


def test_a_folder_needs_one_table_of_metadata(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has neither metadata.jsonl nor metadata.csv"):
        read(tmp_path)
    for name in ("metadata.jsonl", "metadata.csv"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"has both metadata.jsonl and metadata.csv. Expected one of the two"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"answr": "text"}, "`columns` names a field 'answr'. Known: id, text"),
        ({"answer": "label"}, r"has no column 'label'. It has: text, query, answer. Correct `columns`"),
    ],
)
def test_a_wrong_map_of_columns_is_refused(columns: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(jsonl(tmp_path, GOOD), columns=columns)


def test_a_split_for_some_items_or_a_picture_in_two_splits_is_refused(tmp_path: Path) -> None:
    png(tmp_path / "cat.png")
    shown = {"image": "cat.png", "query": "Which?", "answer": "cat"}

    with pytest.raises(
        InputError, match="has 1 items with a split and 1 without, such as '2'. Give every item a split, or none"
    ):
        read(jsonl(tmp_path, GOOD | {"split": "test"}, GOOD))
    with pytest.raises(InputError, match=r"Cluster 'cat.png' .* is in the splits select and test"):
        read(jsonl(tmp_path, shown | {"split": "select"}, shown | {"split": "test"}))
