"""Retries: what the Hugging Face hub's client says while a hub that does not answer is asked again, told once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

CLIENT = "huggingface_hub.utils._http"
"""The logger that tells of each request that failed, and of each wait before the next."""
FAILED, WAITING = " thrown while requesting ", "Retrying in "
AGAIN = ". It is asked again for up to half a minute; with HF_HUB_OFFLINE=1 in the environment, not at all."


@contextmanager
def told_once() -> Iterator[None]:
    """While open, the first request to the hub that fails is told, and the retries of it and of others are not."""
    told = False

    def passes(record: logging.LogRecord) -> bool:
        nonlocal told
        text = record.getMessage()
        if FAILED not in text:
            return not text.startswith(WAITING)
        first, told = not told, True
        record.msg, record.args = text + AGAIN, None
        return first

    client = logging.getLogger(CLIENT)
    client.addFilter(passes)
    try:
        yield
    finally:
        client.removeFilter(passes)
