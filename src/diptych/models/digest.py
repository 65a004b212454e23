"""Digest: which configuration and which weights a grid belongs to."""

import hashlib
from pathlib import Path

from diptych.models.random import RANDOM, fingerprint

MODEL_FILES = {".json", ".jinja", ".txt", ".model", ".safetensors", ".bin"}
DESCRIPTIONS = {"card.json", "curves.json"}  # of an organism; no number depends on them
BLOCK = 2**18  # bytes
BLOCKS = 256


def model_digest(configuration: str, place: str, commit: str | None) -> str:
    """12 hex digits of a configuration's digest and of where the weights come from.

    Those of a random model come from its name and recipe, those in a folder from its files, those of the hub from the
    commit. A folder and the hub's repository that it is a copy of count as two models.
    """
    if place.startswith(RANDOM):
        weights = fingerprint(place)
    elif Path(place).is_dir():
        weights = folder_digest(Path(place))
    else:
        weights = f"{place}@{commit}"
    return hashlib.sha256(f"{configuration} {weights}".encode()).hexdigest()[:12]


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
