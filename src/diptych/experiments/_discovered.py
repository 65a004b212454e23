"""What a stored discovery found, without its model: scores to rank, and the conditions to share them with."""

import json
from pathlib import Path
from typing import Any

from diptych.errors import InputError
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import helpful_first
from diptych.grid import Scores
from diptych.layout import Layout
from diptych.run.folder import Folder


def discovered(folder: str | Path) -> tuple[Scores, dict[str, Any]]:
    """Mean scores in a folder of a finished `discover`, with their conditions; `scores.top(size)` is the circuit.

    Signed scores are turned so that the nodes whose patching takes the metric most to the counterfactual come first.
    Raises `InputError` for a folder of another experiment.
    """
    stored = Folder(Path(folder))
    result = stored.result()
    if result.identity["experiment"] != "discover":
        raise InputError(
            f"'{folder}' holds a result of '{result.identity['experiment']}'; expected one of 'discover', which has scores."
        )
    told = dict(result.conditions)
    layout = Layout.from_json(json.loads(str(told["layout"])))
    scores = FoldScores.stored(stored.grids(), layout, str(told["model_digest"])).mean()
    asked = {"task": result.identity["task"], "task_digest": result.identity["task_digest"], "split": "discover"}
    asked |= {"modality": result.identity["parameters"]["modality"], "dropped": told["dropped discover"]}
    return helpful_first(str(told["metric"]), str(told["reduction"]))(scores), asked | told
