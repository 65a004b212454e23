"""Laws of the methods broken on purpose, as in `mutations.py`: attribution, exact patching, departures, agreement."""

from mutations import Mutation

DIRECTIONS = "src/diptych/attribution/_directions.py"
INTEGRATE = "src/diptych/attribution/_integrate.py"
RULES = "src/diptych/attribution/_rules.py"
RELEVANCE = "src/diptych/attribution/_relevance.py"
AP_IG = "src/diptych/attribution/ap_ig.py"
EXACT = "src/diptych/attribution/exact.py"
CALLS = "src/diptych/models/calls.py"
METRICS = "src/diptych/metrics.py"
COMPAT = "src/diptych/paper_compat.py"
AGREEMENT = "src/diptych/experiments/agreement.py"
STATISTICS = "src/diptych/statistics/estimates.py"

METHOD_MUTATIONS: tuple[Mutation, ...] = (
    # attribution (methods §4)
    (
        DIRECTIONS,
        "look(site, direction)",
        "look(site, -direction)",
        "tests/test_attribution.py::test_attribution_patching_is_the_derivative_of_exact_patching[image-qwen2_vl-sdpa]",
    ),
    (
        INTEGRATE,
        "look(site, (direction * self.gradients[site]).div_(weights))",
        "look(site, self.gradients[site] / weights)",
        "tests/test_attribution.py::test_a_prompt_against_itself_scores_exactly_zero[text-gemma3-sdpa]",
    ),
    (
        INTEGRATE,
        "look(site, (direction * self.gradients[site]).div_(weights))",
        "look(site, (direction.abs() + self.gradients[site]) / weights)",
        "tests/test_attribution.py::test_prefix_scores_are_exactly_zero_and_others_are_not[image-llava-sdpa]",
    ),
    (
        RULES,
        "Fraction(2 * i - 1, 2 * steps)",
        "Fraction(i - 1, steps)",
        "tests/test_attribution.py::test_the_integral_becomes_complete_as_steps_grow[image-llava-sdpa]",
    ),
    (
        INTEGRATE,
        "_reduce(products, reduction).mean(0)",
        "_reduce(products, reduction).sum(0)",
        "tests/test_attribution.py::test_scores_do_not_depend_on_batch_size[text-qwen2_vl-eager]",
    ),
    (
        INTEGRATE,
        "return products.abs_().sum(-1) if width",
        "return products.sum(-1).abs() if width",
        "tests/test_attribution.py::test_head_reductions_are_ordered_signed_within_abs_within_l1",
    ),
    (
        INTEGRATE,
        "return summed if reduction ==",
        "return summed.abs() if reduction ==",
        "tests/test_attribution.py::test_the_sign_of_a_prompt_cancels_only_if_scores_are_signed[text]",
    ),
    (
        AP_IG,
        "if point not in old}",
        "if point}",
        "tests/test_attribution.py::test_refining_in_place_equals_computing_all_points_at_once",
    ),
    (
        AP_IG,
        "float(integral.completeness()[row]) > tolerance",
        "tolerance >= 0",
        "tests/test_attribution.py::test_only_prompts_that_are_not_complete_are_refined",
    ),
    (
        EXACT,
        "others = (~some for some in sets)",
        "others = iter(sets)",
        "tests/test_attribution.py::test_patching_every_node_is_the_counterfactual_run[text-llava-eager]",
    ),
    (
        INTEGRATE,
        "in gradient.to(self.inputs.dtype).chunk",
        "in gradient.chunk",
        "tests/test_attribution.py::test_scores_are_accumulated_in_float32_under_bfloat16",
    ),
    # rules, several points per run, memory
    (
        RULES,
        "0.5 if i in ends else 1.0",
        "1.0",
        "tests/test_integration.py::test_rules_integrate_what_they_integrate_exactly",
    ),
    (
        RULES,
        "lambda steps: 2 * steps - 1, fewest=2",
        "lambda steps: 2 * steps, fewest=2",
        "tests/test_integration.py::test_a_rule_takes_the_steps_asked_for_and_refining_keeps_them_at_their_weights[5-trapezoid]",
    ),
    (
        INTEGRATE,
        "self.weights[rows] += sum(points.values())",
        "self.weights[rows] += len(points)",
        "tests/test_integration.py::test_the_trapezoid_is_the_mean_of_left_and_right[llava]",
    ),
    (
        INTEGRATE,
        "torch.tensor(weights).repeat_interleave(len(rows))",
        "torch.tensor(weights).repeat(len(rows))",
        "tests/test_integration.py::test_the_trapezoid_is_the_mean_of_left_and_right[gemma3]",
    ),
    (
        CALLS,
        "repeat_interleave(rows)",
        "repeat(rows)",
        "tests/test_integration.py::test_points_that_share_a_run_equal_points_one_by_one[image-qwen2_vl-sdpa]",
    ),
    (
        INTEGRATE,
        "gradient.to(self.inputs.dtype).chunk(times)",
        "gradient.to(self.inputs.dtype).unflatten(0, (-1, times)).unbind(1)",
        "tests/test_integration.py::test_points_that_share_a_run_equal_points_one_by_one[text-llava-eager]",
    ),
    (
        DIRECTIONS,
        "look(site, other - clean)",
        "look(site, 2 * (other - clean))",
        "tests/test_integration.py::test_scores_made_in_low_memory_are_equal[ap-gemma3-sdpa]",
    ),
    (
        INTEGRATE,
        "layers = self.vlm.layers if self.recomputes else ()",
        "layers = ()",
        "tests/test_integration.py::test_low_memory_needs_much_less_and_keeps_no_run[gemma3]",
    ),
    (
        CALLS,
        "held[embedded] = held[embedded].where(inside",
        "held[embedded] = held[embedded].where(~inside",
        "tests/test_integration.py::test_image_positions_differ_between_points_unless_they_are_held",
    ),
    (
        METRICS,
        "if not isinstance(name, str):",
        "if name is None:",
        "tests/test_exact.py::test_accuracy_can_be_patched_but_not_attributed",
    ),
    (
        INTEGRATE,
        "if not value.requires_grad:",
        "if False:",
        "tests/test_exact.py::test_accuracy_can_be_patched_but_not_attributed",
    ),
    # RelP
    (
        RELEVANCE,
        "return output.detach() + (other - other.detach())",
        "return other",
        "tests/test_relevance.py::test_relevance_changes_no_value_and_is_undone[qwen2_vl-sdpa]",
    ),
    (
        RELEVANCE,
        ".rsqrt().detach()",
        ".rsqrt()",
        "tests/test_relevance.py::test_relevance_is_conserved_where_attention_is_fixed[text-llava-sdpa]",
    ),
    (
        RELEVANCE,
        "return live * ratio",
        "return output",
        "tests/test_relevance.py::test_relevance_is_conserved_where_attention_is_fixed[image-gemma3-eager]",
    ),
    (
        RELEVANCE,
        "return output / 2",
        "return output",
        "tests/test_relevance.py::test_the_coefficients_of_the_last_layer_are_those_worked_out_by_hand[text-sdpa]",
    ),
    (
        RELEVANCE,
        "if error > (1e-3 if",
        "if error > (1e9 if",
        "tests/test_relevance.py::test_a_norm_that_is_no_norm_is_refused",
    ),
    (
        RELEVANCE,
        "if name not in (*ATTENTION_PARTS, *ATTENTION_OUT):",
        "if False:",
        "tests/test_relevance.py::test_layers_without_a_rule_are_refused_with_the_reason[step3p7-'g_proj']",
    ),
    (
        RELEVANCE,
        "if not (harmless or child in (mlp, attention) or id(child) in inside):",
        "if False:",
        "tests/test_relevance.py::test_layers_without_a_rule_are_refused_with_the_reason[gemma4-it holds 'act_fn']",
    ),
    (
        RELEVANCE,
        "if width == 2 * site.there else []",
        "if width == site.there else []",
        "tests/test_relevance.py::test_the_coefficients_of_the_last_layer_are_those_worked_out_by_hand[image-eager]",
    ),
    # exact patching
    (
        EXACT,
        "residuals[layer - 1].repeat(times, 1, 1)",
        "residuals[layer].repeat(times, 1, 1)",
        "tests/test_exact.py::test_a_node_patched_from_its_layer_on_is_the_node_patched_in_a_whole_run[image-qwen2_vl-sdpa]",
    ),
    (
        EXACT,
        "prompts[:, tokens.to(live.device), node] = value",
        "changed[:, :, tokens.to(live.device), node] = value",
        "tests/test_exact.py::test_a_node_patched_from_its_layer_on_is_the_node_patched_in_a_whole_run[text-llava-eager]",
    ),
    (
        EXACT,
        "yield _Patch(self.site, self.nodes[some]), values[some]",
        "yield _Patch(self.site, self.nodes[some]), values[:size]",
        "tests/test_exact.py::test_effects_do_not_depend_on_how_many_nodes_share_a_run[5]",
    ),
    (
        EXACT,
        '(found if reduction == "signed" else found.abs()).mean(1)',
        "found.mean(1)",
        "tests/test_exact.py::test_scores_are_mean_effects_in_absolute_value_unless_signed_and_zero_elsewhere",
    ),
    (
        EXACT,
        '.without("prefix") if among is None else among',
        "",
        "tests/test_exact.py::test_scores_are_mean_effects_in_absolute_value_unless_signed_and_zero_elsewhere",
    ),
    # Paper A's departures
    (
        COMPAT,
        "iou - 2 * expected, 0.01",
        "iou - expected, 0.01",
        "tests/test_paper_compat.py::test_the_authors_overlap_is_iou_minus_twice_the_baseline",
    ),
    (
        COMPAT,
        "(shares > 0) & (shares <= 1)",
        "shares > 0",
        "tests/test_paper_compat.py::test_the_authors_leave_out_shares_of_the_gap_outside_zero_to_one",
    ),
    (
        COMPAT,
        '{"held_out": select, "in_sample": test}',
        '{"held_out": test, "in_sample": test}',
        "tests/test_paper_compat.py::test_the_authors_report_the_cell_that_is_best_on_the_prompts_it_is_reported_on",
    ),
    (
        COMPAT,
        "found is None or found.ndim == 2",
        "True",
        "tests/test_parity.py::test_the_authors_numbers_are_reproduced_with_their_departures[qwen2vl-sdpa]",
    ),
    (
        COMPAT,
        "    interpolate_images=False,\n",
        "    interpolate_images=True,\n",
        "tests/test_parity.py::test_the_authors_numbers_are_reproduced_with_their_departures[pixtral-sdpa]",
    ),
    (
        INTEGRATE,
        "self.path = self.path.holding(",
        "self.path.holding(",
        "tests/test_paper_compat.py::test_if_images_are_not_interpolated_nothing_is_where_only_pictures_differ[gemma3]",
    ),
    (
        METRICS,
        "_pick(logits, answers) - logits.mean(-1)",
        "_pick(logits, answers)",
        "tests/test_parity.py::test_the_authors_numbers_are_reproduced_with_their_departures[gemma3-eager]",
    ),
    (
        COMPAT,
        "AGGREGATES[self.faithfulness](circuit - empty",
        'AGGREGATES["ratio_of_means"](circuit - empty',
        "tests/test_parity.py::test_the_authors_numbers_are_reproduced_with_their_departures[gemma3-sdpa]",
    ),
    # agreement
    (
        AGREEMENT,
        "strong = order.topk(min(count // 2,",
        "strong = order.topk(min(1,",
        "tests/test_agreement.py::test_half_of_the_sample_is_strongest_and_none_is_in_the_prefix",
    ),
    (
        AGREEMENT,
        "pearson(rankdata(a, axis=-1), rankdata(b, axis=-1))",
        "pearson(a, b)",
        "tests/test_agreement.py::test_the_measures_are_those_worked_out_by_hand",
    ),
    (
        AGREEMENT,
        "if EXACT in methods or",
        "if",
        "tests/test_agreement.py::test_methods_are_different_ones_and_not_exact_patching_itself",
    ),
    (
        AGREEMENT,
        "units = contrasts.units(1)[:prompts]",
        "units = contrasts.units(1)",
        "tests/test_agreement.py::test_the_experiment_says_how_many_nodes_and_prompts_it_patched",
    ),
    (
        STATISTICS,
        "resampled_sums(aligned, members, picks) / resampled_counts(members, picks)",
        "resampled_sums(aligned, members, picks) / len(members)",
        "tests/test_agreement.py::test_columns_are_resampled_together_and_clusters_whole",
    ),
)
