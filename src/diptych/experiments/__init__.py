"""Experiments: one file each. `DEMO` is what `diptych demo` runs, in the report's order."""

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
