"""How sure a number is: intervals (`estimates`), tests (`hypotheses`) and `nulls`; import public names from here."""

from diptych.statistics.differences import paired_difference
from diptych.statistics.estimates import (
    Estimate,
    bounded_mean,
    cluster_bootstrap,
    mean,
    mean_of_ratios,
    ratio_of_means,
    resampled_means,
    share,
)
from diptych.statistics.hypotheses import holm, mcnemar, wilcoxon
from diptych.statistics.nulls import MaximumNull, max_statistic_null
from diptych.statistics.resampling import DRAWS, INTERVAL
from diptych.statistics.weights import expanded, fold_weights, student, together

__all__ = [
    "DRAWS",
    "INTERVAL",
    "Estimate",
    "MaximumNull",
    "bounded_mean",
    "cluster_bootstrap",
    "expanded",
    "fold_weights",
    "holm",
    "max_statistic_null",
    "mcnemar",
    "mean",
    "mean_of_ratios",
    "paired_difference",
    "ratio_of_means",
    "resampled_means",
    "share",
    "student",
    "together",
    "wilcoxon",
]
