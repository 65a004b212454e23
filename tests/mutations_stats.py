"""Laws of intervals of differences, shares of gaps and costs broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

DIFFERENCES = "src/diptych/statistics/differences.py"
ESTIMATES = "src/diptych/statistics/estimates.py"
SHARE = "src/diptych/gap_share.py"
SWEEP = "src/diptych/experiments/_sweep.py"
ROWS = "src/diptych/experiments/_gap_rows.py"
GAPS = "src/diptych/gaps.py"
VIEW = "src/diptych/experiments/_view.py"
COMPARISON = "src/diptych/experiments/_comparison.py"
BACKPATCH = "src/diptych/backpatch.py"
PREDICTION = "src/diptych/experiments/cell_prediction.py"
ACCURACY = "src/diptych/experiments/accuracy.py"
OVERVIEW = "src/diptych/report/overview.py"

NUMBERS = "tests/test_statistics.py::"
DIFFERENT = "tests/test_differences.py::"
FOLDS = "tests/test_comparison_folds.py::"
COSTS = "tests/test_cell_prediction.py::"

STATS_MUTATIONS: tuple[Mutation, ...] = (
    (DIFFERENCES, "max(0.0, 1 - weights.sum()) * most**2", "0.0", DIFFERENT + "test_the_score_interval_of_zeros_and_ones_is_wilson_s[0-12]"),
    (DIFFERENCES, "multiplier = brentq(pull, lowest, 0)", "multiplier = 0.0", DIFFERENT + "test_the_score_interval_is_tested_with_the_likeliest_weights[24]"),
    (DIFFERENCES, "rejected = stats.norm.ppf((1 + level) / 2) ** 2", "rejected = stats.norm.ppf((1 + level) / 2)", DIFFERENT + "test_a_rare_gain_of_one_sign_is_held_nearly_as_often_as_it_is_said[0.02]"),
    (DIFFERENCES, "sizes.mean() * abs(bound - tested)", "abs(bound - tested)", DIFFERENT + "test_a_difference_turned_round_and_clusters_of_alike_prompts_tell_the_same[True]"),
    (ESTIMATES, "if none := int((below_sums == 0).sum()):", "if none := 0:", NUMBERS + "test_a_ratio_is_undefined_where_a_resampling_has_no_denominator"),
    (ESTIMATES, "below = below or cluster_bootstrap(", "below = cluster_bootstrap(", NUMBERS + "test_a_ratio_is_undefined_where_the_denominator_s_own_interval_holds_nothing"),
    (SHARE, "if low > 0 or high < 0 else None", "if sum(gaps) else None", "tests/test_gap_share.py::test_the_total_is_undefined_where_the_total_gap_may_be_nothing_as_models_of_one_task_share_its_prompts"),
    (SHARE, "np.sqrt((sums**2).sum(0))", "sums.sum(0)", "tests/test_gap_share.py::test_the_total_is_undefined_where_the_total_gap_may_be_nothing_as_models_of_one_task_share_its_prompts"),
    (SWEEP, "_bounds(\"gap\", below)", "_bounds(\"gap\", share)", "tests/test_back_patching.py::test_a_gap_of_few_prompts_of_one_sign_may_be_nothing_so_no_share_of_it_is_told"),
    (ROWS, "BOUNDS = {KNOWN: (0.0, 1.0)}", "BOUNDS = {KNOWN: (-1.0, 1.0)}", "tests/test_entity_gap.py::test_the_gap_of_what_is_known_by_name_has_no_interval_below_nothing"),
    (GAPS, "names, bounds, level=level", "names, level=level", "tests/test_gaps.py::test_a_gap_that_cannot_be_negative_has_no_interval_below_nothing"),
    (VIEW, "for unit in select])[:, :, DATA]", "for unit in units])[:, :, DATA]", "tests/test_node_view.py::test_the_head_that_reads_most_is_chosen_where_it_is_not_reported"),
    (COMPARISON, "share = float(np.mean([self._ceiling(i) for i in chosen]))", "share = _defined([self._ceiling(i) for i in chosen])", FOLDS + "test_split_halves_of_both_kinds_are_undefined_where_those_of_one_kind_are"),
    (COMPARISON, "min(high, 1.0) if", "high if", FOLDS + "test_no_interval_passes_the_niou_of_identical_circuits"),
    (BACKPATCH, "total += size * (layers - 1 - first - len({*others, layers - 1})) if ends else 0", "total += size * (layers - 1 - first) if ends else 0", COSTS + "test_a_sweep_costs_the_layers_and_positions_that_it_computes[every]"),
    (BACKPATCH, "(follow if ends else length)", "length", COSTS + "test_a_sweep_costs_the_layers_and_positions_that_it_computes[every]"),
    (PREDICTION, "times * forwards(", "forwards(", COSTS + "test_the_cost_of_a_sweep_is_the_mean_over_shapes_of_prompts"),
    (ACCURACY, "paired_difference(text.astype(float) - image,", "paired_difference(image.astype(float) - text,", "tests/test_experiments.py::test_accuracy_tells_text_minus_image_of_the_same_items_with_an_interval_and_a_p_value"),
    (OVERVIEW, 'result.conditions.get(f"text minus image, {end}")', "None", "tests/test_report_overview.py::test_the_gap_is_told_with_the_interval_that_accuracy_gives_it"),
)  # fmt: skip
