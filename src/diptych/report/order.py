"""The order in which results are told, however they come: from what is answered to where, why, and what repairs it."""

from collections.abc import Sequence

from diptych.result import Result

EXPERIMENTS = (
    "accuracy",
    "free_answers",
    "free_accuracy",
    "entity_gap",
    "discover",
    "faithfulness_curve",
    "minimal_circuit",
    "diptych_view",
    "node_view",
    "agreement",
    "overlap",
    "swap",
    "similarity",
    "knockout",
    "cross_patch",
    "freeze",
    "identify",
    "visual_integration",
    "logit_lens",
    "back_patching",
    "cell_prediction",
    "guided_back_patching",
)
"""Those of others come after these."""
PANELS = ("text", "image")


def in_order(results: Sequence[Result]) -> list[Result]:
    """By experiment, and of one experiment the text panel before the image; else as they come."""
    return sorted(results, key=_place)


def _place(result: Result) -> tuple[int, int]:
    parameters = result.identity.get("parameters", {})
    return _index(EXPERIMENTS, result.identity["experiment"]), _index(PANELS, parameters.get("modality"))


def _index(names: Sequence[str], name: object) -> int:
    return names.index(name) if name in names else len(names)
