"""Laws of spans, alignments and prompts of different lengths broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

LAYOUT = "src/diptych/layout.py"
GRID = "src/diptych/grid.py"
ALIGNMENT = "src/diptych/alignment.py"
LOCATE = "src/diptych/locate.py"
SPANS = "src/diptych/spans.py"
ITEMS = "src/diptych/items.py"
PARTS = "src/diptych/models/parts.py"
ENCODE = "src/diptych/models/encode.py"
SURVEY = "src/diptych/experiments/_survey.py"
DISCOVER = "src/diptych/experiments/discover.py"
MEASURED = "src/diptych/experiments/_measured.py"
SWEEP = "src/diptych/experiments/_sweep.py"

SPAN_MUTATIONS: tuple[Mutation, ...] = (
    # layouts: names, pieces, pooled and matching spans
    (LAYOUT, "for _ in range(span.start, span.stop)]", "for _ in range(span.stop)]", "tests/test_layout.py::test_a_layout_is_the_names_of_its_positions"),
    (LAYOUT, "found.setdefault(name, []).append(position)", "found[name] = [position]", "tests/test_layout.py::test_pieces_of_one_name_are_one_span_in_several_places"),
    (LAYOUT, "if name not in names or t in firsts]", "if name not in names]", "tests/test_layout.py::test_pooled_spans_are_one_position_where_they_begin"),
    (LAYOUT, "if name not in names or t in firsts]", "if t in firsts]", "tests/test_layout.py::test_pooling_all_spans_leaves_one_position_each_and_pooling_none_changes_nothing"),
    (LAYOUT, "index[places] = torch.tensor(there)", "index[places] = torch.tensor(there[:1])", "tests/test_layout.py::test_positions_go_to_their_namesakes_one_to_one_or_all_to_one"),
    (LAYOUT, "        _require_names(self, target)\n", "", "tests/test_layout.py::test_layouts_of_other_spans_or_lengths_have_no_common_positions"),
    (LAYOUT, "if len(there) not in (1, len(places)):", "if False:", "tests/test_layout.py::test_layouts_of_other_spans_or_lengths_have_no_common_positions"),
    (LAYOUT, "    if any(rest):\n", "    if all(rest):\n", "tests/test_layout.py::test_namesakes_are_linked_and_what_has_none_to_the_rest_or_the_whole_segment"),
    (LAYOUT, "rest[0] or _joined(ours, ours), rest[1] or _joined(theirs, theirs)", "_joined(ours, ours), _joined(theirs, theirs)", "tests/test_layout.py::test_namesakes_are_linked_and_what_has_none_to_the_rest_or_the_whole_segment"),
    # span grids
    (GRID, "totals.index_add_(1, index, nodes)", "totals.index_copy_(1, index, nodes)", "tests/test_pool.py::test_a_span_s_score_is_the_sum_over_its_tokens"),
    (GRID, "totals.index_add_(1, index, nodes)", "totals.index_copy_(1, index, nodes)", "tests/test_pool.py::test_pooling_preserves_the_total_and_every_segment_s_total"),
    (GRID, "totals.index_add_(1, index, nodes)", "totals.index_reduce_(1, index, nodes, 'amax')", "tests/test_pool.py::test_the_pool_of_a_sum_is_the_sum_of_the_pools"),
    (GRID, "totals.index_add_(1, index, nodes)", "totals.index_add_(1, index.flip(0), nodes)", "tests/test_pool.py::test_a_grid_whose_spans_are_one_token_long_pools_and_expands_to_itself"),
    (GRID, "totals.index_add_(1, index, nodes)", "totals.index_copy_(1, index, nodes)", "tests/test_pool.py::test_a_circuit_and_its_pool_hold_the_same_nodes_once_positions_are_forgotten"),
    (GRID, "index = layout.onto(self.layout)", "index = layout.onto(self.layout).flip(0)", "tests/test_pool.py::test_an_expanded_circuit_pools_back_to_itself"),
    (GRID, "index = layout.onto(self.layout)", "index = layout.onto(self.layout).roll(1)", "tests/test_pool.py::test_an_expanded_circuit_has_each_node_at_all_tokens_of_its_span_and_at_no_other"),
    (GRID, "index = layout.onto(self.layout)", "index = layout.onto(self.layout).roll(1)", "tests/test_pool.py::test_expansion_commutes_with_the_algebra_of_circuits"),
    (LAYOUT, "there = target.places[name]", "there = list(target.places.values())[list(self.places).index(name)]", "tests/test_pool.py::test_prompts_are_aligned_by_the_names_of_their_spans_whatever_their_order"),
    (LAYOUT, "        _require_names(self, target)\n", "", "tests/test_pool.py::test_a_layout_that_lacks_a_span_or_has_another_is_refused_with_the_names"),
    # alignments
    (ALIGNMENT, "return Alignment(shape[0], frozenset([shape]))", "return Alignment(shape[0], frozenset(counts))", "tests/test_alignment.py::test_token_takes_the_commonest_shape_alone"),
    (ALIGNMENT, "if _lengths(shapes, name) != {len(places)}]", "if len(places) > 1]", "tests/test_alignment.py::test_aligned_pools_only_the_spans_that_differ_in_length"),
    (ALIGNMENT, "if any(other != form for _, other in shapes):", "if False:", "tests/test_alignment.py::test_data_of_pictures_of_other_proportions_are_pooled_though_as_long"),
    (ALIGNMENT, "names[frozenset(layout.places)] += count", "names[frozenset(layout.places)] = count", "tests/test_alignment.py::test_prompts_whose_spans_have_rarer_names_are_left_out"),
    (ALIGNMENT, "Alignment(layout.pooled(layout.places), frozenset(shapes))", "_aligned(counts)", "tests/test_alignment.py::test_span_pools_every_span_even_of_one_shape"),
    # where the data are
    (LOCATE, "Layout.of((held[0], held[-1] + 1), len(tokens))", "Layout.of((held[0] + 1, held[-1] + 1), len(tokens))", "tests/test_locate.py::test_text_prompts_of_the_paper_s_models_have_its_lengths_and_data"),
    (LOCATE, "first < stop and last > start and last > first", "first >= start and last <= stop and last > first", "tests/test_locate.py::test_text_prompts_of_the_paper_s_models_have_its_lengths_and_data"),
    (LOCATE, "Layout.of((held[0], held[-1] + 1), length)", "Layout.of((held[0], held[0] + len(held)), length)", "tests/test_locate.py::test_image_prompts_of_the_paper_s_models_have_its_lengths_and_data"),
    (LOCATE, " and last > first]", "]", "tests/test_locate.py::test_a_token_that_holds_any_character_of_the_data_is_data_and_empty_tokens_are_not"),
    (LOCATE, "if labels[position] == segment_of(name)]", "]", "tests/test_locate.py::test_named_parts_are_spans_and_the_rest_keeps_the_segment_s_name"),
    (LOCATE, "if len(starts) > 1 and len(widths) == 1:", "if len(starts) > 1:", "tests/test_locate.py::test_a_picture_without_rows_and_columns_has_no_cells"),
    (LOCATE, "if len(starts) > 1 and len(widths) == 1:", "if False:", "tests/test_locate.py::test_a_picture_s_grid_follows_from_its_breaks_its_sides_or_else_is_a_square"),
    (LOCATE, "for height, width in [*sides, (square, square)]:", "for height, width in [(square, square), *sides]:", "tests/test_locate.py::test_a_picture_s_grid_follows_from_its_breaks_its_sides_or_else_is_a_square"),
    (LOCATE, "row, column = divmod(index, grid[1])", "column, row = divmod(index, grid[0])", "tests/test_locate.py::test_cells_partition_the_picture_by_rows_and_columns"),
    (LOCATE, "if cells[0] > grid[0] or cells[1] > grid[1]:", "if cells[1] > grid[1]:", "tests/test_locate.py::test_more_cells_than_positions_are_refused"),
    # named parts of an item
    (SPANS, "if segment not in PARTS or not part:", "if segment not in PARTS:", "tests/test_spans.py::test_a_span_that_is_no_part_of_its_text_is_refused[no name of its own]"),
    (SPANS, "if segment not in PARTS or not part:", "if not part:", "tests/test_spans.py::test_a_span_that_is_no_part_of_its_text_is_refused[an unknown segment]"),
    (SPANS, "0 <= start < stop <= len(text)", "0 <= start < stop", "tests/test_spans.py::test_a_span_that_is_no_part_of_its_text_is_refused[behind the text]"),
    (SPANS, "0 <= start < stop <= len(text)", "0 <= start <= stop <= len(text)", "tests/test_spans.py::test_a_span_that_is_no_part_of_its_text_is_refused[empty]"),
    (SPANS, " and start < last and first < stop", " and start == first", "tests/test_spans.py::test_a_span_that_is_no_part_of_its_text_is_refused[overlapping]"),
    (ITEMS, "item.spans, item.cells,", "item.cells,", "tests/test_items.py::test_the_digest_changes_with_every_field_of_an_item[spans]"),
    (ITEMS, "item.spans, item.cells,", "item.spans,", "tests/test_items.py::test_the_digest_changes_with_every_field_of_an_item[cells]"),
    (ITEMS, " and alike(item, p)]", "]", "tests/test_spans.py::test_a_counterfactual_may_have_to_be_alike"),
    (PARTS, "found.setdefault(name, []).extend(", "found.setdefault(name, overlapping(tokens, (begin + start, begin + stop))) and None or (", "tests/test_lengths.py::test_named_parts_of_text_and_query_are_spans_in_the_panels_that_hold_them"),
    (PARTS, "[place + longer for place in places]", "places", "tests/test_lengths.py::test_named_parts_of_text_and_query_are_spans_in_the_panels_that_hold_them"),
    (PARTS, "value.shape in ((1, 2), (1, 3))]", "value.shape == (1, 2)]", "tests/test_lengths.py::test_cells_of_a_picture_are_spans_by_rows_and_columns"),
    # prompts of different lengths through encoding and experiments
    (ENCODE, "groups.setdefault(pair[1].shape, [])", "groups.setdefault((pair[1].layout, 0), [])", "tests/test_lengths.py::test_pictures_of_other_proportions_share_no_batch_though_as_long"),
    (ENCODE, "elif clean.shape != counterfactual.shape:", "elif False:", "tests/test_lengths.py::test_a_contrast_of_two_lengths_is_dropped_and_counted_and_alone_refused"),
    (ENCODE, "if shape in alignment.shapes]", "]", "tests/test_lengths.py::test_positions_by_token_keep_the_commonest_layout_and_count_the_rest"),
    (SURVEY, "all(shapes[item.id] == shapes[other.id] for shapes in panels)", "True", "tests/test_lengths_experiments.py::test_counterfactuals_have_their_item_s_length_and_are_the_same_in_both_panels"),
    (SURVEY, "self.shapes[item.id]), []).append(one)", "(Layout.of((0, 1), 3), 0)), []).append(one)", "tests/test_lengths_experiments.py::test_back_patching_uses_every_prompt_whatever_its_length"),
    (SURVEY, "RARER: lambda c: self._shapes[modality][c.clean.id] not in alignment.shapes,", "", "tests/test_lengths_experiments.py::test_discovery_pools_all_lengths_unless_it_is_asked_for_tokens"),
    (DISCOVER, "total[unit[\"fold\"]] += unit[kind] * unit[\"prompts\"]", "total[unit[\"fold\"]] += unit[kind]", "tests/test_lengths_experiments.py::test_discovered_scores_are_the_mean_over_prompts_of_each_prompt_s_pooled_scores"),
    (DISCOVER, "scores = found.scores.pool(layout)", "scores = found.scores.pool(layout) * (1 / batch.layout.length)", "tests/test_lengths_experiments.py::test_discovered_scores_are_the_mean_over_prompts_of_each_prompt_s_pooled_scores"),
    (SURVEY, "return [_item(one).cluster for unit in units for one in unit.payload[1]]", "return sorted(_item(one).cluster for unit in units for one in unit.payload[1])", "tests/test_lengths_experiments.py::test_intervals_resample_the_prompts_that_the_units_hold"),
    (MEASURED, "(circuit.expand(batch.layout) for ranking", "(circuit.expand(batch.layout).at(\"data\") for ranking", "tests/test_lengths_experiments.py::test_the_curve_measures_each_prompt_as_it_would_alone"),
    (SWEEP, "prompts[0].layout.data", "slice(0, 1)", "tests/test_lengths_experiments.py::test_back_patching_patches_the_data_of_each_prompt_as_alone"),
)  # fmt: skip
