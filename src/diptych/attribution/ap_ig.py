"""AP-IG: attribution patching with integrated gradients over the decoder's merged inputs (Paper A eq. 1, methods §4)."""

from diptych.attribution._directions import Memory
from diptych.attribution._integrate import Attribution, Integral, Reduction
from diptych.attribution._rules import RULES, Rule
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.metrics import Metric
from diptych.metrics import metric as find_metric
from diptych.models.vlm import VLM

FIRST = 5
"""Points that an adaptive integral starts with."""


def ap_ig(
    vlm: VLM,
    batch: Batch,
    *,
    metric: str | Metric = "logit_diff",
    rule: str = "midpoint",
    steps: int | None = None,
    tolerance: float = 0.1,
    cap: int = 15,
    reduction: Reduction = "l1",
    memory: Memory = "high",
    at_once: int | None = None,
    interpolate_images: bool = True,
) -> Attribution:
    """(a(x') − a(x)) · mean gradient of the metric along the straight path of embeddings from x' to x, per node.

    Image positions are interpolated too: the path runs through the inputs after image features are merged.
    `rule`: midpoint, right, left or trapezoid. `steps`: gradient points per prompt; `None` starts at 5 and refines the
    rule for each prompt until its completeness error is below `tolerance` or the next refinement would pass `cap`.
    `at_once`: path points that share a run; by default as many as it holds within 300 positions, and one while anybody
    hooks the model, whose hooks may be made for the batch as it is.
    `memory="low"`: no run's activations are held, at 2F + steps·F more.
    `interpolate_images=False`: image features stay clean on the whole path, as in Paper A's code (methods §14).
    Cost 2F + steps·(F + B), of what follows the prefix alone where that is long (`models.beginning`).
    """
    chosen = _checked(rule, steps, cap)
    done = steps or max(chosen.fewest, min(FIRST, cap))
    integral = Integral(
        vlm,
        batch,
        find_metric(metric),
        memory=memory,
        steps=done,
        at_once=at_once,
        interpolate_images=interpolate_images,
    )
    rows = list(range(len(batch)))
    integral.add(chosen.points(done), rows)
    while steps is None and chosen.refine(done) <= cap:
        rows = [row for row in rows if float(integral.completeness()[row]) > tolerance]
        if not rows:
            break
        old, done = chosen.points(done), chosen.refine(done)
        integral.add({point: weight for point, weight in chosen.points(done).items() if point not in old}, rows)
    return integral.result(reduction)


def _checked(rule: str, steps: int | None, cap: int) -> Rule:
    if rule not in RULES:
        raise InputError(f"No integration rule named '{rule}'. Known: {', '.join(RULES)}.")
    fewest = RULES[rule].fewest
    if cap < fewest:
        raise InputError(f"AP-IG may take {cap} steps at most; expected a cap of at least {fewest}.")
    if steps is not None and steps < fewest:
        raise InputError(
            f"AP-IG takes {steps} steps; expected at least {fewest}, or none for as many as completeness needs."
        )
    return RULES[rule]
