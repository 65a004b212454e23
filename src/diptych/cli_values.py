"""Values as one writes them on the command line: `key=value`, read and shown."""

import inspect
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from diptych.errors import InputError

Setting = Annotated[
    list[str], typer.Option("--set", "-s", help="key=value for the task, such as path=my.jsonl; several times.")
]


def named_values(given: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts as parameters; a value in brackets or braces is read as JSON, any other is checked as text."""
    pairs = [text.partition("=") for text in given]
    wrong = [text for text, (key, equals, _) in zip(given, pairs, strict=True) if not (key and equals)]
    if wrong:
        raise InputError(f"Parameter '{wrong[0]}' is not of the form key=value, such as modality=image.")
    twice = [key for key, count in Counter(key for key, _, _ in pairs).items() if count > 1]
    if twice:
        raise InputError(
            f"Parameter '{twice[0]}' is given twice. Give each once; write several values as sizes=0.1,1.0."
        )
    return {key: _value(key, value) for key, _, value in pairs}


def shown(default: Any) -> str:
    """A default as one writes it on the command line; `...` for a parameter that has none."""
    if default is inspect.Parameter.empty:
        return "..."
    return default if isinstance(default, str) else json.dumps(default)


def first_line(function: Callable[..., Any]) -> str:
    """The first line of a function's description, without its marks of emphasis."""
    return (function.__doc__ or "").strip().partition("\n")[0].replace("*", "")


def _value(key: str, text: str) -> Any:
    if text == "null":
        return None
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"Parameter {key}={text} looks like JSON but is not: {error}. Write lists like sizes=[0.1,1.0]."
        ) from error
