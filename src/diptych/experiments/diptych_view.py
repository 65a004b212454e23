"""Diptych view: single prompts in both panels, with the scores of their nodes and the circuits of all sizes over them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from diptych.errors import InputError
from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import helpful_first
from diptych.experiments._parameters import Count, MetricName, Options, Positions, Seed, Share
from diptych.experiments._side import entering, look
from diptych.experiments._survey import Survey
from diptych.experiments._text import fixed, from_tensor
from diptych.figures import Diptych, Nodes, Pair, Panel, Side
from diptych.grid import Scores
from diptych.items import MODALITIES, Contrast, Modality
from diptych.result import Result, Row
from diptych.run import Finding, Run, Unit

VERSION = 2
USES = ("accuracy", "discover", "faithfulness_curve")


def diptych_view(
    run: Run,
    *,
    examples: Count = 3,
    threshold: Share = 0.8,
    metric: MetricName = "logit_diff",
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    curve: Options = {},  # noqa: B006 (the same)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """Scores of heads and of neurons for single test prompts in both panels, and which of them the circuit of each size holds.

    `examples`: prompts shown, of those answered correctly in both panels. Scores are the prompt's own, by the method of
    `discover`; circuits are those of the whole task. `discovery`, `curve`: parameters of
    `discover` and of `faithfulness_curve` that differ from their defaults.
    """
    survey = Survey.of(run)
    shared = {"metric": metric, "seed": seed, "positions": positions}
    panels = {
        modality: _Ranked(run, modality, discovery, {"threshold": threshold} | curve, shared) for modality in MODALITIES
    }
    sizes = sorted({size for panel in panels.values() for size in panel.faithfulness})
    usable = {m: survey.contrasts(m, "test", seed=seed, positions=positions).used for m in MODALITIES}
    pairs = shared_contrasts(run.task.name, {m: {c.clean.id: c for c in used} for m, used in usable.items()})[:examples]
    sides: dict[Modality, list[dict[str, Any]]] = {}
    for modality, panel in panels.items():
        work = partial(
            look,
            modality=modality,
            method=panel.method,
            arguments=panel.arguments,
            layout=panel.scores.layout,
            places=entering(panel.scores, sizes),
            answers=survey.answers,
        )
        units = [Unit(pair[modality].clean.id, pair[modality]) for pair in pairs]
        sides[modality] = [from_tensor(values["side"]) for _, values in run.map(work, units, name=modality)]
    figure = _figure(pairs, sides, sizes, panels)
    rows = [row for pair in figure.pairs for side in pair.sides for row in _rows(pair, side)]
    return Finding(
        summary=_summary(run.task.name, rows, len(pairs)),
        rows=rows,
        conditions=survey.conditions
        | {"n test": len(pairs), "split": "test", "metric": metric, "positions": positions, "seed": seed}
        | {f"minimal size, {name}": panel.minimal for name, panel in panels.items()},
        figures=[figure],
        notes=[
            "These are single prompts, picked by their place in the data and not for what they show.",
            *sorted({side["reason"] for some in sides.values() for side in some if "reason" in side}),
        ],
    )


class _Ranked:
    """One panel's scores in the order of its circuits, and how faithful those are."""

    def __init__(self, run: Run, modality: Modality, discovery: Options, curve: Options, shared: Options) -> None:
        found = run.get("discover", modality=modality, **(shared | discovery))
        measured = run.get("faithfulness_curve", modality=modality, discovery=discovery, **(shared | curve))
        asked = found.identity["parameters"]
        self.method: str = asked["method"]
        self.arguments: Options = {"metric": asked["metric"], "reduction": asked["reduction"]} | asked["options"]
        order = helpful_first(str(found.conditions["metric"]), str(found.conditions["reduction"]))
        self.scores: Scores = order(FoldScores.of(run, found).mean())
        self.faithfulness = _by_size(measured)
        self.minimal = measured.conditions["minimal size"]


def shared_contrasts(task: str, found: dict[Modality, dict[str, Contrast]]) -> list[dict[Modality, Contrast]]:
    """The contrasts of items that can be used in both panels; raises `InputError` if there is none."""
    both = [one for one in found["text"] if one in found["image"]]
    if not both:
        raise InputError(
            f"No test item of '{task}' is answered correctly in both panels. Use a model that does the task, or more items."
        )
    return [{modality: found[modality][one] for modality in MODALITIES} for one in both]


def _by_size(curve: Result) -> dict[float, Row]:
    return {float(str(row["size"])): row for row in curve.rows}


def _figure(
    pairs: Sequence[dict[Modality, Contrast]],
    sides: dict[Modality, list[dict[str, Any]]],
    sizes: Sequence[float],
    panels: dict[Modality, _Ranked],
) -> Diptych:
    drawn = []
    for place, pair in enumerate(pairs):
        item = pair["text"].clean
        both = [_side(sides[modality][place]) for modality in MODALITIES]
        drawn.append(Pair(f"Item {item.id}", item.query, item.answer, both))
    known = [panel.minimal for panel in panels.values() if panel.minimal is not None]
    return Diptych(
        title="Scores of single prompts in both panels",
        caption="Scores of the prompt's own heads or neurons (sum over a layer's at each position). Positions at which the "
        "circuit of the chosen size holds none of them are faded; circuits are those of the whole task.",
        value_title="score",
        layers=[str(layer) for layer in range(len(drawn[0].sides[0].nodes[0].scores))],
        sizes=list(sizes),
        said=[_said(size, panels) for size in sizes],
        start=sizes.index(max(known)) if known else len(sizes) - 1,
        pairs=drawn,
    )


def _side(plain: dict[str, Any]) -> Side:
    return Side(Panel(**plain["panel"]), [Nodes(**one) for one in plain["nodes"]], plain["cells"], plain["columns"])


def _said(size: float, panels: dict[Modality, _Ranked]) -> str:
    """How faithful the circuits of this size are, and of which panels it is the minimal one."""
    told = []
    for modality, panel in panels.items():
        value = panel.faithfulness.get(size, {}).get("faithfulness")
        minimal = ", the minimal circuit" if panel.minimal == size else ""
        told.append(f"{modality} {fixed(value)}{minimal}" if value is not None else f"{modality} not measured")
    return f"faithfulness on test: {'; '.join(told)}"


def _rows(pair: Pair, side: Side) -> list[Row]:
    """Which head and which neuron is strongest in each segment of a panel that has scores."""
    rows: list[Row] = []
    for segment in dict.fromkeys(side.panel.segments):
        inside = [pos for pos, name in enumerate(side.panel.segments) if name == segment]
        for nodes in side.nodes:
            found = [(one, layer, pos) for layer, row in enumerate(nodes.named) for pos in inside for one in row[pos]]
            if found:
                (node, score, _), layer, pos = max(found, key=lambda one: abs(one[0][1] or 0.0))
                place = {"item": pair.title, "panel": side.panel.modality, "segment": segment}
                strongest = {"strongest": f"layer {layer}, {nodes.kind} {node}", "token": side.panel.tokens[pos]}
                rows.append(place | strongest | {"score": score})
    return rows


def _summary(task: str, rows: Sequence[Row], n: int) -> str:
    best = max(rows, key=lambda row: abs(float(str(row["score"] or 0))))
    return (
        f"In {n} test prompts of {task}, the highest single score is {fixed(best['score'])}: {best['strongest']}, at "
        f"{best['token']!r} in the {best['segment']} from {best['panel']}."
    )
