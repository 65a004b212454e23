"""What a faithfulness curve tells: its rows, sentences and figure."""

from collections.abc import Mapping, Sequence

import numpy as np

from diptych.experiments._measured import Measured
from diptych.experiments._text import fixed, interval
from diptych.faithfulness import MIB_SIZES, cmd, cpr
from diptych.figures import Curves, Series
from diptych.items import Modality
from diptych.result import Row, numbers
from diptych.statistics import Estimate

EMPTY = {
    "counterfactual": "the counterfactual run itself",
    "zero": "the run with every node at 0",
    "mean": "the run with every node at its mean",
}


def row(
    modality: Modality, sizes: Sequence[float], index: int, test: Measured, select: Mapping[float, Estimate]
) -> Row:
    """What is known of one size."""
    found, (ratios, near_zero) = test.estimate(index), test.per_prompt(index)
    drawn = test.ratios(index, "random")
    return {
        "panel": modality,
        "size": sizes[index],
        "faithfulness": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "on select": select[sizes[index]].value,
        "random circuits": float(np.mean(drawn)),
        "random lowest": min(drawn),
        "random highest": max(drawn),
        "lowest scores first": test.ratios(index, "lowest first")[0],
        "mean of ratios": ratios.value,
        "its low": ratios.low,
        "its high": ratios.high,
        "median of ratios": test.median(index),
        "denominators near 0": near_zero,
    }


def areas(sizes: Sequence[float], test: Measured, reduction: str) -> dict[str, float | str]:
    """CPR and CMD with how nodes were ranked for each; defined over the sizes of the MIB benchmark alone."""
    if not set(MIB_SIZES) <= set(sizes):
        return {}
    performance, distance = (
        [test.estimate(sizes.index(size), ranking).value for size in MIB_SIZES]
        for ranking in ("circuit", "absolute" if reduction == "signed" else "circuit")
    )
    signed = "signed scores" if reduction == "signed" else f"absolute scores ({reduction})"
    return {
        "CPR": cpr(MIB_SIZES, performance),
        "CPR ranks by": signed,
        "CMD": cmd(MIB_SIZES, distance),
        "CMD ranks by": "absolute value of signed scores" if reduction == "signed" else signed,
    }


def summary(task: str, modality: Modality, threshold: float, found: Row | None) -> str:
    if found is None:
        return (
            f"From {modality}, no circuit of {task} reaches a faithfulness of {threshold:.2f} on select; see the notes."
        )
    return (
        f"From {modality}, {found['size']:.1%} of the nodes do {task} with faithfulness {fixed(found['faithfulness'])} "
        f"{interval(found)} on test (smallest size with at least {threshold:.2f} on select); "
        f"random circuits of this size reach {fixed(found['random circuits'])}."
    )


def notes(test: Measured, select: Mapping[float, Estimate], ablation: str) -> list[str]:
    """Why a number is undefined, what it is divided by, and what it is compared with."""
    denominators = test.model - test.empty
    reasons = {"select": next(iter(select.values())).reason, "test": test.estimate(0).reason}
    return [
        *(f"Faithfulness is not defined on {split}: {reason}." for split, reason in reasons.items() if reason),
        f"The denominator m(model) − m(empty) is {denominators.mean():.2f} on average (smallest {denominators.min():.2f}).",
        f"The empty circuit is {EMPTY[ablation]}. Random circuits are drawn outside the prefix, and the lowest scores are "
        f"taken first outside it.",
    ]


def said_areas(found: Mapping[str, float | str]) -> str:
    """One sentence on CPR and CMD."""
    if not found:
        return f"CPR and CMD need the sizes {', '.join(map(str, MIB_SIZES))}."
    return (
        f"Over the ten sizes of MIB, CPR (area of F over size) is {fixed(found['CPR'], 3)}, ranked by "
        f"{found['CPR ranks by']}, and CMD (area of |1 − F|) {fixed(found['CMD'], 3)}, ranked by {found['CMD ranks by']}."
    )


def curves(
    modality: Modality,
    metric: str,
    ablation: str,
    sizes: Sequence[float],
    rows: Sequence[Row],
    size: float | None,
    threshold: float,
) -> Curves:
    drawn = (numbers(rows, name) for name in ("random circuits", "random lowest", "random highest"))
    return Curves(
        title=f"Faithfulness by circuit size, {modality}",
        caption=f"Share of the model's effect ({metric}, clean against {ablation} ablation) that the circuit keeps on test "
        "prompts; its band is a 95% interval over clusters, that of random circuits their range.",
        x_title="circuit size (share of all nodes)",
        y_title="faithfulness",
        x=list(sizes),
        series=[
            Series("test", numbers(rows, "faithfulness"), numbers(rows, "low"), numbers(rows, "high")),
            Series("select", numbers(rows, "on select")),
            Series("random circuits, test", *drawn),
            Series("lowest scores first, test", numbers(rows, "lowest scores first")),
        ],
        log_x=True,
        lines_at=[(size, f"minimal circuit {size:.1%}")] if size is not None else [],
        levels=[(threshold, "threshold")],
    )
