"""Heads of a minimal circuit: which there are per segment and layer, and the strongest of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diptych.errors import InputError
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import helpful_first
from diptych.experiments._parameters import Options
from diptych.figures import Heatmap
from diptych.grid import Circuit, Scores
from diptych.items import Modality
from diptych.layout import SEGMENTS, Layout
from diptych.run import Run

SEEN = SEGMENTS[1:]
"""Segments that a circuit can be in: the prefix has no effect."""


@dataclass(frozen=True)
class Chosen:
    """A head of the circuit in one segment, with its score there."""

    segment: str
    layer: int
    head: int
    score: float

    @property
    def name(self) -> str:
        return f"{self.segment}: layer {self.layer}, head {self.head}"

    def rows(self, circuit: Circuit, layout: Layout) -> list[int]:
        """The positions of a prompt at which the head is in the circuit, within the segment."""
        inside = circuit.at(self.segment).expand(layout).heads[self.layer, :, self.head]
        found: list[int] = inside.nonzero().flatten().tolist()
        return found


def minimal(
    run: Run, modality: Modality, threshold: float, discovery: Options, shared: Options
) -> tuple[Scores, Circuit, dict[str, Any]]:
    """The scores of a panel as they are ranked, its minimal circuit, and what is to be told of it.

    Raises `InputError` if no circuit reaches the threshold.
    """
    found = run.get("discover", modality=modality, **(shared | discovery))
    curve = run.get("faithfulness_curve", modality=modality, threshold=threshold, discovery=discovery, **shared)
    size = curve.conditions["minimal size"]
    if size is None:
        raise InputError(
            f"There is no {modality} circuit to look at: {curve.summary} Lower the threshold, or use a model that does the task."
        )
    order = helpful_first(str(found.conditions["metric"]), str(found.conditions["reduction"]))
    scores = order(FoldScores.of(run, found).mean())
    return scores, scores.top(float(size)), {"circuit size": float(size), "ranked by": curve.conditions["ranked by"]}


def choose(scores: Scores, circuit: Circuit, count: int) -> list[Chosen]:
    """Per segment the heads of the circuit with the largest sum of scores over their positions in it; ties by index."""
    inside = scores.heads * circuit.heads
    found = []
    for segment in SEEN:
        places = scores.layout.segment(segment)
        sums = inside[:, places].sum(1)  # [layer, head]
        held = circuit.heads[:, places].any(1)
        ranked = sorted(held.nonzero().tolist(), key=lambda at: (-float(sums[at[0], at[1]]), at))
        found += [Chosen(segment, layer, head, float(sums[layer, head])) for layer, head in ranked[:count]]
    if not found:
        raise InputError(
            f"The circuit holds {circuit.count()[1]} neurons and no head in data, query or generation, so there is none to "
            f"look at. Raise the threshold, or use another method of discovery."
        )
    return found


def depth_map(circuit: Circuit, modality: Modality) -> Heatmap:
    """How many different heads are in the circuit, per layer and segment."""
    counts = [circuit.heads[:, circuit.layout.segment(segment)].any(1).sum(1).tolist() for segment in SEEN]
    return Heatmap(
        title=f"Heads of the circuit by layer and segment, {modality}",
        caption="How many different heads of a layer are in the minimal circuit at any position of a segment.",
        x_title="layer",
        y_title="segment",
        value_title="heads",
        x=[str(layer) for layer in range(len(circuit.heads))],
        y=list(SEEN),
        values=counts,
    )


def in_circuit(circuit: Circuit, segment: str) -> Sequence[tuple[int, int]]:
    """Layer and head of all heads of the circuit in a segment."""
    held = circuit.heads[:, circuit.layout.segment(segment)].any(1)
    return [(layer, head) for layer, head in held.nonzero().tolist()]
