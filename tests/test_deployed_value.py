"""A back-patch as a value: what is none is refused, and it is saved, loaded and shared as it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from diptych import BackPatch
from diptych.errors import InputError, MismatchError, StoreError
from diptych.models.vlm import VLM
from test_sharing import Recorded
from tiny import tiny


@pytest.fixture
def plain() -> VLM:
    return tiny("llava")


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ({"src": 0, "dst": 1}, "from layer 0 into layer 1 is not one"),
        ({"src": 1, "dst": -1}, "from layer 1 into layer -1 is not one"),
        ({"src": 2, "dst": 1, "window": 2}, "window is 2 layers; expected an odd number"),
        ({"src": 2, "dst": 1, "rounds": 0}, "0 rounds does nothing"),
        ({"src": 4, "dst": 1, "layers": 4}, "reads layer 4, and is for models of 4 layers"),
        ({"src": 2, "dst": 1, "layers": 0}, "is for models of 0 layers"),
    ],
)
def test_a_patch_that_is_none_is_refused(cell: dict[str, int], why: str) -> None:
    with pytest.raises(InputError, match=why):
        BackPatch(**cell)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        (BackPatch(4, 0), "reads layer 4; LlavaForConditionalGeneration has layers 0 to 3"),
        (BackPatch(2, 0, layers=28), "for llava of 28 layers; this model is llava of 4"),
        (BackPatch(2, 0, architecture="qwen2_vl", layers=4), "for qwen2_vl of 4 layers; this model is llava of 4"),
    ],
)
def test_a_patch_for_another_model_is_refused(plain: VLM, patch: BackPatch, why: str) -> None:
    with pytest.raises((InputError, MismatchError), match=why):
        patch.apply(plain.model)


SHARED = BackPatch(3, 1, 3, 2, architecture="llava", layers=4, conditions={"task": "counting", "gain": 0.25})


def test_a_saved_patch_comes_back_as_it_was(tmp_path: Path) -> None:
    assert BackPatch.from_pretrained(SHARED.save_pretrained(tmp_path / "new")) == SHARED
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["backpatch.json"]


def test_a_patch_for_no_model_in_particular_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="says for which models it is"):
        BackPatch(3, 1).save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": "diptych grid"}, "has format 'diptych grid', version 1"),
        ({"version": 2}, "version 2; this diptych reads 'diptych back-patch', version 1"),
        ({"src": "3"}, "says '3' for 'src'; expected a value of type int"),
        ({"layers": None}, "says None for 'layers'"),
        ({"layers": 0}, "holds no back-patch: .* is for models of 0 layers"),
        ({"src": 0}, "holds no back-patch: A back-patch from layer 0 into layer 1 is not one"),
        ({"rounds": True}, "says True for 'rounds'"),
        ({"conditions": None}, "says None for 'conditions'"),
        ({"dst": 9}, "from layer 3 into layer 9"),
    ],
)
def test_a_file_that_is_not_of_this_form_is_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    path = SHARED.save_pretrained(tmp_path) / "backpatch.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(StoreError, match=why):
        BackPatch.from_pretrained(tmp_path)


def test_a_folder_without_a_patch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no readable backpatch.json"):
        BackPatch.from_pretrained(tmp_path)


def test_pushing_uploads_the_file_that_saving_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Recorded()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)

    assert SHARED.push_to_hub("me/mine", private=True) == "https://hub/commit/1"

    (tmp_path / "backpatch.json").write_bytes(api.files["backpatch.json"])
    assert BackPatch.from_pretrained(tmp_path) == SHARED and api.created == ("me/mine", True)
