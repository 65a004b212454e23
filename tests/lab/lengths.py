"""An experiment for tests whose numbers come from a file that a parameter names."""

from pathlib import Path
from typing import Any

import torch

from diptych.run import Finding, Run, Unit

VERSION = 1


def length(vlm: Any, path: Path) -> dict[str, torch.Tensor]:
    vlm(path)
    return {"length": torch.tensor(float(len(path.read_text())))}


def lengths(run: Run, *, method: str) -> Finding:
    """Visits the file in three units and once more after them."""
    found = list(run.map(length, [Unit(name, Path(method)) for name in "abc"]))
    length(run.vlm, Path(method))
    return Finding(summary=f"{len(found)} lengths.", rows=[], conditions={})
