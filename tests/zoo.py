"""The tiny random models of all architectures, built once, and what docs/models.md says of them."""

from functools import cache
from pathlib import Path

import pytest

from diptych.models import load
from diptych.models.coverage import REFUSED
from diptych.models.vlm import VLM

TABLE = Path(__file__).parent.parent / "docs" / "models.md"
QUIET = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def table() -> dict[str, str]:
    """Architecture → verdict in docs/models.md."""
    rows = [line.split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row[0].removeprefix("| "): row[5] for row in rows[1:]}


READ = [name for name, verdict in table().items() if verdict != REFUSED]


@cache
def tiny(name: str) -> VLM:
    return load(f"random:{name}", verify=False)


def fresh(name: str) -> VLM:
    """A handle of its own on a shared model."""
    shared = tiny(name)
    return VLM(shared.model, shared.processor, shared.name, digest=shared.digest)
