"""Contact sheets: every item beside its counterfactual, in a picture and in a page that is inert and asks for nothing."""

import hashlib
import io
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFont

from diptych.contact_sheet import TYPEFACE, draw, file_stem, pick, render, write_sheet
from diptych.errors import InputError
from diptych.items import Drawing, Item, Task
from diptych.tasks.counting import counting

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def red(side: int) -> Image.Image:
    return Image.new("RGB", (side, side), (200, 0, 0))


def task(text: str | None = "a b", picture: bool = True, word: str = "x") -> Task:
    image = Drawing(red, {"side": 60}) if picture else None
    items = tuple(
        Item(f"{word}{n}", text, image, f"{word}?", f"{word} {n % 2}", word, f"c{n}", accepted=(word,))
        for n in range(24)
    )
    return Task(word, 1, items, (f"{word} 0", f"{word} 1"))


class Page(HTMLParser):
    """Tags, where they point to, and the words between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action", "poster")]
        assert not [key for key, _ in attrs if key.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_page_and_a_picture_are_written(tmp_path: Path) -> None:
    paths = write_sheet(counting(), tmp_path / "new", n=3)

    assert [path.name for path in paths] == ["counting.html", "counting.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["counting.html", "counting.png"]
    with Image.open(paths[1]) as sheet:
        assert sheet.format == "PNG" and sheet.height > 3 * 224


def test_the_page_shows_items_and_counterfactuals_with_their_panels() -> None:
    made = counting()
    cards = pick(made, 3)

    page = Page(render(made, cards))

    assert page.tags.count("img") == 6
    for item in (item for card in cards for item in (card.item, card.counterfactual)):
        assert item is not None
        assert all(part in page.words for part in (item.id, item.text or "", item.query, item.answer, item.group))


def test_the_page_escapes_whatever_an_item_says() -> None:
    made = task(HOSTILE, word=HOSTILE)

    page = Page(render(made, pick(made, 2)))

    assert set(page.tags) <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "article",
        "section",
        "div",
        "img",
        "dl",
        "dt",
        "dd",
    }
    assert page.tags.count("img") == 4  # the pictures alone
    assert HOSTILE in page.words


def test_the_page_asks_nothing_of_the_network() -> None:
    made = counting()
    text = render(made, pick(made, 3))

    assert all(link.startswith("data:image/png;base64,") for link in Page(text).links)
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_picture_holds_the_items_pictures() -> None:
    made = task()
    cards = pick(made, 2)
    colours = {colour: count for count, colour in draw(made, cards).getcolors(1_000_000) or []}

    assert colours[(200, 0, 0)] == sum(1 + (card.counterfactual is not None) for card in cards) * 60 * 60 > 0


@pytest.mark.parametrize(("text", "picture", "said"), [(None, True, "no text panel"), ("a b", False, "no image panel")])
def test_a_missing_panel_is_said(text: str | None, picture: bool, said: str) -> None:
    made = task(text, picture)

    assert said in Page(render(made, pick(made, 2))).words
    assert draw(made, pick(made, 2)).height > 100


def test_several_pictures_of_an_item_are_shown_side_by_side() -> None:
    pair = (Drawing(red, {"side": 60}), Drawing(red, {"side": 60}))
    made = Task("pairs", 1, tuple(Item(f"i{n}", None, pair, "Which?", "b") for n in range(4)), ("b",))
    colours = {colour: count for count, colour in draw(made, pick(made, 1)).getcolors(1_000_000) or []}

    assert colours[(200, 0, 0)] == 2 * 60 * 60
    assert Page(render(made, pick(made, 1))).tags.count("img") == 1


def test_an_item_without_counterfactual_is_shown_alone() -> None:
    lonely = Task("lonely", 1, tuple(Item(f"i{n}", "a", None, "Which?", "b") for n in range(4)), ("b",))
    cards = pick(lonely, 12)

    assert [card.counterfactual for card in cards] == [None] * 4
    assert "no item of its group, in its half of its split, has another answer" in Page(render(lonely, cards)).words


def test_items_are_taken_evenly_from_the_whole_split() -> None:
    made = counting()
    split = made.split("discover")

    places = [split.index(card.item) for card in pick(made, 4)]

    assert places == [index * len(split) // 4 for index in range(4)]


def test_a_word_longer_than_a_line_is_broken() -> None:
    made = task("y" * 1000)
    plain = task("y")

    assert draw(made, pick(made, 1)).width == draw(plain, pick(plain, 1)).width
    assert draw(made, pick(made, 1)).height > draw(plain, pick(plain, 1)).height


def test_letters_and_signs_of_europe_are_drawn_and_the_typeface_is_the_one_recorded() -> None:
    typeface = files("diptych").joinpath(TYPEFACE).read_bytes()
    font = ImageFont.truetype(io.BytesIO(typeface), 20)
    drawn = {sign: bytes(font.getmask(sign)) for sign in "äßçøł×÷−≤αж\uffff"}

    assert len(set(drawn.values())) == len(drawn)  # the last one is the box for what the typeface lacks
    assert (
        hashlib.sha256(typeface).hexdigest() in files("diptych").joinpath("data/contact_sheet/SOURCES.md").read_text()
    )


def test_a_name_stays_inside_the_folder() -> None:
    assert [file_stem(name) for name in ("../../x", "a/b c", "..", "ä_1.2")] == ["-..-x", "a-b-c", "task", "ä_1.2"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match=r"The contact sheet cannot be written to '.*file': .*Choose a folder"):
        write_sheet(task(), tmp_path / "file", n=1)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
