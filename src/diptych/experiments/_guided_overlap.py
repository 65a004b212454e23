"""The overlap of the image circuit with the text circuit, before and after back-patching."""

import json
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from diptych.backpatch import Cell, patched
from diptych.compare import SEGMENTS, overlaps
from diptych.experiments._comparison import held_folds, reweight
from diptych.experiments._folds import FoldScores
from diptych.experiments._halving import Halving
from diptych.experiments._panels import Panel
from diptych.experiments._parameters import Options
from diptych.experiments._rounds import discovered_on
from diptych.experiments._survey import Survey
from diptych.experiments._sweep import Array
from diptych.experiments.discover import by_fold, pooled, score
from diptych.figures import Bars, Series
from diptych.grid import KINDS
from diptych.items import Contrast
from diptych.models.vlm import VLM
from diptych.paper_compat import PaperCompat
from diptych.result import Row, numbers
from diptych.run import Run
from diptych.statistics import student

NOTHING = "none"


def score_patched(vlm: VLM, payload: tuple[int, list[Contrast]], *, cell: Cell, **asked: Any) -> dict[str, Tensor]:
    """As `discover` scores a chunk of contrasts, with the cell patched in every run."""
    return score(patched(vlm, cell), payload, **asked)


def compare(
    run: Run, survey: Survey, panels: Sequence[Panel], cell: Cell, discovery: Options, resamples: int
) -> list[Row]:
    """nIoU with the text circuit by segment, of the image circuit found without and with the patch, and the change."""
    if len(panels) < 2:
        return []
    text, image = panels
    after = _rediscovered(run, survey, image, cell, discovery)
    seed = int(discovery["seed"])
    held = held_folds(panels)
    values = np.array([[one.niou for one in overlaps(text.circuit(), other.circuit())] for other in (image, after)])
    draws = np.stack([reweight(text, other, held, resamples, seed, PaperCompat()) for other in (image, after)])
    return list(changes(values, draws, len(held)))


def changes(values: Array, draws: Array, folds: int) -> Iterator[Row]:
    """A row for each segment, of the kinds of nodes whose overlap is defined both without and with the patch.

    `values`: nIoU [without and with, segment · kind]; `draws`: the same of reweighted folds [without and with, draw, ...].
    """
    for place, segment in enumerate(SEGMENTS):
        columns = [place * len(KINDS) + kind for kind in range(len(KINDS))]
        kept = [column for column in columns if np.isfinite(values[:, column]).all()]
        before, after = (float(one[kept].mean()) if kept else math.nan for one in values)
        drawn = (draws[1] - draws[0])[:, kept or columns].mean(1)
        low, high = student(after - before, drawn, folds)
        yield {
            "panel": "text and image",
            "cell": f"overlap in {segment}",
            "nodes compared": " and ".join(KINDS[columns.index(column)] for column in kept) or NOTHING,
            "nIoU before": before,
            "nIoU after": after,
            "change": after - before,
            "change, low": low,
            "change, high": high,
        }


def decided(compared: Sequence[Row]) -> list[str]:
    """A note on what is left out of the overlaps, if anything."""
    said = [f"{str(row['cell']).split()[-1]} ({row['nodes compared']} compared)" for row in compared]
    fewer = [one for one, row in zip(said, compared, strict=True) if row["nodes compared"] != " and ".join(KINDS)]
    why = (
        "Without or with the patch, a circuit holds all nodes of a kind, or none, so that the overlap follows from the sizes "
        "alone. Such a kind is left out: "
    )
    return [why + ", ".join(fewer) + "."] if fewer else []


def _rediscovered(run: Run, survey: Survey, image: Panel, cell: Cell, discovery: Options) -> Panel:
    """The image panel with scores found while the cell is patched: same prompts, method and folds."""
    found = run.get("discover", modality="image", **discovery)
    told = found.conditions
    folds = len(image.scores.prompts)
    everything = survey.contrasts("image", "discover", seed=discovery["seed"], positions=discovery["positions"])
    chosen = discovered_on(everything, found)
    arguments = {"metric": told["metric"], "reduction": told["reduction"]} | json.loads(str(told["options"]))
    work = partial(score_patched, cell=cell, method=str(told["method"]), arguments=arguments)
    work = partial(work, answers=survey.answers, layout=chosen.layout)
    units = chosen.units(run.batch_size, folds=folds)
    values = [values for _, values in run.map(Halving(work, pooled), units, name="discover, patched")]
    scores = FoldScores.stored(by_fold(values, folds), chosen.layout, str(told["model_digest"]))
    return Panel("image", scores, image.size, {}, image.order)


def bars(compared: Sequence[Row]) -> list[Bars]:
    """One figure, or none without a comparison."""
    if not compared:
        return []
    return [
        Bars(
            title="Overlap with the text circuit, with and without the patch",
            caption="nIoU per segment of the text circuit and the image circuit, mean of heads and neurons where both are "
            "defined: 0 for random circuits of the same sizes, 1 for identical ones.",
            x_title="segment",
            y_title="nIoU",
            categories=list(SEGMENTS),
            series=[Series(f"{when} back-patching", numbers(compared, f"nIoU {when}")) for when in ("before", "after")],
        )
    ]
