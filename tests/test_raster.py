"""Pictures of any mode are opened as a person would see them; a pixel budget is kept and recorded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.errors import InputError
from diptych.experiments._text import model_facts
from diptych.items import ImageFile
from diptych.models import load
from diptych.models.encode import encode_item
from diptych.models.pixels import described, fitted
from diptych.raster import side_by_side
from prompts import item
from tiny import tiny

WIDTH, HEIGHT = 4, 2


def opened(path: Path) -> np.ndarray:
    image = ImageFile(path).open()
    assert image.mode == "RGB"
    return np.asarray(image)


def test_transparent_parts_are_white_and_half_transparent_ones_pale(tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    pixels[:, 0] = (255, 0, 0, 255)
    pixels[:, 1] = (255, 0, 0, 128)
    Image.fromarray(pixels).save(tmp_path / "a.png")

    found = opened(tmp_path / "a.png")

    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[0, 1].tolist() == [255, 127, 127]
    assert found[0, 2].tolist() == [255, 255, 255]


def test_a_palette_keeps_its_colours_and_its_transparent_one_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (WIDTH, HEIGHT))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "solid.png")
    image.save(tmp_path / "clear.png", transparency=0)

    solid, clear = opened(tmp_path / "solid.png"), opened(tmp_path / "clear.png")

    assert solid[0, :2].tolist() == [[10, 20, 30], [200, 100, 0]]
    assert clear[0, :2].tolist() == [[255, 255, 255], [200, 100, 0]]


def test_sixteen_bit_greys_are_scaled_not_cut_off(tmp_path: Path) -> None:
    greys = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(greys).save(tmp_path / "deep.png")

    assert opened(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["L", "1", "LA", "CMYK"])
def test_other_modes_are_opened_as_colours(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("L", (WIDTH, HEIGHT), 255).convert(mode).save(path)

    assert opened(path).tolist() == np.full((HEIGHT, WIDTH, 3), 255).tolist()


def test_a_photograph_is_turned_as_the_camera_noted_it(tmp_path: Path) -> None:
    image = Image.new("RGB", (WIDTH, HEIGHT), "black")
    image.putpixel((0, 0), (255, 255, 255))
    note = Image.Exif()
    note[0x0112] = 6  # turn a quarter clockwise
    image.save(tmp_path / "a.png", exif=note)

    found = opened(tmp_path / "a.png")

    assert found.shape == (WIDTH, HEIGHT, 3)
    assert found[0, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("value", [-1, 70000])
def test_greys_without_a_known_white_are_refused(value: int, tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), value, dtype=np.int32)).save(tmp_path / "a.tif")
    Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)).save(tmp_path / "f.tif")

    with pytest.raises(InputError, match=f"a.tif' cannot be opened: its greys reach from {value} to {value}"):
        ImageFile(tmp_path / "a.tif").open()
    with pytest.raises(InputError, match="f.tif' cannot be opened: its pixels are floating-point numbers"):
        ImageFile(tmp_path / "f.tif").open()


def test_several_pictures_stand_side_by_side() -> None:
    row = side_by_side([Image.new("RGB", (3, 2), "red"), Image.new("RGB", (5, 4), "blue")])

    assert row.size == (3 + 8 + 5, 4)
    assert row.getpixel((0, 3)) == (255, 255, 255) and row.getpixel((15, 3)) == (0, 0, 255)


@pytest.mark.parametrize("size", [(640, 480), (30, 20), (100, 100), (999, 77), (1, 10000)])
def test_a_picture_is_brought_within_the_budget_and_keeps_its_shape(size: tuple[int, int]) -> None:
    image = fitted(Image.new("RGB", size), (4000, 12000))

    assert 4000 <= image.width * image.height <= 12000
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.15)
    assert (image.size == size) == (4000 <= size[0] * size[1] <= 12000)


def test_a_budget_of_one_size_is_never_passed() -> None:
    assert fitted(Image.new("RGB", (30, 20)), (1024, 1024)).size in ((39, 26), (40, 25))


def test_a_processor_that_counts_pixels_gets_the_budget() -> None:
    small, large = (load("organism/qwen2vl", pixels=pixels, verify=False) for pixels in ((3136, 6272), (50176, 100352)))

    tokens = [
        int((encode_item(vlm, item(3), "image").tokens == vlm.model.config.image_token_id).sum())
        for vlm in (small, large)
    ]

    patch = small.model.config.vision_config.patch_size * small.processor.image_processor.merge_size
    assert 3136 <= tokens[0] * patch**2 <= 6272 and 50176 <= tokens[1] * patch**2 <= 100352
    assert model_facts(small)["pixel_budget"] == "longest_edge 6272, shortest_edge 3136"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_processor_of_fixed_size_gets_a_picture_that_was_resized() -> None:
    plain, coarse = load("random:llava", verify=False), load("random:llava", pixels=(16, 64), verify=False)

    a, b = (encode_item(vlm, item(3), "image").inputs["pixel_values"] for vlm in (plain, coarse))

    assert a.shape == b.shape and not torch.equal(a, b)
    assert b.std() < 0.8 * a.std()  # noise is averaged away
    assert model_facts(coarse)["pixel_budget"] == "resized to 16 to 64 pixels, then height 32, width 32"
    assert described(tiny("gemma3").processor, None) == "height 32, width 32"


@pytest.mark.parametrize("pixels", [(0, 10), (20, 10)])
def test_a_budget_that_no_picture_can_meet_is_refused(pixels: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"The pixel budget is {pixels[0]} to {pixels[1]}; expected the fewest"):
        load("random:llava", pixels=pixels)
