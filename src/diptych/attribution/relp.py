"""RelP: attribution patching with relevance coefficients instead of gradients (methods §4)."""

from diptych.attribution._directions import Memory
from diptych.attribution._integrate import Attribution, Integral, Reduction
from diptych.attribution._relevance import relevance
from diptych.attribution._rules import right_points
from diptych.batch import Batch
from diptych.metrics import Metric
from diptych.metrics import metric as find_metric
from diptych.models.vlm import VLM


def relp(
    vlm: VLM,
    batch: Batch,
    *,
    metric: str | Metric = "logit_diff",
    reduction: Reduction = "l1",
    memory: Memory = "high",
) -> Attribution:
    """(a(x') − a(x)) · relevance coefficient of a at x, per node (Jafari et al. 2025, arXiv 2508.21258).

    The coefficient is a gradient for which norm scales are constant, act(x) is x times a constant, and each factor of a
    gated product gets half. Cost 3F + 1B. Raises `UnsupportedModel` for layers with other parts.
    """
    integral = Integral(vlm, batch, find_metric(metric), memory=memory, propagation=relevance)
    integral.add(right_points(1), list(range(len(batch))))
    return integral.result(reduction)
