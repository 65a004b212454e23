"""A record of findings to try the page on: one pair's real numbers, as two models on two tasks."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

PAIRS = [(model, task) for model in ("first", "second") for task in ("counting", "sentiment")]
ONE = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""Results of every experiment on the organism qwen2vl with 12 items per split, and what `made` says of them."""


def example() -> dict[str, Any]:
    """A record of four pairs; of entities, of two models."""
    results = []
    for model, task in PAIRS:
        for one in ONE["results"]:
            if one["experiment"] != "entity_gap" or task == "counting":
                named = "countries" if one["experiment"] == "entity_gap" else task
                results.append({**deepcopy(one), "model": f"organism/{model}", "task": named})
    return {"made": ONE["made"], "results": results}


def entry(record: dict[str, Any], experiment: str, pair: tuple[str, str] = PAIRS[0]) -> dict[str, Any]:
    """One of its results, to be changed."""
    model, task = f"organism/{pair[0]}", pair[1]
    found = [
        one for one in record["results"] if (one["model"], one["task"], one["experiment"]) == (model, task, experiment)
    ]
    return found[0]
