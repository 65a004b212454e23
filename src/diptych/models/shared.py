"""Shared: a copy of a model's modules around the same weights."""

from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import Any

from diptych.models.vlm import VLM


def sharing_weights(vlm: VLM, name: str, digest: str) -> VLM:
    """A copy of the model that can be hooked for good: its weights are the original's, whose own module is left as it is."""
    model: Any = vlm.model
    shared = {id(value): value for value in chain(model.parameters(), model.buffers())}
    return replace(vlm, model=deepcopy(model, shared), name=name, digest=digest)
