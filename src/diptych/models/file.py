"""A model in a user's file: a function named after the file makes the model and its processor."""

from typing import Any

from torch import nn

from diptych.errors import InputError
from diptych.registry import find, source_digest


def is_file(name: str) -> bool:
    """Whether the name of a model is the path of a Python file."""
    return name.endswith(".py")


def from_file(name: str, dtype: str, attention: str) -> tuple[Any, Any, str]:
    """The model, its processor, and 12 hex digits of the text of the file.

    The function is called with `dtype` and `attention` as they were given to `diptych.load`. Raises `InputError` if it
    fails, or returns anything but a PyTorch module and a processor that has a tokenizer.
    """
    function = find("model", name)
    try:
        made = function(dtype=dtype, attention=attention)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Model '{name}' cannot be made: {type(error).__name__}: {error}. Expected "
            f"`def {function.__name__}(*, dtype: str, attention: str)` that returns a model and its processor."
        ) from error
    pair = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(pair[0], nn.Module) or not hasattr(pair[1], "tokenizer"):
        raise InputError(
            f"Model '{name}' gives {shown(made)}; expected a model of transformers and a processor that has a tokenizer, "
            f"in this order."
        )
    return *pair, source_digest(function)


def shown(made: Any) -> str:
    """The types of what was returned."""
    parts = made if isinstance(made, tuple) else (made,)
    return ", ".join(type(part).__name__ for part in parts) or "nothing"
