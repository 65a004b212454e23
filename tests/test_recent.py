"""Recent values, and the prompts that a handle keeps."""

from dataclasses import dataclass, replace

import torch
from PIL import Image

from diptych.models.prompts import encode_item
from diptych.models.recent import Recent
from diptych.models.vlm import VLM
from sized import item, noise, sized


def fresh() -> VLM:
    """A handle that has made no prompts."""
    return VLM(sized().model, sized().processor, name="fresh", digest="fresh")


@dataclass(frozen=True)
class Opened:
    """A picture that notes each time it is opened."""

    times: list[int]

    def open(self) -> Image.Image:
        self.times.append(1)
        return noise(1, 32, 64)

    def digest(self) -> str:
        return "opened"


def test_values_asked_for_longest_ago_are_dropped_first() -> None:
    recent, made = Recent(limit=2), []

    def get(key: str) -> str:
        return str(recent.get(key, lambda: made.append(key) or key, len))

    assert [get(key) for key in "abacab"] == list("abacab")
    assert made == ["a", "b", "c", "b"] and recent.held == 2


def test_a_value_larger_than_all_that_is_kept_is_given_and_not_kept() -> None:
    recent = Recent(limit=2)

    assert recent.get("a", lambda: "large", len) == "large" and recent.held == 0


def test_an_item_is_encoded_once_by_a_handle() -> None:
    vlm, picture = fresh(), Opened([])
    one = replace(item(1), image=picture)

    first, again = (encode_item(vlm, one, "image") for _ in range(2))

    assert again is first and len(picture.times) == 1 and vlm.prompts.held > 1000


def test_prompts_of_another_item_panel_or_pixels_are_their_own() -> None:
    vlm, picture = fresh(), Opened([])
    one = replace(item(1), image=picture)
    first = encode_item(vlm, one, "image")

    encode_item(vlm, replace(one), "image")  # another object, which may have another picture by now
    words = encode_item(vlm, one, "text")
    vlm.pixels = (32 * 32, 32 * 32)
    encode_item(vlm, one, "image")

    assert len(picture.times) == 3 and not torch.equal(words.tokens, first.tokens)
