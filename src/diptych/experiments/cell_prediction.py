"""Cell prediction: the best back-patching cell from one backward pass, against the sweep. What it costs, what it misses."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from diptych.backpatch import Cell, forwards
from diptych.experiments._halving import Along, Halving
from diptych.experiments._parameters import Count, Seed, Windows
from diptych.experiments._survey import Survey
from diptych.experiments._sweep import Array, Outcomes, Sweep, stored_sweep
from diptych.experiments._text import fixed, interval, known
from diptych.figures import Bars, Heatmap, Series
from diptych.first_order import first_order
from diptych.items import Item
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.trace import trace
from diptych.models.vlm import VLM
from diptych.result import Row, numbers
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, paired_difference

VERSION = 4
USES = ("accuracy", "back_patching")
BACKWARD = 1.0
"""Forwards that a backward pass to activations costs, parameters frozen (methods §15)."""


def cell_prediction(run: Run, *, windows: Windows = (1, 3, 5), shortlist: Count = 5, seed: Seed = 0) -> Finding:
    """The image cell that first-order effects on *select* prefer, and the best of a `shortlist` of them tried on *select*.

    Reported on *test* beside the cell that the whole sweep chose on *select*: gain, regret in accuracy (paired), and cost
    in forwards per prompt of *select*.
    """
    survey = Survey.of(run)
    sweep = stored_sweep(run, run.get("back_patching", windows=windows, seed=seed), "image")
    chosen = survey.items("image", "select")
    work = partial(predict, cells=sweep.select.cells, answers=survey.answers)
    found = [
        values for _, values in run.map(Halving(work, Along(-1)), chosen.units(run.batch_size), name="first order")
    ]
    effects: Array = torch.cat([one["effects"] for one in found], -1).double().mean(1).numpy()
    layers = int(found[0]["layers"][0])
    shapes = torch.cat([one["shapes"] for one in found], -1).T.tolist()
    rows = _rows(sweep, effects, shortlist, partial(cost, shapes=shapes, layers=layers))
    agreement = rank_correlation(effects, sweep.select.gains.mean(1))
    return Finding(
        summary=_summary(run.task.name, rows, shortlist),
        rows=rows,
        conditions=survey.conditions
        | chosen.conditions()
        | {
            "n test": sweep.test.base.size,
            "windows": ", ".join(map(str, windows)),
            "shortlist": shortlist,
            "seed": seed,
        }
        | {"rank correlation with measured gains on select": agreement}
        | {"interval": INTERVAL},
        figures=[_bars(rows), _map(sweep.select.cells, effects, layers)],
        notes=[
            f"Over {len(effects)} cells, predicted effects and measured gains on select have a rank correlation of "
            f"{fixed(agreement)}.",
            "Predicted: the first-order change of the log-odds of the answer among all answers. A backward pass counts as "
            "one forward; of a sweep, the layers and positions that it computes count.",
            "Regret: accuracy on test with the cell that the sweep chose on select, minus that with this one.",
        ],
    )


def predict(
    vlm: VLM, payload: tuple[int, list[Item]], *, cells: Sequence[Cell], answers: AnswerTokens
) -> dict[str, Tensor]:
    """First-order effect of each cell on each prompt's log-odds of its answer [cell, n], and the number of layers [n].

    And its shape: the first and the last but one position of the data, how many positions there are, and whether later
    ones can be computed alone [4, n].
    """
    _, items = payload
    prompts = [encode_item(vlm, item, "image") for item in items]
    call = vlm.capture(collate(prompts))
    odds = partial(log_odds, answers=answers.of(items), choices=answers.choices)
    layout = prompts[0].layout
    data = layout.data
    effects = first_order(vlm, call, data, cells, odds)
    alone = trace(vlm, call, (data.start, data.stop)).past is not None
    shape = torch.tensor([data.start, data.stop, layout.length, alone])
    return {
        "effects": effects,
        "layers": torch.full((len(items),), len(vlm.layers)),
        "shapes": shape[:, None].expand(-1, len(items)),
    }


def log_odds(logits: Tensor, *, answers: Tensor, choices: Tensor) -> Tensor:
    """log p/(1 − p) of each prompt's answer among the choices [batch]."""
    kept, answers = logits[:, choices.to(logits.device)], answers.to(logits.device)
    ours = choices.to(logits.device) == answers[:, None]
    return kept.masked_fill(~ours, -torch.inf).logsumexp(-1) - kept.masked_fill(ours, -torch.inf).logsumexp(-1)


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's; nan where one of them is constant, as gains are if no cell changes an answer."""
    return float(spearmanr(a, b).statistic) if min(np.ptp(a), np.ptp(b)) > 0 else float("nan")


def cost(cells: Sequence[Cell], shapes: Sequence[Sequence[int]], layers: int) -> float:
    """Forwards that a sweep of these cells takes per prompt, mean over the shapes of prompts that `predict` tells."""
    counted = Counter(map(tuple, shapes))
    return sum(
        times * forwards(cells, layers, slice(start, stop), length, alone=bool(alone))
        for (start, stop, length, alone), times in counted.items()
    ) / len(shapes)


@dataclass(frozen=True)
class _Way:
    """A way to choose a cell: what it is called, its choice, and its cost in forwards per prompt of select."""

    name: str
    cell: int
    forwards: float


def _rows(sweep: Sweep, effects: Array, shortlist: int, cost: Callable[[Sequence[Cell]], float]) -> list[Row]:
    select: Outcomes = sweep.select
    best = np.argsort(-effects, kind="stable")[:shortlist].tolist()
    tried = max(best, key=lambda cell: float(select.gains[cell].mean()))
    several = cost([select.cells[cell] for cell in best])
    ways = (
        _Way("sweep of all cells", select.best(), cost(select.cells)),
        _Way("first order", best[0], 1 + BACKWARD),
        _Way(f"best of {shortlist} by first order", tried, BACKWARD + several),
    )
    rows = [_row(sweep, way, sweep.test.patched[select.best()]) for way in ways]
    random = float(sweep.test.gains.mean())
    return [*rows, {"way": "mean of all cells", "gain": random, "regret": float(str(rows[0]["gain"])) - random}]


def _row(sweep: Sweep, way: _Way, reference: Array) -> Row:
    where, test = sweep.test.cells[way.cell], sweep.test
    gain = paired_difference(test.gains[way.cell], test.clusters)
    regret = paired_difference(reference - test.patched[way.cell], test.clusters)
    place: dict[str, Any] = {name: getattr(where, name) for name in ("source", "destination", "window")}
    return (
        {"way": way.name, **place, "gain": gain.value, "low": gain.low, "high": gain.high}
        | {"regret": regret.value, "regret, low": regret.low, "regret, high": regret.high}
        | {"gain on select": float(sweep.select.gains[way.cell].mean()), "forwards": way.forwards, "n": gain.n}
    )


def _summary(task: str, rows: Sequence[Row], shortlist: int) -> str:
    whole, first, several = rows[:3]
    said = (
        f"that of {name} gains {_against(row)} for {fixed(row['forwards'], 1)} forwards"
        for row, name in ((first, "first order alone"), (several, f"the best of {shortlist} by first order"))
    )
    return (
        f"On {task} the sweep's cell gains {fixed(whole['gain'], 1, factor=100, sign='+')} points "
        f"{interval(whole, 1, factor=100, sign='+')} on test for {fixed(whole['forwards'], 1)} forwards per "
        f"prompt; {' and '.join(said)}."
    )


def _against(row: Row) -> str:
    """Regret in words: how many points less than the sweep's cell, or more, with its interval."""
    regret, low, high = (row[name] for name in ("regret", "regret, low", "regret, high"))
    less = not known(regret) or regret >= 0
    bounds = {"low": low, "high": high} if less else {"low": _minus(high), "high": _minus(low)}
    points = fixed(regret if less else _minus(regret), 1, factor=100)
    return f"{points} points {'less' if less else 'more'} {interval(bounds, 1, factor=100)}"


def _minus(value: object) -> float | None:
    return -value if known(value) else None


def _bars(rows: Sequence[Row]) -> Bars:
    measured = rows[:3]
    columns = ([value and 100 * value for value in numbers(measured, name)] for name in ("gain", "low", "high"))
    return Bars(
        title="A predicted cell against the sweep's",
        caption="Change of image accuracy on test in points, with 95% intervals; forwards per prompt of select.",
        x_title="how the cell is chosen",
        y_title="points",
        categories=[f"{row['way']} ({fixed(row['forwards'], 1)} forwards)" for row in measured],
        series=[Series("gain", *columns)],
        levels=[(100 * float(str(rows[3]["gain"])), "mean of all cells")],
    )


def _map(cells: Sequence[Cell], effects: Array, layers: int) -> Heatmap:
    """Predicted effects of cells of one layer."""
    known = {
        (cell.destination, cell.source): float(e) for cell, e in zip(cells, effects, strict=True) if cell.window == 1
    }
    names = [str(layer) for layer in range(layers)]
    return Heatmap(
        title="First-order effect of back-patching, window 1",
        caption="Predicted change of the answer's log-odds on select, by the layer patched from and into.",
        x_title="source layer",
        y_title="destination layer",
        value_title="log-odds",
        x=names,
        y=names,
        values=[[known.get((destination, source)) for source in range(layers)] for destination in range(layers)],
    )
