"""A circuit as a folder: it comes back as it was with its conditions, and nothing else is taken for one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi

from diptych.errors import InputError, MismatchError, StoreError
from diptych.grid import Circuit, Grid, Scores
from diptych.interventions import run_circuits
from diptych.sharing import REQUIRED, push, read
from laws import IMAGE, circuit, scores
from prompts import batch
from test_attribution import nodes_like
from test_interventions import counterfactual_values
from tiny import tiny

CONDITIONS: dict[str, Any] = dict.fromkeys(REQUIRED, "x") | {
    "dropped": "3 answered wrongly",
    "model": "a | b",
    "seed": 4,
}


def test_a_circuit_comes_back_as_it_was_with_its_conditions(tmp_path: Path) -> None:
    some = circuit(IMAGE, 3)

    some.save_pretrained(tmp_path / "shared", CONDITIONS)

    assert some.count()[0] > 0
    assert Circuit.from_pretrained(tmp_path / "shared").equal(some)
    assert read(tmp_path / "shared")[1] == CONDITIONS
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [
        "README.md",
        "diptych.json",
        "grid.safetensors",
    ]


def test_scores_are_shared_alike(tmp_path: Path) -> None:
    some = scores(IMAGE, 3)

    assert Scores.from_pretrained(some.save_pretrained(tmp_path, CONDITIONS)).equal(some)
    assert json.loads((tmp_path / "diptych.json").read_text())["kind"] == "scores"


def test_the_card_says_every_condition_and_what_the_circuit_belongs_to(tmp_path: Path) -> None:
    some = circuit(IMAGE, 3)
    text = (some.save_pretrained(tmp_path, CONDITIONS) / "README.md").read_text()

    assert (
        text.startswith("---\nlibrary_name: diptych")
        and f"{some.count()[0]} heads and {some.count()[1]} neurons" in text
    )
    assert "| dropped | 3 answered wrongly |" in text and "| model | a \\| b |" in text and some.model in text


@pytest.mark.parametrize("name", ["dropped", "task_digest", "revision"])
def test_a_circuit_without_its_conditions_is_not_shared(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"The conditions lack {name}. Without them nobody can judge the circuit"):
        circuit(IMAGE).save_pretrained(tmp_path / "new", {key: "x" for key in CONDITIONS if key != name})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has format 'diptych grid', version 2; this diptych reads 'diptych grid', version 1"),
        ({"format": "other"}, "has format 'other', version 1; this diptych reads"),
        ({"model": "other"}, "The model in .* is not that of its grid.safetensors"),
        ({"kind": "scores"}, "The kind in .* is not that of its grid.safetensors"),
    ],
)
def test_a_folder_that_is_unknown_or_does_not_fit_together_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    circuit(IMAGE).save_pretrained(tmp_path, CONDITIONS)
    manifest = json.loads((tmp_path / "diptych.json").read_text())
    (tmp_path / "diptych.json").write_text(json.dumps(manifest | change))

    with pytest.raises(StoreError, match=message):
        Circuit.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "diptych grid"}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    circuit(IMAGE).save_pretrained(tmp_path, CONDITIONS)
    (tmp_path / "diptych.json").write_text(text)

    with pytest.raises(StoreError, match="holds no readable diptych.json"):
        Circuit.from_pretrained(tmp_path)


def test_what_is_neither_a_folder_nor_in_reach_is_refused() -> None:
    with pytest.raises(
        StoreError, match="'someone/nothing' is neither a folder nor a repository that can be downloaded"
    ):
        Circuit.from_pretrained("someone/nothing")


def test_a_shared_circuit_is_refused_by_another_model(tmp_path: Path) -> None:
    vlm, other = tiny("qwen2_vl"), tiny("llava")
    some = batch(vlm, "text", 1)
    shared = ~nodes_like(vlm, some)
    shared.save_pretrained(tmp_path, CONDITIONS)
    theirs = batch(other, "text", 1)
    _, values = counterfactual_values(other, theirs)

    with pytest.raises(MismatchError, match="belongs to model tiny-qwen2_vl-0, not to tiny/llava"):
        run_circuits(other, other.capture(theirs.clean), [Circuit.from_pretrained(tmp_path)], values)


class Recorded(HfApi):
    """The hub's client, which keeps what it would send."""

    def create_repo(self, repo_id: str, **options: Any) -> None:  # type: ignore[override]
        self.created = (repo_id, options["private"])

    def upload_folder(self, *, folder_path: Path, **options: Any) -> Any:  # type: ignore[override]
        self.files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        self.options = options
        return type("Commit", (), {"commit_url": "https://hub/commit/1"})


def test_pushing_uploads_the_folder_that_saving_writes(tmp_path: Path) -> None:
    api, some = Recorded(), circuit(IMAGE, 3)

    url = push(some, "me/mine", CONDITIONS, private=True, token=None, api=api)

    for name, content in api.files.items():
        (tmp_path / name).write_bytes(content)
    assert url == "https://hub/commit/1" and api.created == ("me/mine", True)
    assert read(tmp_path)[0].equal(some) and read(tmp_path)[1] == CONDITIONS and len(api.files) == 3
    assert api.options["repo_id"] == "me/mine" and api.options["commit_message"] == "Add a diptych circuit"


def test_a_grid_that_knows_its_nodes_comes_back_knowing_them(tmp_path: Path) -> None:
    some = replace(scores(IMAGE, 1), there=((2, 1), (5, 3)))

    assert Grid.from_pretrained(some.save_pretrained(tmp_path, CONDITIONS)).there == some.there
    assert torch.equal(some.heads, Grid.load(tmp_path / "grid.safetensors").heads)
