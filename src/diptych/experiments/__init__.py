"""Experiments: one file each. `DEMO` is what `diptych demo` runs."""

from typing import Any

DEMO_TASKS = ("counting", "arithmetic")

DEMO: tuple[tuple[str, dict[str, Any]], ...] = (
    ("accuracy", {}),
    ("discover", {"modality": "text"}),
    ("discover", {"modality": "image"}),
    ("faithfulness_curve", {"modality": "text"}),
    ("faithfulness_curve", {"modality": "image"}),
    ("overlap", {}),
    ("back_patching", {}),
)
"""(experiment, parameters that differ from their defaults)."""

DEMO_FIRST: tuple[tuple[str, dict[str, Any]], ...] = (("diptych_view", {}), ("swap", {"draws": 5}), ("knockout", {}))
"""What is run besides on the first task alone, so that the demo stays within its minutes."""
