"""Mutations of circuits: their ablations, curves, planting, sharing and exchange."""

from mutations import Mutation

CURVE = "src/diptych/experiments/faithfulness_curve.py"
TOLD = "src/diptych/experiments/_curve.py"
MEASURED = "src/diptych/experiments/_measured.py"
DISCOVERED = "src/diptych/experiments/_discovered.py"
FAITHFULNESS = "src/diptych/faithfulness.py"
COMPARE = "src/diptych/compare.py"
MEANS = "src/diptych/means.py"
PLANTED = "src/diptych/planted.py"
SHARING = "src/diptych/sharing.py"
EXCHANGE = "src/diptych/exchange.py"

CIRCUIT_MUTATIONS: tuple[Mutation, ...] = (
    (MEASURED, 'counterfactual.zeros() if ablation == "zero"', 'counterfactual if ablation == "zero"', "tests/test_means.py::test_every_ablation_equals_a_loop_over_nodes_with_its_values[zero-llava]"),
    (MEASURED, "m.to(c).expand_as(c) for m, c", "c for m, c", "tests/test_means.py::test_every_ablation_equals_a_loop_over_nodes_with_its_values[mean-llava]"),
    (MEASURED, 'empty = both.counterfactual if ablation == "counterfactual" else', 'empty = both.counterfactual if ablation != "mean" else', "tests/test_curve.py::test_the_empty_circuit_of_zero_ablation_is_the_run_with_every_node_at_zero"),
    (MEASURED, "        flipped[:, scores.layout.prefix] = -math.inf\n", "", "tests/test_curve.py::test_in_reversed_order_the_lowest_scores_come_first_and_the_prefix_last"),
    (MEASURED, "flipped = -nodes", "flipped = nodes.clone()", "tests/test_curve.py::test_in_reversed_order_the_lowest_scores_come_first_and_the_prefix_last"),
    (MEASURED, ' and metric not in TOWARDS_COUNTERFACTUAL', "", "tests/test_curve.py::test_signed_scores_are_ranked_by_how_much_patching_takes_the_metric_to_the_counterfactual"),
    (MEANS, "index_add_(1, index.to(nodes.device), wide.sum(0, keepdim=True))", "index_copy_(1, index.to(nodes.device), wide.sum(0, keepdim=True))", "tests/test_means.py::test_the_tokens_of_a_span_that_is_one_position_share_their_mean"),
    (MEANS, "self.tokens + other.tokens", "self.tokens", "tests/test_means.py::test_the_mean_is_over_prompts_at_each_position"),
    (MEANS, ".float() * values.heads[0].shape[0]", ".float()", "tests/test_means.py::test_means_do_not_depend_on_how_prompts_are_batched[llava]"),
    (MEANS, "if not bool(self.tokens.all()):", "if False:", "tests/test_means.py::test_a_position_that_was_never_seen_has_no_mean"),
    (CURVE, 'chosen["select"], ranked.main)', 'chosen["test"], ranked.main)', "tests/test_curve.py::test_sizes_are_chosen_on_prompts_of_select_and_reported_on_those_of_test"),
    ("src/diptych/experiments/_ranked.py", "seed=seed + draw", "seed=seed", "tests/test_curve.py::test_each_random_circuit_is_drawn_with_a_seed_of_its_own"),
    (CURVE, "(size for size in sizes if size < found)", "()", "tests/test_curve.py::test_the_minimal_size_is_refined_between_it_and_the_next_smaller_one"),
    (CURVE, "for fold, prompts in enumerate(folds.prompts.tolist()) if prompts", "for fold, prompts in enumerate(folds.prompts.tolist())", "tests/test_curve.py::test_rediscoveries_use_only_folds_that_hold_prompts"),
    (TOLD, '"absolute" if reduction == "signed" else "circuit"', '"circuit"', "tests/test_curve.py::test_cpr_ranks_by_signed_scores_and_cmd_by_absolute_ones"),
    (FAITHFULNESS, "            fails_at = middle", "            passes_at = middle", "tests/test_curve.py::test_bisection_ends_within_the_last_halving_above_the_smallest_size_that_passes[0.02]"),
    (COMPARE, "packed[i] & packed[j]", "packed[i] | packed[j]", "tests/test_curve.py::test_stability_by_hand"),
    (PLANTED, "weight.mul_(keep if inputs == 1 else keep[:, None])", "weight.mul_(keep.logical_not() if inputs == 1 else keep[:, None])", "tests/test_planted.py::test_nodes_that_write_nothing_score_exactly_zero_and_planted_ones_come_first[ap-llava]"),
    (PLANTED, "weight.mul_(keep if inputs == 1 else keep[:, None])", "weight.mul_(1e-6 + keep if inputs == 1 else keep[:, None])", "tests/test_planted.py::test_nodes_that_write_nothing_score_exactly_zero_and_planted_ones_come_first[ap_ig-llava]"),
    (PLANTED, "weight.mul_(keep if inputs == 1 else keep[:, None])", "pass", "tests/test_planted.py::test_the_minimal_circuit_lies_inside_the_planted_one[llava]"),
    (PLANTED, "weight.mul_(keep if inputs == 1 else keep[:, None])", "pass", "tests/test_planted.py::test_patching_any_other_node_changes_nothing_and_patching_planted_ones_does[llava]"),
    (PLANTED, "weight.mul_(keep if inputs == 1 else keep[:, None])", "pass", "tests/test_planted.py::test_a_planted_circuit_of_the_organism_is_found"),
    (PLANTED, "model=deepcopy(vlm.model)", "model=vlm.model", "tests/test_planted.py::test_the_user_s_model_is_left_as_it_was[llava]"),
    (PLANTED, "if circuit.model != vlm.digest:", "if False:", "tests/test_planted.py::test_a_circuit_of_another_model_cannot_be_planted"),
    ("src/diptych/interventions.py", "by_circuit, inside)", "by_circuit, 0.01 + 0.99 * inside)", "tests/test_planted.py::test_nodes_that_are_held_score_exactly_zero_at_each_position[ap-llava]"),
    (SHARING, "    if missing:", "    if False:", "tests/test_sharing.py::test_a_circuit_without_its_conditions_is_not_shared[dropped]"),
    (SHARING, "    if differing:", "    if False:", "tests/test_sharing.py::test_a_folder_that_is_unknown_or_does_not_fit_together_is_refused"),
    (SHARING, "    if found != (form, version):", "    if False:", "tests/test_sharing.py::test_a_folder_that_is_unknown_or_does_not_fit_together_is_refused"),
    (SHARING, '.replace("|", "\\\\|")', "", "tests/test_sharing.py::test_the_card_says_every_condition_and_what_the_circuit_belongs_to"),
    (EXCHANGE, 'weights_only=True', 'weights_only=False', "tests/test_exchange.py::test_a_file_with_code_in_it_is_refused_unrun"),
    (EXCHANGE, 'heads.abs().sum(-1) if reduction == "l1"', 'heads.sum(-1) if reduction == "l1"', "tests/test_exchange.py::test_the_authors_scores_are_read_and_heads_are_reduced_over_their_width"),
    (EXCHANGE, "    if strange or not layers:", "    if not layers:", "tests/test_exchange.py::test_any_other_file_of_tensors_is_refused"),
    (EXCHANGE, "if inside[parent] and inside[child]", "if inside[parent]", "tests/test_exchange.py::test_a_graph_for_mib_has_the_nodes_edges_and_scores_of_the_circuit"),
    (EXCHANGE, "before if parallel else before + attention", "before + attention", "tests/test_exchange.py::test_a_parallel_mlp_takes_no_edge_from_the_heads_of_its_layer"),
    (EXCHANGE, '"in_circuit": circuit[listed].numpy()', '"in_circuit": listed[listed].numpy()', "tests/test_exchange.py::test_a_table_has_a_row_for_each_node_that_is_listed"),
    (DISCOVERED, '(str(told["metric"]), str(told["reduction"]))', '(str(told["metric"]), "l1")', "tests/test_exchange.py::test_signed_scores_are_exported_with_the_helpful_nodes_first"),
)  # fmt: skip
