"""The overlap of the image circuit with the text circuit, before and after back-patching."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from diptych.backpatch import Cell, patched
from diptych.compare import SEGMENTS, overlaps
from diptych.experiments._comparison import held_folds, reweight
from diptych.experiments._halving import Halving
from diptych.experiments._panels import Panel
from diptych.experiments._parameters import Options
from diptych.experiments._survey import FoldScores, Survey
from diptych.experiments._sweep import Array
from diptych.experiments.discover import by_fold, pooled, score
from diptych.grid import KINDS
from diptych.items import Contrast
from diptych.models.vlm import VLM
from diptych.paper_compat import PaperCompat
from diptych.result import Bars, Row, Series, numbers
from diptych.run import Run
from diptych.statistics import student


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
    before_draws, after_draws = (
        _by_segment(reweight(text, other, held, resamples, seed, PaperCompat())) for other in (image, after)
    )
    whole = [np.array([[one.niou for one in overlaps(text.circuit(), other.circuit())]]) for other in (image, after)]
    before_value, after_value = (_by_segment(values)[0] for values in whole)
    rows: list[Row] = []
    for place, segment in enumerate(SEGMENTS):
        change = after_draws[:, place] - before_draws[:, place]
        difference = float(after_value[place] - before_value[place])
        low, high = student(difference, change, len(held))
        value: Row = {
            "panel": "text and image",
            "cell": f"overlap in {segment}",
            "nIoU before": float(before_value[place]),
            "nIoU after": float(after_value[place]),
            "change": difference,
            "change, low": low,
            "change, high": high,
        }
        rows.append(value)
    return rows


def _by_segment(niou: Array) -> Array:
    """nIoU [draw, segment · kind] → [draw, segment], the mean of heads and neurons where they are defined."""
    values = niou.reshape(len(niou), len(SEGMENTS), len(KINDS))
    defined = np.isfinite(values)
    total = np.where(defined, values, 0).sum(-1)
    return np.where(defined.any(-1), total / np.maximum(defined.sum(-1), 1), np.nan)


def _rediscovered(run: Run, survey: Survey, image: Panel, cell: Cell, discovery: Options) -> Panel:
    """The image panel with scores found while the cell is patched: same prompts, method and folds."""
    found = run.get("discover", modality="image", **discovery)
    told = found.conditions
    folds = len(image.scores.prompts)
    chosen = survey.contrasts("image", "discover", seed=discovery["seed"], positions=discovery["positions"])
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
            caption="nIoU per segment of the text circuit and the image circuit, mean of heads and neurons: 0 for random "
            "circuits of the same sizes, 1 for identical ones.",
            x_title="segment",
            y_title="nIoU",
            categories=list(SEGMENTS),
            series=[Series(f"{when} back-patching", numbers(compared, f"nIoU {when}")) for when in ("before", "after")],
        )
    ]
