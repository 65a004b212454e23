"""Files of named tensors that tell whether they hold what was written: safetensors with a digest of the values."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from diptych.errors import Damaged
from diptych.files import write_whole
from diptych.run.identity import canonical

if TYPE_CHECKING:
    from torch import Tensor

DIGEST = "digest"
"""The digest's name in a file's metadata. Files of before there were digests have none: nothing can be told of them."""


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    """Write the tensors, whole or not at all; raises `OSError`, also for a full disk."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # safetensors refuses views and tensors that share memory, so each is copied
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    try:
        write_whole(path, lambda temporary: save_file(plain, temporary, metadata={DIGEST: digest(plain)}))
    except SafetensorError as error:  # what the operating system refused, in its words
        raise OSError(str(error)) from error


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """The tensors as they were written; raises `Damaged` if they are not, or if the file cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no mapping
            noted = (file.metadata() or {}).get(DIGEST)
    except (OSError, SafetensorError) as error:
        raise Damaged(f"{path} cannot be read: {error}. Give its run's command again: it is computed anew.") from error
    if noted not in (None, digest(tensors)):
        raise Damaged(
            f"{path} holds other values than were written. Give its run's command again: it is computed anew."
        )
    return tensors


def digest(tensors: "Mapping[str, Tensor]") -> str:
    """SHA-256 of names, types, shapes and bytes."""
    import torch

    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
