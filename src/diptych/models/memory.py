"""Memory: work on a batch that is halved as long as it does not fit."""

from collections.abc import Callable
from typing import TypeVar

import torch

from diptych.errors import InputError

Found = TypeVar("Found")


def fitting(work: Callable[[int], Found], batch_size: int) -> tuple[Found, int]:
    """`work(batch_size)`, or with half as many prompts at once as often as memory runs out; and how many that were.

    Raises `InputError` if a single prompt does not fit. Other errors pass.
    """
    size = batch_size
    while True:
        error = None
        try:
            return work(size), size
        except (RuntimeError, MemoryError) as raised:
            if not is_out_of_memory(raised):
                raise
            error = raised
            if size == 1:
                raise InputError(
                    f"A single prompt does not fit into memory: {str(raised).splitlines()[0]} Use a smaller dtype, "
                    f'quantisation or pixel budget, or spread the model with device_map="auto".'
                ) from raised
        error.__traceback__ = None  # its frames hold the tensors of the failed attempt
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size = (size + 1) // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on an accelerator or on the CPU."""
    on_cpu = "DefaultCPUAllocator: can't allocate memory" in str(error) or "not enough memory" in str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or on_cpu
