"""A grid's model: its configuration and its weights, so that two checkpoints of one configuration do not combine."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diptych.errors import MismatchError
from diptych.grid import Grid
from diptych.models import load
from diptych.models.digest import model_digest
from diptych.models.load import organisms
from laws import TEXT

ORGANISM = "organism/qwen2vl"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The organism with one number of one weight changed."""
    folder = tmp_path / "copy"
    shutil.copytree(organisms()[ORGANISM], folder)
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    weights[name] = weights[name].clone()
    weights[name].view(-1)[0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_two_checkpoints_of_one_configuration_are_two_models(copied: Path) -> None:
    one, other = load(ORGANISM, verify=False), load(str(copied), verify=False)

    assert one.digest == load(ORGANISM, dtype="bfloat16", verify=False).digest
    assert one.digest != other.digest and len(one.digest) == 12
    grids = [Grid(torch.ones(1, 8, 1), torch.ones(1, 8, 1), TEXT, vlm.digest) for vlm in (one, other)]
    with pytest.raises(MismatchError, match=f"two models, {one.digest} and {other.digest}"):
        grids[0] + grids[1]


def test_random_models_of_two_seeds_are_two_models() -> None:
    digests = [load(f"random:llava{seed}", verify=False).digest for seed in ("", ":1", "")]

    assert digests[0] == digests[2] != digests[1]


def test_a_hub_model_is_known_by_its_commit() -> None:
    found = [model_digest(config, "some/model", commit) for config, commit in (("c", "1"), ("c", "2"), ("d", "1"))]

    assert len(set(found)) == 3 and found[0] == model_digest("c", "some/model", "1")
