"""Mutations of what compares two circuits: overlaps, their depth, swaps and intervals."""

from mutations import Mutation

COMPARE = "src/diptych/compare.py"
DEPTH = "src/diptych/depth.py"
SWAP = "src/diptych/swap.py"
RESAMPLING = "src/diptych/statistics/weights.py"
COMPARISON = "src/diptych/experiments/_comparison.py"
TOLD = "src/diptych/experiments/_swapped.py"
INTERCHANGE = "src/diptych/experiments/_interchange.py"
EXPERIMENT = "src/diptych/experiments/swap.py"
PAPER = "src/diptych/paper_compat.py"

COMPARE_MUTATIONS: tuple[Mutation, ...] = (
    (COMPARE, 'OTHERWISE = {"data": "kept", "query": "dropped"}', 'OTHERWISE = {"data": "dropped", "query": "dropped"}', "tests/test_compare.py::test_random_circuits_have_a_normalised_overlap_of_zero_with_positions_the_other_way_round"),
    (COMPARE, "set_pair(a[layers], b[layers], sum(nodes[layers]))", "set_pair(a[layers], b, sum(nodes[layers]))", "tests/test_depth.py::test_layers_by_hand"),
    (DEPTH, "pair.a * pair.b / max(pair.nodes, 1)", "pair.a * pair.b / max(pair.a + pair.b, 1)", "tests/test_depth.py::test_layers_by_hand"),
    (DEPTH, "pair.a * pair.b / max(pair.nodes, 1)", "pair.a * pair.a / max(pair.nodes, 1)", "tests/test_depth.py::test_random_circuits_share_as_much_in_each_layer_as_expected"),
    (DEPTH, "pair.a + pair.b - pair.both for pair in self.whole.pairs", "pair.a + pair.b for pair in self.whole.pairs", "tests/test_depth.py::test_shared_nodes_of_all_layers_add_up_to_the_overlap"),
    (DEPTH, "hypergeom.ppf(level, pair.nodes, pair.a, pair.b)", "hypergeom.ppf(level, pair.nodes, pair.a, pair.a)", "tests/test_depth.py::test_random_circuits_share_as_much_in_each_layer_as_expected"),
    (SWAP, 'Combination("text", "text", "image", "text")', 'Combination("text", "text", "text", "image")', "tests/test_swap.py::test_fourteen_combinations_are_the_own_circuit_and_each_segment_from_elsewhere_for_both_panels"),
    (SWAP, "        if len(self._sources) > 1:", "        if False:", "tests/test_swap.py::test_a_combination_of_two_other_sources_is_refused"),
    (SWAP, "spliced.without(segment) | donor.at(segment)", "spliced | donor.at(segment)", "tests/test_swap.py::test_a_splice_has_the_donor_s_segments_and_is_its_own_elsewhere"),
    (SWAP, "spliced.without(segment) | donor.at(segment)", "spliced.without(segment) | donor.at('data')", "tests/test_swap.py::test_a_circuit_spliced_with_itself_is_itself"),
    (SWAP, "    own.require_match(donor)\n", "", "tests/test_swap.py::test_a_donor_on_another_layout_is_refused"),
    (SWAP, "circuit.carry(position_map(circuit.layout, layout), layout)", "circuit.carry(position_map(circuit.layout, layout), layout).without('query')", "tests/test_swap.py::test_there_and_back_a_circuit_holds_at_least_what_it_held"),
    (SWAP, "mask[:, places] = highest(nodes[:, places], there, count)", "mask[:, places] = highest(-nodes[:, places], there, count)", "tests/test_swap.py::test_nodes_carried_as_many_as_replaced_are_the_highest_ranked"),
    (SWAP, "nodes[:, places].amax(1) if", "nodes[:, places].amin(1) if", "tests/test_swap.py::test_as_many_nodes_as_replaced_are_those_worked_out_by_hand"),
    (SWAP, "places, nodes = np.divmod(chosen - starts[layers], np.asarray(there)[layers])", "places, nodes = np.divmod(chosen - starts[layers], max(there))", "tests/test_swap.py::test_every_node_that_is_there_is_drawn_equally_often"),
    (SWAP, "positions * np.cumsum(there)", "positions * np.cumsum([max(there)] * len(there))", "tests/test_swap.py::test_random_nodes_are_drawn_from_what_is_there"),
    (SWAP, "mask[drawn[0], places.start + drawn[1], drawn[2]] = True", "mask[drawn[0], drawn[1], drawn[2]] = True", "tests/test_swap.py::test_random_nodes_are_as_many_per_segment_and_kind_and_others_for_another_seed"),
    (SWAP, "self.seed + draw) if random", "self.seed) if random", "tests/test_swap.py::test_a_donor_gives_one_circuit_or_as_many_as_are_drawn"),
    (SWAP, "(given - chance) / (kept - chance)", "given / kept", "tests/test_swap.py::test_the_normalised_value_averages_directions_first"),
    (SWAP, "(given - chance) / (kept - chance)", "(given - chance) / kept", "tests/test_swap.py::test_swapping_random_nodes_for_random_nodes_is_worth_nothing_and_own_for_own_everything"),
    (RESAMPLING, "math.sqrt(clusters / (clusters - 1)) * stats", "stats", "tests/test_resampling.py::test_the_expanded_level_makes_a_percentile_interval_as_wide_as_student_s[12]"),
    (RESAMPLING, "1 - 2 / folds", "1.0", "tests/test_resampling.py::test_weights_of_folds_add_up_to_one_and_vary_as_means_do"),
    (RESAMPLING, "folds - 1) * drawn.std(ddof=1)", "folds) * drawn.std(ddof=1)", "tests/test_resampling.py::test_student_s_interval_by_hand_leaves_out_what_is_undefined"),
    (RESAMPLING, "return [times[:, part] for part", "return [np.roll(times, len(part))[:, part] for part", "tests/test_resampling.py::test_a_cluster_is_drawn_equally_often_in_all_groups"),
    (INTERCHANGE, "value = interchanged(*([f.mean() for f in self._faithfulness(case)] for case in cases))", "value = np.mean([interchanged([a.mean()], [b.mean()], [c.mean()]) for a, b, c in zip(*map(self._faithfulness, cases), strict=True)])", "tests/test_interchange.py::test_values_by_hand_of_one_direction_and_of_both"),
    (INTERCHANGE, "self._reason or self._alike(random)", "self._reason", "tests/test_interchange.py::test_an_own_circuit_no_better_than_random_nodes_has_no_normalised_value[as good]"),
    (INTERCHANGE, 'return "" if low > 0 else', 'return "" if low > 0 or high < 0 else', "tests/test_interchange.py::test_an_own_circuit_no_better_than_random_nodes_has_no_normalised_value[worse]"),
    (INTERCHANGE, "above * weights).sum(1)", "above / above.shape[1]).sum(1)", "tests/test_interchange.py::test_intervals_tell_how_much_random_circuits_differ"),
    (INTERCHANGE, "            if low <= 0 <= high:\n                return", "            if False:\n                return", "tests/test_interchange.py::test_a_model_without_an_effect_has_no_faithfulness"),
    (INTERCHANGE, "if self._clusters < 2:", "if False:", "tests/test_interchange.py::test_one_cluster_has_no_interval"),
    (EXPERIMENT, "            start += count\n", "            start += 1\n", "tests/test_interchange.py::test_circuits_are_measured_as_each_would_be_alone"),
    (EXPERIMENT, "CARRIED: carry(other.circuit(), own.layout), AS_MANY: carry_as_many(other.ranking(), own)", "CARRIED: carry(other.circuit(), own.layout), AS_MANY: carry(other.circuit(), own.layout)", "tests/test_interchange.py::test_random_circuits_of_a_swap_are_as_large_as_what_is_swapped_in"),
    (COMPARISON, "for positions in (MEASURED, OTHERWISE):\n            found", "for positions in (MEASURED, MEASURED):\n            found", "tests/test_interchange.py::test_an_overlap_tells_positions_both_ways_and_layers_add_up"),
    (COMPARISON, "return above(self.whole[index], iou, self.expected[index], self.compat)", "return above(self.whole[index], iou, self.expected[index], PaperCompat())", "tests/test_interchange.py::test_departures_of_the_reference_are_told_and_change_the_numbers"),
    (COMPARE, "small / large if large", "1.0 if large", "tests/test_comparison.py::test_containment_is_the_highest_overlap_possible"),
    (COMPARE, "small / large if large", "small / (large + 1) if large", "tests/test_comparison.py::test_no_overlap_is_higher_than_possible"),
    (COMPARE, "small / large if large", "small / (large + 1) if large", "tests/test_comparison.py::test_circuits_of_equal_sizes_can_overlap_fully"),
    (COMPARE, "any(pair.open for", "all(pair.open for", "tests/test_comparison.py::test_the_overlap_is_open_if_it_is_in_one_direction"),
    (COMPARE, "max(self.a, self.b) < self.nodes", "self.b < self.nodes", "tests/test_comparison.py::test_nothing_is_said_of_a_kind_of_which_one_circuit_holds_all_or_none[all of the text's]"),
    (COMPARE, "return min(self.a, self.b) > 0", "return self.b > 0", "tests/test_comparison.py::test_nothing_is_said_of_a_kind_of_which_one_circuit_holds_all_or_none[none of the text's]"),
    (COMPARE, 'normalised(self.iou, self.expected) if telling(self) else float("nan")', "normalised(self.iou, self.expected)", "tests/test_comparison.py::test_the_overlap_is_open_if_it_is_in_one_direction"),
    (COMPARE, "/ (1 - self.expected) if telling(self)", "/ (1 - self.expected) if self.expected < 1", "tests/test_comparison.py::test_the_overlap_is_open_if_it_is_in_one_direction"),
    (COMPARISON, "if telling(part) else math.nan", "", "tests/test_comparison.py::test_nothing_is_said_where_it_holds_all_of_both_kinds"),
    (COMPARISON, "found.append([above(part, part.iou, chance, compat) for", "found.append([compat.normalise(part.iou, chance) for", "tests/test_comparison.py::test_what_reweighted_circuits_hold_whole_is_undefined_and_no_nought"),
    (COMPARISON, "self.reweighted[:, list(chosen)].mean(1)", "_mean([self.reweighted[:, i] for i in chosen])", "tests/test_comparison.py::test_draws_in_which_a_kind_is_undefined_do_not_stand_for_the_other"),
    (COMPARISON, "if not all(map(telling, [*across, *within])):", "if not any(map(telling, across)):", "tests/test_comparison.py::test_no_share_of_the_ceiling_is_said_where_halves_agree_by_their_sizes[all]"),
    (COMPARISON, "if not all(map(telling, [*across, *within])):", "if not all(map(telling, within)):", "tests/test_comparison.py::test_no_share_of_the_ceiling_is_said_of_it_however_well_halves_agree"),
    (COMPARISON, "**self._interval(known, value)", "**self._interval(chosen, value)", "tests/test_comparison.py::test_nothing_is_said_of_a_kind_of_which_one_circuit_holds_all_or_none[all of the image's]"),
    (COMPARISON, "/ _defined(list(map(highest, parts)))", "/ 1.0", "tests/test_comparison.py::test_a_circuit_wholly_inside_another_has_all_that_is_possible_however_low_its_overlap"),
    (COMPARISON, "_defined([part.niou for part in parts]) /", "_defined([self._above(i, self.whole[i].iou) for i in known]) /", "tests/test_comparison.py::test_the_share_is_that_of_the_methods_when_departures_are_asked_for"),
    ("src/diptych/experiments/overlap.py", "if len(alone) == 1 else", "if alone else", "tests/test_comparison.py::test_a_number_of_one_kind_of_nodes_is_said_to_be_of_it_alone"),
    ("src/diptych/experiments/_guided_overlap.py", "if np.isfinite(values[:, column]).all()", "if np.isfinite(values[0, column])", "tests/test_guided.py::test_a_change_of_overlap_is_of_the_nodes_that_are_compared_both_times"),
    ("src/diptych/experiments/_guided_overlap.py", "draws[1] - draws[0]", "draws[1]", "tests/test_guided.py::test_a_change_of_overlap_is_of_the_nodes_that_are_compared_both_times"),
    (SWAP, '.get(self.swapped, " and ".join(self.swapped))', ".get(self.swapped, WHOLE)", "tests/test_swap.py::test_a_part_is_named_by_its_segments"),
    (PAPER, "chosen[places[torch.randperm(len(places), generator=chance)[:count]]] = True", "chosen[torch.randperm(there.numel(), generator=chance)[:count]] = True", "tests/test_paper_compat.py::test_random_circuits_are_drawn_from_the_nodes_that_there_are"),
    ("src/diptych/experiments/logit_lens.py", "if words else [None] * len(places)", "", "tests/test_panels.py::test_where_the_counterfactual_has_all_words_no_probability_is_drawn"),
    (TOLD, 'zip(_both(rows, "as many"), _both(rows, "carried"), strict=True)', 'zip(_both(rows, "carried"), _both(rows, "as many"), strict=True)', "tests/test_comparison.py::test_a_swap_is_headed_by_as_many_nodes_as_replaced"),
    (TOLD, '    if row["undefined because"]:\n', "    if False:\n", "tests/test_comparison.py::test_what_is_undefined_of_a_swap_is_said_beside_what_is_not"),
    (PAPER, 'seed=seed, positions={p.segment: p.positions for p in found})', 'seed=seed)', "tests/test_paper_compat.py::test_random_circuits_over_all_positions_have_as_many_nodes_and_the_matched_ones_as_expected"),
)  # fmt: skip
