"""Loading by name: from a folder that `save_pretrained` made, or a message that says what is missing."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from diptych.errors import InputError, ModelCheckFailed
from diptych.models import load, organisms
from diptych.models.encode import encode_item
from diptych.models.load import config_digest
from diptych.models.processor import PlainProcessor
from prompts import batch, item
from tiny import FAMILIES, tiny


def save(family: str, folder: Path) -> Path:
    vlm = tiny(family)
    vlm.model.save_pretrained(folder)
    if isinstance(vlm.processor, PlainProcessor):
        vlm.processor.tokenizer.save_pretrained(folder)
        vlm.processor.image_processor.save_pretrained(folder)
        names = {"qwen2_vl": "Qwen2VLProcessor", "llava": "PixtralProcessor"}  # classes that need torchvision
        (folder / "processor_config.json").write_text(json.dumps({"processor_class": names[family]}))
    else:
        vlm.processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_saved_model_loads_proven_and_gives_the_same_logits(family: str, tmp_path: Path) -> None:
    vlm = load(str(save(family, tmp_path)))

    prompt = encode_item(vlm, item(3), "image")
    original = encode_item(tiny(family), item(3), "image")

    assert prompt.layout == original.layout
    assert torch.equal(prompt.inputs["pixel_values"], original.inputs["pixel_values"])
    found, expected = vlm.run_inputs(prompt.inputs), tiny(family).run_inputs(original.inputs)
    assert expected.abs().max() > 0.1
    assert torch.equal(found, expected)


def test_a_damaged_model_is_refused_at_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save("qwen2_vl", tmp_path)
    monkeypatch.setattr("diptych.models.vlm.last_position", lambda module, args: (args[0][:, :1],))

    with pytest.raises(ModelCheckFailed, match="is not read rightly"):
        load(str(folder))


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no config.json. Expected a folder made by `save_pretrained`"):
        load(str(tmp_path))


def test_a_folder_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="'./nowhere' holds no config.json"):
        load("./nowhere")


def test_an_unknown_organism_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="No organism named 'organism/zebra'. Known: "):
        load("organism/zebra")


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(InputError, match="No dtype named 'int8'. Known: float32"):
        load("organism/qwen2vl", dtype="int8")


@pytest.mark.parametrize("name", ["organism/qwen2vl", "random:llava"])
def test_an_unknown_attention_kernel_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="No attention kernel named 'flash'. Known: sdpa, eager"):
        load(name, attention="flash")


def test_a_config_of_no_image_text_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')

    with pytest.raises(InputError, match="cannot be loaded as an image-text-to-text model"):
        load(str(tmp_path))


def test_the_digest_of_a_config_changes_with_it_and_not_with_where_it_lies(tmp_path: Path) -> None:
    original = tiny("qwen2_vl").model.config
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        original.save_pretrained(folder)
    copies = [AutoConfig.from_pretrained(folder) for folder in folders]

    changed = AutoConfig.from_pretrained(folders[0])
    changed.text_config.rms_norm_eps *= 2

    assert copies[0].name_or_path != copies[1].name_or_path
    assert config_digest(copies[0]) == config_digest(copies[1])
    assert len({config_digest(config) for config in (copies[0], changed, tiny("llava").model.config)}) == 3


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    weights = save("qwen2_vl", tmp_path) / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.2.mlp.down_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})

    with pytest.raises(InputError, match=r"lacks 1 weights .*layers.2.mlp.down_proj.weight.*They would be random"):
        load(str(tmp_path))


def test_weights_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    weights = save("qwen2_vl", tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])

    with pytest.raises(InputError, match="cannot be loaded as an image-text-to-text model.*whole weights"):
        load(str(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device that is asked for")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        load(str(save("qwen2_vl", tmp_path)), device_map="cuda")


def test_a_processor_expands_each_picture_of_a_batch() -> None:
    vlm = tiny("llava")
    ids = batch(vlm, "image", 2).clean["input_ids"]
    words = vlm.processor.tokenizer.convert_ids_to_tokens(ids[0].tolist())

    assert words.count("[IMG]") == 16 and words.count("[IMG_BREAK]") == 3 and words.count("[IMG_END]") == 1
    assert words[words.index("[IMG]") + 4] == "[IMG_BREAK]"


def test_the_organism_of_the_demo_is_shipped() -> None:
    assert {"model.safetensors", "tokenizer.json", "card.json"} <= {
        file.name for file in organisms()["organism/qwen2vl"].iterdir()
    }
