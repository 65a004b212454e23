"""Words: numbers in sentences, and JSON through the store, whose units hold tensors."""

import json
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
import transformers
from torch import Tensor

from diptych.models.pixels import described
from diptych.models.vlm import VLM
from diptych.result import Row


def known(value: object) -> TypeGuard[float]:
    """Whether it is a number, and a finite one."""
    return isinstance(value, float | int) and math.isfinite(value)


def fixed(value: object, digits: int = 2, *, factor: float = 1, sign: str = "") -> str:
    """A number for a sentence, a zero without sign; what is undefined is said to be."""
    if not known(value):
        return "undefined"
    rounded = round(factor * value, digits)
    return f"{rounded:{sign}.{digits}f}" if rounded else f"{0:.{digits}f}"


def interval(row: Row, digits: int = 2, *, factor: float = 1, sign: str = "") -> str:
    """The interval of a row, in brackets."""
    return f"[{', '.join(fixed(row[bound], digits, factor=factor, sign=sign) for bound in ('low', 'high'))}]"


def to_tensor(value: Any) -> Tensor:
    """JSON as bytes."""
    return torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)


def from_tensor(stored: Tensor) -> Any:
    """The inverse of `to_tensor`."""
    return json.loads(bytes(stored.tolist()))


def to_lines(values: Sequence[Any]) -> Tensor:
    """JSON as bytes, one value per line: what units store can be concatenated."""
    return torch.tensor(list("".join(json.dumps(value) + "\n" for value in values).encode()), dtype=torch.uint8)


def from_lines(stored: Tensor) -> list[Any]:
    """The inverse of `to_lines`."""
    return [json.loads(line) for line in bytes(stored.tolist()).splitlines()]


def model_facts(vlm: VLM) -> dict[str, str | int]:
    """What a reader must know of the model to repeat a number (methods §13)."""
    return {
        "model": vlm.name,
        "model_digest": vlm.digest,
        "revision": vlm.revision or "local",
        "dtype": str(vlm.dtype).removeprefix("torch."),
        "attention": vlm.attention,
        "pixel_budget": described(vlm.processor, vlm.pixels),
        "system prompt": vlm.system if vlm.system is not None else "the template's own",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
