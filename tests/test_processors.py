"""Processors: transformers' own classes from picture to proof, those that want torchvision without it, or a message."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.errors import InputError
from diptych.models.check import prove
from diptych.models.encode import encode_item
from diptych.models.load import load
from diptych.models.processor import PLAIN, load_processor
from diptych.models.vocabulary import tokenizer
from processors import REAL, pil, with_real_processor
from prompts import item
from test_load import save
from tiny import tiny

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")

WITHOUT_TEXT = ("paligemma",)


@pytest.mark.parametrize("architecture", REAL)
def test_a_real_processor_works_from_picture_to_proof(architecture: str) -> None:
    vlm = with_real_processor(architecture)

    proof = prove(vlm)
    image = encode_item(vlm, item(3), "image")

    assert [line.name for line in proof.lines if not line.passed] == []
    assert not proof.refused
    places = vlm.image_positions(image.inputs)[0].nonzero().flatten().tolist()
    assert places and (image.layout.data.start, image.layout.data.stop) == (places[0], places[-1] + 1)


@pytest.mark.parametrize("architecture", [name for name in REAL if name not in WITHOUT_TEXT])
def test_a_real_processor_takes_text_alone(architecture: str) -> None:
    prompt = encode_item(with_real_processor(architecture), replace(item(3), text="4 moons + 7 stars"), "text")

    assert prompt.layout.data.stop - prompt.layout.data.start == 5


@pytest.mark.parametrize("architecture", WITHOUT_TEXT)
def test_a_processor_that_takes_no_text_alone_is_quoted(architecture: str) -> None:
    with pytest.raises(InputError, match="refuses the prompt of item 'item-3' with 0 pictures: `images` are expected"):
        encode_item(with_real_processor(architecture), item(3), "text")


@pytest.mark.parametrize("architecture", ["gemma3", "llava", "qwen2_vl", "idefics3", "internvl"])
def test_the_model_sees_the_picture_through_its_real_processor(architecture: str) -> None:
    vlm = with_real_processor(architecture)

    one, two = (vlm.run_inputs(encode_item(vlm, item(number), "image").inputs) for number in (3, 4))

    assert not torch.equal(one, two)


def save_processor(folder: Path, name: str, pictures: object) -> Path:
    """What a checkpoint holds of its processor; `name` is the processor's class."""
    tokenizer().save_pretrained(folder)
    pictures.save_pretrained(folder)  # type: ignore[attr-defined]
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": name}))
    return folder


@pytest.mark.parametrize(
    ("name", "package"),
    [("Qwen2VLProcessor", "qwen2_vl"), ("Glm4vProcessor", "glm4v"), ("PixtralProcessor", "pixtral")],
)
def test_a_processor_that_wants_torchvision_for_films_is_made_without_them(
    name: str, package: str, tmp_path: Path
) -> None:
    sort = {"qwen2_vl": "Qwen2VL", "glm4v": "Glm4v", "pixtral": "Pixtral"}[package]
    folder = save_processor(tmp_path, name, pil(package, sort))

    made = load_processor(str(folder), tiny("llava").model.config)

    assert type(made).__name__ == ("PlainProcessor" if name in PLAIN else name)
    assert not hasattr(made, "video_processor")
    assert made.tokenizer.chat_template == tokenizer().chat_template


def test_a_processor_without_films_is_the_image_processor_and_as_many_places_as_features(tmp_path: Path) -> None:
    vlm = tiny("qwen2_vl")
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))

    made = vlm.processor(text=["<|image_pad|> How many ?"], images=[photograph], return_tensors="pt")
    alone = vlm.processor.image_processor(images=[photograph], return_tensors="pt")

    assert torch.equal(made["pixel_values"], alone["pixel_values"])
    assert int((made["input_ids"] == vlm.model.config.image_token_id).sum()) == int(alone["image_grid_thw"].prod()) // 4
    assert made["mm_token_type_ids"].sum() == int(alone["image_grid_thw"].prod()) // 4


@pytest.mark.parametrize("name", ["Lfm2VlProcessor", "Cohere2VisionProcessor", "Llama4Processor"])
def test_a_processor_that_cannot_be_made_names_the_package_and_the_way_round(name: str, tmp_path: Path) -> None:
    sort = {"Lfm2VlProcessor": "Lfm2Vl", "Cohere2VisionProcessor": "Cohere2Vision", "Llama4Processor": "Llama4"}[name]
    folder = save_processor(tmp_path, name, pil("siglip", "Siglip"))
    settings = folder / "preprocessor_config.json"
    settings.write_text(json.dumps({"image_processor_type": f"{sort}ImageProcessor"}))  # which has no PIL twin

    with pytest.raises(InputError) as refusal:
        load_processor(str(folder), tiny("llava").model.config)

    assert "needs the package torchvision, which is not installed" in str(refusal.value)
    assert "`pip install torchvision`" in str(refusal.value) and "load(..., processor=...)" in str(refusal.value)


def test_a_checkpoint_without_any_processor_is_refused_with_the_way_round(tmp_path: Path) -> None:
    folder = save("qwen2_vl", tmp_path)
    for file in ("preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / file).unlink(missing_ok=True)

    with pytest.raises(InputError, match=r"cannot be made: .*Install what is missing, or give a processor of your own"):
        load(str(folder))


def test_pixtrals_places_follow_the_merging_of_patches() -> None:
    config = tiny("llava").model.config
    pictures = tiny("llava").processor.image_processor
    photograph = Image.new("RGB", (32, 32), "red")
    marks = tiny("llava").processor.tokenizer

    def count(merge: int) -> int:
        class Merged:
            vision_config = config.vision_config
            spatial_merge_size = merge

        made = PLAIN["PixtralProcessor"](pictures, marks, Merged())
        ids = made(text=["[IMG] How"], images=[photograph], add_special_tokens=False)["input_ids"][0]
        return int((ids == config.image_token_id).sum())

    assert (count(1), count(2)) == (16, 4)


def test_a_prompt_with_more_places_than_pictures_is_refused() -> None:
    with pytest.raises(InputError, match=r"has 2 places for pictures \('\[IMG\]'\) and comes with 1 pictures"):
        tiny("llava").processor(text=["[IMG] [IMG] How"], images=[Image.new("RGB", (32, 32))], add_special_tokens=False)
