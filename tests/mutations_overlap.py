"""Mutations of overlaps: how two circuits are compared, what is told of it, and the authors' departures from it."""

from mutations import Mutation

COMPARE = "src/diptych/compare.py"
COMPARISON = "src/diptych/experiments/_comparison.py"
PAPER = "src/diptych/paper_compat.py"
VIEW = "src/diptych/experiments/node_view.py"
CONTRIBUTIONS = "src/diptych/contributions.py"
ROWS, ORGANISM = "tests/test_comparison_folds.py::", "tests/test_node_view_organism.py::"
DEPARTURES, PARITY = "tests/test_paper_compat.py::", "tests/test_parity.py::"
ONE_D = DEPARTURES + "test_one_dimensional_positions_change_pictures_of_m_rope_models_alone_and_are_undone"

OVERLAP_MUTATIONS: tuple[Mutation, ...] = (
    (COMPARE, "    if a.there != b.there:", "    if False:", "tests/test_nodes_there.py::test_grids_of_different_nodes_are_not_combined"),
    (COMPARE, "np.mean([pair.iou for pair in self.pairs])", "np.max([pair.iou for pair in self.pairs])", "tests/test_compare.py::test_the_overlap_of_two_small_circuits_is_the_one_worked_out_by_hand"),
    (COMPARE, "np.mean([pair.expected for pair in self.pairs])", "np.max([pair.expected for pair in self.pairs])", "tests/test_compare.py::test_matched_random_sets_have_a_normalised_overlap_of_zero[100-200-1000]"),
    (COMPARE, "    if len(circuits) < 2:", "    if len(circuits) < 1:", "tests/test_curve.py::test_one_circuit_alone_has_no_stability"),
    (COMPARE, "circuits[0].size()[number])", "circuits[0].size()[0])", "tests/test_curve.py::test_circuits_found_alike_are_stable_and_random_ones_as_chance_says"),
    (COMPARE, "reach = 12 * math.sqrt(centre) + 12", "reach = 1.0", "tests/test_compare.py::test_the_expected_overlap_weighs_shared_counts_by_the_hypergeometric_law[900-400-1000]"),
    (COMPARE, "if expected < 1 else float(", "if expected < 2 else float(", "tests/test_compare.py::test_normalised_overlaps_are_what_the_reference_meant"),
    (COMPARISON, "panel.circuit(panel.half(0)), panel.circuit(panel.half(1))", "panel.circuit(panel.half(0)), panel.circuit(panel.half(0))", ROWS + "test_halves_of_a_panel_and_across_panels_share_no_prompt"),
    (COMPARISON, "overlaps(x.circuit(x.half(0)), y.circuit(y.half(1)))", "overlaps(x.circuit(x.half(0)), y.circuit(y.half(0)))", ROWS + "test_halves_of_a_panel_and_across_panels_share_no_prompt"),
    (COMPARISON, "for x, y in ((text, image), (image, text))", "for x, y in ((text, text), (image, image))", ROWS + "test_halves_of_a_panel_and_across_panels_share_no_prompt"),
    (COMPARISON, "sum(part.pairs[-1].a for", "sum(part.pairs[0].a for", ROWS + "test_the_nodes_told_are_those_of_each_circuit_on_its_own_layout"),
    (COMPARISON, "sum(part.pairs[0].b for", "sum(part.pairs[-1].b for", ROWS + "test_the_nodes_told_are_those_of_each_circuit_on_its_own_layout"),
    (COMPARISON, "_quantile(_mean(null), 0.95)", "_quantile(_mean(null), 0.5)", ROWS + "test_one_draw_in_twenty_lies_above_the_null_s_percentile"),
    (COMPARISON, "(above < matched - 1e-9)", "(above > matched - 1e-9)", ROWS + "test_more_than_all_draws_share_is_at_the_top_of_the_null_and_nothing_at_its_bottom"),
    (COMPARISON, "np.random.default_rng(seed).permutation(draws)", "draws", ROWS + "test_heads_and_neurons_of_random_circuits_are_independent"),
    (COMPARISON, "all(p.scores.prompts[fold] > 0 for p in both)", "any(p.scores.prompts[fold] > 0 for p in both)", ROWS + "test_folds_are_reweighted_that_hold_prompts_in_both_panels_if_they_are_three"),
    (COMPARISON, "if len(held) > 2 else ()", "if len(held) > 3 else ()", ROWS + "test_folds_are_reweighted_that_hold_prompts_in_both_panels_if_they_are_three"),
    (COMPARISON, "        weights[list(held)] = drawn\n", "        weights[: len(held)] = drawn\n", ROWS + "test_folds_are_reweighted_that_hold_prompts_in_both_panels_if_they_are_three"),
    (COMPARISON, "np.mean([getattr(part, name) for part in across])", "np.max([getattr(part, name) for part in across])", ROWS + "test_the_share_of_the_ceiling_is_of_the_mean_of_both_ways_across"),
    (PAPER, "    legacy_1d_rope=True,\n", "    legacy_1d_rope=False,\n", ONE_D),
    (PAPER, 'faithfulness="mean_of_ratios",\n    niou', 'faithfulness="ratio_of_means",\n    niou', DEPARTURES + "test_the_authors_faithfulness_is_the_mean_of_ratios"),
    (PAPER, '    niou="i_minus_2b",\n', '    niou="normalised",\n', DEPARTURES + "test_the_authors_overlap_is_iou_minus_twice_the_baseline"),
    (PAPER, '    baseline="global",\n', '    baseline="matched",\n', DEPARTURES + "test_random_circuits_over_all_positions_have_as_many_nodes_and_the_matched_ones_as_expected"),
    (PAPER, '    selection="in_sample",\n', '    selection="held_out",\n', DEPARTURES + "test_the_authors_report_the_cell_that_is_best_on_the_prompts_it_is_reported_on"),
    (PAPER, '    gap_share="filtered",\n', '    gap_share="all",\n', DEPARTURES + "test_the_authors_leave_out_shares_of_the_gap_outside_zero_to_one"),
    (PAPER, "            if value not in known:", "            if False:", DEPARTURES + "test_departures_that_are_not_known_are_refused"),
    (PAPER, "    if found.ndim != 3:", "    if False:", DEPARTURES + "test_positions_of_another_form_are_refused"),
    (PAPER, "if self.legacy_1d_rope else _as_it_is", "if True else _as_it_is", ONE_D),
    (PAPER, '"interpolate_images": self.interpolate_images', '"interpolate_images": True', DEPARTURES + "test_if_images_are_not_interpolated_nothing_is_where_only_pictures_differ[llava]"),
    (PAPER, "float((above / below).mean())", "float((above / below).max())", DEPARTURES + "test_the_authors_faithfulness_is_the_mean_of_ratios"),
    (PAPER, "float(above.mean() / below.mean())", "float((above / below).mean())", DEPARTURES + "test_the_authors_faithfulness_is_the_mean_of_ratios"),
    (PAPER, "max(iou - 2 * expected, 0.01)", "max(iou - 2 * expected, 0.0)", DEPARTURES + "test_the_authors_overlap_is_iou_minus_twice_the_baseline"),
    (PAPER, "[part.expected for part in found]", "[part.iou for part in found]", DEPARTURES + "test_a_circuit_of_few_heads_overlaps_by_chance_once_positions_are_dropped"),
    (PAPER, 'if kept.size else float("nan")', "if kept.size else 0.0", DEPARTURES + "test_the_authors_leave_out_shares_of_the_gap_outside_zero_to_one"),
    (PAPER, "manual_seed(seed)", "manual_seed(0)", DEPARTURES + "test_a_circuit_of_few_heads_overlaps_by_chance_once_positions_are_dropped"),
    (PAPER, "_drawn(there, int(nodes.sum()), chance)", "_drawn(there, int(there.sum()), chance)", DEPARTURES + "test_a_circuit_of_few_heads_overlaps_by_chance_once_positions_are_dropped"),
    (VIEW, "return _by_segment(rows.mean(1), layout)", "return _by_segment(rows.sum(1), layout)", ORGANISM + "test_each_head_s_attention_is_spread_over_the_four_segments[organism/qwen2vl]"),
    (VIEW, "seen = seen / seen.sum(-1, keepdim=True)", "seen = seen / seen.shape[-1]", ORGANISM + "test_each_head_s_attention_is_spread_over_the_four_segments[organism/gemma3]"),
    (VIEW, "found.neurons.sum(1), found.embedding, found.rest]", "found.neurons.mean(1), found.embedding, found.rest]", ORGANISM + "test_what_all_parts_write_is_the_model_s_own_logit_difference[organism/gemma3]"),
    (CONTRIBUTIONS, "        fixed_norms(vlm),\n", "", ORGANISM + "test_what_all_parts_write_is_the_model_s_own_logit_difference[organism/qwen2vl]"),
)  # fmt: skip
