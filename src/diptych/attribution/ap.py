"""AP: attribution patching, the gradient at the clean prompt alone (methods §4)."""

from diptych.attribution._integrate import Attribution, Integral, Reduction, right_points
from diptych.batch import Batch
from diptych.metrics import metric as find_metric
from diptych.models.vlm import VLM


def ap(vlm: VLM, batch: Batch, *, metric: str = "logit_diff", reduction: Reduction = "l1") -> Attribution:
    """(a(x') − a(x)) · ∂m/∂a at x, per node: the first-order effect of patching it from x' into x. Cost 2F + 1B."""
    integral = Integral(vlm, batch, find_metric(metric))
    integral.add(right_points(1), list(range(len(batch))))
    return integral.result(reduction)
