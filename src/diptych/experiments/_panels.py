"""Panels: what experiments on two circuits take from `discover` and `faithfulness_curve`, for the text and the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diptych.errors import InputError
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import Order, as_scored, helpful_first
from diptych.experiments._parameters import Options
from diptych.experiments._survey import Survey
from diptych.grid import Circuit, Scores
from diptych.items import MODALITIES, Modality
from diptych.run import Run


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel's scores and the size of its minimal circuit."""

    modality: Modality
    scores: FoldScores
    size: float
    conditions: dict[str, Any]
    order: Order = as_scored

    @classmethod
    def of(cls, run: Run, modality: Modality, threshold: float, discovery: Options, shared: Options) -> "Panel":
        found = run.get("discover", modality=modality, **(shared | discovery))
        curve = run.get("faithfulness_curve", modality=modality, threshold=threshold, discovery=discovery, **shared)
        size = curve.conditions["minimal size"]
        if size is None:
            raise InputError(
                f"There is no {modality} circuit to compare: {curve.summary} Lower the threshold, or use a model that "
                f"does the task."
            )
        told = {name: found.conditions[name] for name in ("n discover", "dropped discover", "pooled spans")}
        order = helpful_first(str(found.conditions["metric"]), str(found.conditions["reduction"]))
        return cls(modality, FoldScores.of(run, found), float(size), {"size": size} | told, order)

    def ranking(self) -> Scores:
        """The scores of all folds, highest first in the circuit."""
        return self.order(self.scores.mean())

    def circuit(self, folds: Sequence[int] | None = None) -> Circuit:
        """The minimal circuit, from all or some folds."""
        return self.order(self.scores.mean(folds)).top(self.size)

    def weighted(self, weights: Sequence[float]) -> Circuit:
        """The circuit of this size when the folds weigh differently."""
        return self.order(self.scores.weighted(weights)).top(self.size)

    def half(self, which: int) -> list[int]:
        """Every second fold: the two halves share no prompt, nor do they with the other panel's other half."""
        return list(range(which, len(self.scores.prompts), 2))


def panels(run: Run, survey: Survey, threshold: float, discovery: Options, shared: Options) -> tuple[Panel, Panel]:
    """The text's and the image's; a task that lacks a panel is refused before anything is computed."""
    for modality in MODALITIES:
        survey.items(modality, "discover")
    text, image = (Panel.of(run, modality, threshold, discovery, shared) for modality in MODALITIES)
    return text, image


def conditions(found: Sequence[Panel]) -> dict[str, Any]:
    """Size, n and drops of both panels."""
    return {f"{name} {panel.modality}": value for panel in found for name, value in panel.conditions.items()}
