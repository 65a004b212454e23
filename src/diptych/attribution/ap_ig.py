"""AP-IG: attribution patching with integrated gradients over the decoder's merged inputs (Paper A eq. 1, methods §4)."""

from collections.abc import Callable
from fractions import Fraction

from diptych.attribution._integrate import Attribution, Integral, Reduction, midpoints, right_points
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.metrics import metric as find_metric
from diptych.models.vlm import VLM

RULES: dict[str, tuple[Callable[[int], list[Fraction]], int]] = {"midpoint": (midpoints, 3), "right": (right_points, 2)}
"""Rule → its points, and the factor that refines it without losing a point."""


def ap_ig(
    vlm: VLM,
    batch: Batch,
    *,
    metric: str = "logit_diff",
    rule: str = "midpoint",
    steps: int | None = None,
    tolerance: float = 0.1,
    cap: int = 15,
    reduction: Reduction = "l1",
) -> Attribution:
    """(a(x') − a(x)) · mean gradient of the metric along the straight path of embeddings from x' to x, per node.

    Image positions are interpolated too: the path runs through the inputs after image features are merged.
    `steps`: gradient points per prompt; `None` starts at 5 and refines the rule for each prompt until its completeness
    error is below `tolerance` or the next refinement would pass `cap`. Cost 2F + steps·(F + B).
    """
    if rule not in RULES:
        raise InputError(f"No integration rule named '{rule}'. Known: {', '.join(RULES)}.")
    if cap < 1:
        raise InputError(f"AP-IG may take {cap} steps at most; expected a cap of at least 1.")
    if steps is not None and steps < 1:
        raise InputError(f"AP-IG takes {steps} steps; expected at least 1, or none for as many as completeness needs.")
    points, factor = RULES[rule]
    integral = Integral(vlm, batch, find_metric(metric))
    done = steps or min(5, cap)
    rows = list(range(len(batch)))
    integral.add(points(done), rows)
    while steps is None and done * factor <= cap:
        rows = [row for row in rows if float(integral.completeness()[row]) > tolerance]
        if not rows:
            break
        integral.add([p for p in points(done * factor) if p not in set(points(done))], rows)
        done *= factor
    return integral.result(reduction)
