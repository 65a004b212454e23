"""The cell that `back_patching` chose on select, as a back-patch to deploy, with what it did on test."""

from typing import Any

from diptych.deployed import BackPatch
from diptych.experiments._text import known
from diptych.models.vlm import VLM
from diptych.result import Result

FACTS = ("model", "revision", "model_digest", "dtype", "selected on", "seed", "interval", "null")
"""Conditions of the result that go with the back-patch."""
MEASURED = ("n", "accuracy", "patched", "gain", "low", "high", "McNemar p", "gain on select")
NULL = ("null 95%", "null p")
"""The gain that this cell must exceed to have p ≤ .05 among all cells, and its p among them."""


def chosen_patch(vlm: VLM, result: Result) -> BackPatch:
    """The image cell of a `back_patching` result of this model; `conditions` say how it was chosen and what it gains.

    Its `beats the null` tells whether the gain on test is above 0 with its whole interval, and above what this
    cell must gain on test to be told from the best of all cells by chance.
    """
    image = {row["cell"]: row for row in result.rows if row["panel"] == "image"}
    held_out = image["chosen on select"]
    told: dict[str, Any] = {"task": result.identity["task"], "task_digest": result.identity["task_digest"]}
    told |= {name: result.conditions[name] for name in FACTS} | {"split": "test"}
    told |= {name: held_out[name] for name in MEASURED + NULL}
    told["beats the null"] = bool(_above(told["low"], 0) and _above(told["gain"], told["null 95%"]))
    told["result"] = result.identity["digest"]
    src, dst, window = (int(str(held_out[name])) for name in ("source", "destination", "window"))
    architecture = str(vlm.model.config.model_type)
    return BackPatch(src, dst, window, architecture=architecture, layers=len(vlm.layers), conditions=told)


def _above(value: Any, other: Any) -> bool:
    """False for what does not exist: an interval of a single cluster, a needed gain of a cell that changes nothing."""
    return known(value) and known(other) and value > other
