"""Options that several commands share: which model, and how it is loaded."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from diptych.errors import InputError

WHICH = "A shipped organism, a Hugging Face id, the path of a folder, or random:<architecture> for a tiny random one, as random:llava."
Model = Annotated[str, typer.Option(help=WHICH)]
ModelName = Annotated[str, typer.Argument(help=WHICH)]
BatchSize = Annotated[int, typer.Option(help="Prompts per forward pass.")]

Loading = dict[str, Any]
"""What `diptych.load` takes besides the model's name."""


def loading_options(
    *,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16, float64, or auto (that of the checkpoint).")
    ] = "float32",
    device_map: Annotated[str | None, typer.Option(help="Where the model goes, such as cuda or auto.")] = None,
    offload_folder: Annotated[str | None, typer.Option(help="Folder for weights that fit on no device.")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit or branch of a Hugging Face model.")] = None,
    quantisation: Annotated[str | None, typer.Option(help="int8 or nf4; needs bitsandbytes.")] = None,
    attention: Annotated[str, typer.Option(help="Attention kernel: sdpa or eager.")] = "sdpa",
    pixels: Annotated[
        str | None, typer.Option(help="Fewest and most pixels of a picture, such as 50176,200704.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt in place of the chat template's own.")] = None,
) -> Loading:
    """How a model is loaded, from options as they are written."""
    return {
        "dtype": dtype,
        "device_map": device_map,
        "offload_folder": offload_folder,
        "revision": revision,
        "quantisation": quantisation,
        "attention": attention,
        "pixels": pixel_budget(pixels),
        "system": system,
    }


def with_loading(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `loading_options` in the place of its parameter `loading`."""
    options = inspect.signature(loading_options).parameters

    @wraps(command)
    def called(**given: Any) -> None:
        loading = loading_options(**{name: given.pop(name) for name in options})
        command(**given, loading=loading)

    own = inspect.signature(command)
    every = [
        inner
        for parameter in own.parameters.values()
        for inner in (options.values() if parameter.name == "loading" else [parameter])
    ]
    called.__signature__ = own.replace(  # type: ignore[attr-defined]  # which typer reads
        parameters=[parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in every]
    )
    return called


def pixel_budget(text: str | None) -> tuple[int, int] | None:
    """`50176,200704` as two numbers; raises `InputError` for anything else."""
    if text is None:
        return None
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise InputError(
            f"--pixels is '{text}'; expected the fewest and the most pixels with a comma between, such as 50176,200704."
        )
    return int(numbers[0]), int(numbers[1])
