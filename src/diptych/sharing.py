"""Sharing: a circuit or scores as a folder that others can read: manifest, tensors and a card. Never pickle."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCardData, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from diptych.errors import InputError, StoreError
from diptych.files import write_text, writing
from diptych.grid import Grid

FORMAT, VERSION = "diptych grid", 1
MANIFEST, TENSORS, CARD = "diptych.json", "grid.safetensors", "README.md"
REQUIRED = ("model", "revision", "task", "task_digest", "modality", "method", "split", "seed", "dropped")
"""What a number cannot be judged without (methods §13)."""

Conditions = Mapping[str, Any]


def write(grid: Grid, folder: str | Path, conditions: Conditions) -> Path:
    """Write a grid with its conditions; `read` takes it back.

    `conditions`: at least those of `REQUIRED`; `diptych.discovered` gives them. Raises `InputError` if some are missing.
    """
    missing = [name for name in REQUIRED if name not in conditions]
    if missing:
        raise InputError(
            f"The conditions lack {', '.join(missing)}. Without them nobody can judge the circuit: give those that "
            f"`diptych.discovered(folder)` returns."
        )
    path = Path(folder)
    manifest = {"format": FORMAT, "version": VERSION, "kind": kind(grid), "model": grid.model}
    manifest |= {"layout": grid.layout.to_json(), "conditions": dict(conditions)}
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        grid.save(path / TENSORS)
        write_text(path / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        write_text(path / CARD, card(grid, conditions))
    return path


def read(place: str | Path, *, revision: str | None = None) -> tuple[Grid, dict[str, Any]]:
    """A grid and its conditions, from a folder or a repository of the Hugging Face hub.

    Raises `StoreError` for what is no such folder, is of an unknown format or version, or does not fit together.
    """
    folder = folder_of(place, revision, (MANIFEST, TENSORS, CARD))
    manifest = read_manifest(folder / MANIFEST, FORMAT, VERSION)
    grid = Grid.load(folder / TENSORS)
    told = {"kind": kind(grid), "model": grid.model, "layout": grid.layout.to_json()}
    differing = [name for name, value in told.items() if manifest.get(name) != json.loads(json.dumps(value))]
    if differing:
        raise StoreError(
            f"The {differing[0]} in {folder / MANIFEST} is not that of its {TENSORS}. The folder was put together from two: "
            f"get it anew."
        )
    return grid, manifest["conditions"]


def push(grid: Grid, repo_id: str, conditions: Conditions, *, private: bool, token: str | None, api: HfApi) -> str:
    """Write the folder and upload it to the hub in one commit; the commit's address."""
    with TemporaryDirectory() as temporary:
        folder = write(grid, temporary, conditions)
        return upload(folder, repo_id, f"diptych {kind(grid)}", private=private, token=token, api=api)


def upload(folder: Path, repo_id: str, what: str, *, private: bool, token: str | None, api: HfApi) -> str:
    """Upload a folder to the hub in one commit, which says what it is; the commit's address."""
    api.create_repo(repo_id, private=private, exist_ok=True, token=token)
    commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=f"Add a {what}", token=token)
    return str(commit.commit_url)


def kind(grid: Grid) -> str:
    """Whether a grid is a circuit or scores."""
    return "circuit" if grid.heads.dtype == torch.bool else "scores"


def card(grid: Grid, conditions: Conditions) -> str:
    """A model card in Markdown: what the grid is, its conditions, how to load it."""
    data = ModelCardData(library_name="diptych", tags=["diptych", kind(grid), "interpretability"]).to_yaml()
    heads, neurons = _counted(grid)
    rows = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in conditions.items())
    loader = "Circuit" if kind(grid) == "circuit" else "Scores"
    return (
        f"---\n{data}\n---\n\n# A {kind(grid)} of {_cell(conditions['model'])} on {_cell(conditions['task'])}\n\n"
        f"{heads} heads and {neurons} neurons over {grid.layout.length} positions, found by diptych. It belongs to the "
        f"model with digest `{grid.model}` and is refused for any other.\n\n"
        f"| condition | value |\n|---|---|\n{rows}\n\n"
        f'```python\nfrom diptych import {loader}\n\n{loader.lower()} = {loader}.from_pretrained("<this repository or folder>")\n```\n'
    )


def _counted(grid: Grid) -> tuple[int, int]:
    """Heads and neurons in the circuit, or with a score."""
    return int(grid.heads.count_nonzero()), int(grid.neurons.count_nonzero())


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def folder_of(place: str | Path, revision: str | None, files: Sequence[str]) -> Path:
    """A folder as it is, or the given files of a repository of the hub, downloaded; raises `StoreError` for neither."""
    if Path(place).is_dir():
        return Path(place)
    try:
        return Path(snapshot_download(str(place), revision=revision, allow_patterns=list(files)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise StoreError(
            f"'{place}' is neither a folder nor a repository that can be downloaded: {str(error).splitlines()[0]}. "
            f"Give the path of a folder that `save_pretrained` wrote, or check the name and the network."
        ) from error


def read_manifest(path: Path, form: str, version: int) -> dict[str, Any]:
    """What a manifest says; raises `StoreError` for one that is damaged, or of another format or version."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["format"], manifest["version"]
        manifest["conditions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"'{path.parent}' holds no readable {path.name}: {type(error).__name__}: {error}. Expected a folder that "
            f"`save_pretrained` wrote."
        ) from error
    if found != (form, version):
        raise StoreError(
            f"{path} has format '{found[0]}', version {found[1]}; this diptych reads '{form}', version {version}. "
            f"Use the diptych that wrote it."
        )
    return dict(manifest)
