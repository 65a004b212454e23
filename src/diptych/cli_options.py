"""Options that several commands share: which model, and how it is loaded."""

from typing import Annotated

import typer

from diptych.errors import InputError

Model = Annotated[
    str, typer.Option(help="A shipped organism, a Hugging Face id, the path of a folder, or random:<architecture>.")
]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16, float64, or auto (that of the checkpoint).")]
Revision = Annotated[str | None, typer.Option(help="Commit or branch of a Hugging Face model.")]
DeviceMap = Annotated[str | None, typer.Option(help="Where the model goes, such as cuda or auto.")]
OffloadFolder = Annotated[str | None, typer.Option(help="Folder for weights that fit on no device.")]
Quantisation = Annotated[str | None, typer.Option(help="int8 or nf4; needs bitsandbytes.")]
Attention = Annotated[str, typer.Option(help="Attention kernel: sdpa or eager.")]
PixelBudget = Annotated[
    str | None, typer.Option("--pixels", help="Fewest and most pixels of a picture, such as 50176,200704.")
]
System = Annotated[str | None, typer.Option(help="System prompt in place of the chat template's own.")]


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
