"""Digest: which configuration and which weights a grid belongs to."""

import hashlib
from pathlib import Path

from diptych.models.file import is_file
from diptych.models.random import RANDOM, fingerprint
from diptych.registry import file_digest

MODEL_FILES = {".json", ".jinja", ".txt", ".model", ".safetensors", ".bin"}
DESCRIPTIONS = {"card.json", "curves.json"}  # of an organism; no number depends on them
BLOCK = 2**18  # bytes
BLOCKS = 256


def model_digest(configuration: str, place: str, commit: str | None) -> str:
    """12 hex digits of a configuration's digest and of where the weights come from.

    Those of the hub come from the commit. A folder and the hub's repository that it is a copy of count as two models.
    """
    weights = local_digest(place) or f"{place}@{commit}"
    return hashlib.sha256(f"{configuration} {weights}".encode()).hexdigest()[:12]


def local_digest(place: str) -> str | None:
    """12 hex digits of what a model on this machine is made from; None for one of the hub.

    A random model is made from its name and recipe, one in a folder from its files, one in a user's file from its text.
    """
    if place.startswith(RANDOM):
        return fingerprint(place)
    if is_file(place):
        return file_digest(place)
    return folder_digest(Path(place)) if Path(place).is_dir() else None


def folder_digest(folder: Path) -> str:
    """12 hex digits of the files that make a model: weights, configuration, tokenizer, template."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in MODEL_FILES and path.name not in DESCRIPTIONS:
            digest.update(f"{path.name}:{path.stat().st_size}:".encode())
            _add_blocks(digest, path)
    return digest.hexdigest()[:12]


def _add_blocks(digest: "hashlib._Hash", path: Path) -> None:
    """The whole file up to 64 MiB; of a longer one, 256 evenly spaced blocks of 256 KiB.

    So a checkpoint is recognised from 64 MiB per shard: training moves all weights, so any block shows it.
    """
    stride = max(BLOCK, path.stat().st_size // BLOCKS)
    with path.open("rb") as file:
        for start in range(0, path.stat().st_size, stride):
            file.seek(start)
            digest.update(file.read(BLOCK))
