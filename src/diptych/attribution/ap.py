"""AP: attribution patching, the gradient at the clean prompt alone (methods §4)."""

from diptych.attribution._directions import Memory
from diptych.attribution._integrate import Attribution, Integral, Reduction
from diptych.attribution._rules import right_points
from diptych.batch import Batch
from diptych.metrics import Metric
from diptych.metrics import metric as find_metric
from diptych.models.vlm import VLM


def ap(
    vlm: VLM,
    batch: Batch,
    *,
    metric: str | Metric = "logit_diff",
    reduction: Reduction = "l1",
    memory: Memory = "high",
) -> Attribution:
    """(a(x') − a(x)) · ∂m/∂a at x, per node: the first-order effect of patching it from x' into x.

    Cost 3F + 1B: the clean run that is read and the one that is differentiated are two. `memory="low"` holds no run's
    activations and costs 3F more.
    """
    integral = Integral(vlm, batch, find_metric(metric), memory=memory)
    integral.add(right_points(1), list(range(len(batch))))
    return integral.result(reduction)
