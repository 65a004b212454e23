"""Pictures: opened late, as RGB; what cannot be opened is named; the digest is that of the content."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from diptych.errors import InputError
from diptych.items import Drawing, ImageFile, Item, Task
from diptych.pictures import ImageBytes
from diptych.registry import find


def stripe(width: int, shade: int) -> Image.Image:
    return Image.new("RGB", (width, 1), (shade, 0, 0))


def task(picture: ImageFile) -> Task:
    return Task("pictures", 1, (Item("i", None, picture, "What?", "cat"),), ("cat",))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_a_picture_of_any_mode_opens_as_rgb(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (3, 2)).save(tmp_path / "cat.png")

    opened = ImageFile(tmp_path / "cat.png").open()

    assert (opened.mode, opened.size) == ("RGB", (3, 2))


def test_a_missing_picture_is_named() -> None:
    missing = ImageFile(Path("no/such/cat.png"))

    with pytest.raises(
        InputError, match="Image 'no/such/cat.png' cannot be opened: .*No such file.*Replace the file or drop the item"
    ):
        missing.open()
    with pytest.raises(
        InputError, match="Image 'no/such/cat.png' cannot be read: No such file or directory. Check the path"
    ):
        missing.digest()


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_text("meow")

    with pytest.raises(InputError, match=r"cat.png' cannot be opened: .*Expected a picture that Pillow reads"):
        ImageFile(tmp_path / "cat.png").open()


def test_a_picture_cut_short_is_named(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(tmp_path / "cat.png")
    (tmp_path / "cat.png").write_bytes((tmp_path / "cat.png").read_bytes()[:1000])

    with pytest.raises(InputError, match=r"cat.png' cannot be opened: .*truncated"):
        ImageFile(tmp_path / "cat.png").open()


def test_a_picture_with_a_damaged_part_is_named(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(tmp_path / "cat.png")
    picture = (tmp_path / "cat.png").read_bytes()
    start = picture.index(b"IDAT") - 4  # a part begins with its length: of a shorter one, the next is no part
    shorter = (int.from_bytes(picture[start : start + 4]) - 100).to_bytes(4)
    (tmp_path / "cat.png").write_bytes(picture[:start] + shorter + picture[start + 4 :])

    with pytest.raises(InputError, match=r"cat.png' cannot be opened: broken PNG file .*Replace the file"):
        ImageFile(tmp_path / "cat.png").open()


def test_a_picture_of_too_many_pixels_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (30, 30)).save(tmp_path / "cat.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(
        InputError, match=r"cat.png' cannot be opened: it has more than 100 pixels, so it is not decoded\. Expected"
    ):
        ImageFile(tmp_path / "cat.png").open()


def test_a_picture_that_pillow_would_only_warn_of_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (30, 30)).save(tmp_path / "cat.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)

    with pytest.raises(
        InputError, match=r"cat.png' cannot be opened: it has more than 600 pixels, so it is not decoded"
    ):
        ImageFile(tmp_path / "cat.png").open()


def test_bytes_of_a_picture_cut_short_are_named(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(tmp_path / "cat.png")
    whole = (tmp_path / "cat.png").read_bytes()

    with pytest.raises(InputError, match="^The picture of row 1 cannot be opened: .*truncated"):
        ImageBytes(whole[:1000], "row 1").open()


def test_a_format_whose_reader_starts_another_program_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "cat.eps")

    with pytest.raises(InputError, match="cannot identify image file"):
        ImageFile(tmp_path / "cat.eps").open()


def test_a_photo_is_turned_as_its_camera_noted(tmp_path: Path) -> None:
    photo = Image.new("RGB", (40, 20))
    photo.paste((255, 0, 0), (0, 0, 8, 20))  # red on the left
    note = Image.Exif()
    note[0x0112] = 6  # orientation: turn by a quarter, clockwise
    photo.save(tmp_path / "cat.jpg", exif=note, quality=95)

    opened = ImageFile(tmp_path / "cat.jpg").open()

    assert opened.size == (20, 40)
    assert opened.getpixel((10, 2))[0] > 200 > 50 > opened.getpixel((10, 38))[0]  # type: ignore[index]


def test_the_digest_of_a_picture_is_that_of_its_content(tmp_path: Path) -> None:
    one, copy, other = (ImageFile(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    for picture, shade in ((one, 1), (copy, 1), (other, 2)):
        Image.new("L", (3, 2), shade).save(picture.path)

    assert one.digest() == copy.digest() != other.digest()
    assert task(one).digest() == task(copy).digest() != task(other).digest()


def test_a_picture_is_not_opened_before_it_is_needed() -> None:
    assert task(ImageFile(Path("no/such/cat.png"))).split("discover")[0].has("image")


DRAWS = """
from PIL import Image
from diptych.items import Drawing, Item, Task

INK = (9, 0, 0)

def blot(width):
    return Image.new("RGB", (width, 1), INK)

def blots():
    return Task("blots", 1, (Item("i", None, Drawing(blot, {"width": 2}), "What?", "blot"),), ("blot",))
"""


def blots(folder: Path, text: str) -> Task:
    folder.mkdir(exist_ok=True)
    (folder / "blots.py").write_text(text)
    task = find("task", str(folder / "blots.py"))()
    assert isinstance(task, Task)
    return task


def test_a_change_of_the_code_that_draws_is_another_digest(tmp_path: Path) -> None:
    before = blots(tmp_path, DRAWS)
    after = blots(tmp_path, DRAWS.replace("(9, 0, 0)", "(0, 9, 0)"))

    pixels = [task.items[0].image.open().tobytes() for task in (before, after) if task.items[0].image]
    assert pixels[0] != pixels[1]
    assert before.digest() != after.digest()


def test_the_code_that_draws_may_lie_anywhere(tmp_path: Path) -> None:
    assert blots(tmp_path / "a", DRAWS).digest() == blots(tmp_path / "b", DRAWS).digest()


def stripe_of(shade: int) -> Callable[[int], Image.Image]:
    def drawn(width: int) -> Image.Image:
        return stripe(width, shade)

    return drawn


@pytest.mark.parametrize("draw", [lambda width: stripe(width, 1), stripe_of(1), functools.partial(stripe, shade=1)])
def test_what_draws_from_more_than_its_arguments_is_refused(draw: Any) -> None:
    with pytest.raises(InputError, match=r"is not a function of a module. Draw with one that is defined at the top of"):
        Drawing(draw, {"width": 3})


@functools.lru_cache
def remembered(width: int) -> Image.Image:
    return stripe(width, 1)


def test_a_wrapped_function_may_draw() -> None:
    assert Drawing(remembered, {"width": 3}).digest() != Drawing(stripe, {"width": 3}).digest()


def test_arguments_of_a_drawing_that_have_no_digest_are_refused() -> None:
    with pytest.raises(InputError, match="arguments of 'stripe' are not plain: Object of type .*Path is not"):
        Drawing(stripe, {"width": Path("3")})


def test_a_drawing_is_drawn_from_its_arguments_and_known_by_them() -> None:
    drawing = Drawing(stripe, {"width": 3, "shade": 9})

    assert drawing.open().tobytes() == bytes([9, 0, 0] * 3)
    assert drawing.digest() == Drawing(stripe, {"shade": 9, "width": 3}).digest()
    assert drawing.digest() != Drawing(stripe, {"width": 3, "shade": 8}).digest()
