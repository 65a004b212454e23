"""Laws of similarity, lens, attention weights and contributions broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

SIMILARITY = "src/diptych/similarity.py"
ATTENTION = "src/diptych/models/attention.py"
LENS = "src/diptych/lens.py"
ENTRY = "src/diptych/models/entry.py"
DIRECT = "src/diptych/contributions.py"
RELEVANCE = "src/diptych/attribution/_relevance.py"
PARTS = "src/diptych/models/parts.py"
PAIRS = "src/diptych/experiments/_pairs.py"
PANELS = "src/diptych/experiments/similarity.py"
COMPARED = "src/diptych/experiments/_similarity.py"
READ = "src/diptych/experiments/logit_lens.py"
LENSES = "src/diptych/experiments/_lens.py"
HEADS = "src/diptych/experiments/_heads.py"
NODES = "src/diptych/experiments/node_view.py"
VIEW = "src/diptych/experiments/_view.py"
PICTURE = "src/diptych/experiments/_picture.py"
MAPS = "src/diptych/report/picture_maps.py"
FIGURES = "src/diptych/figures/prompts.py"

HERE, WEIGHTS, DIRECTS = (
    "tests/test_similarity.py::",
    "tests/test_attention_weights.py::",
    "tests/test_contributions.py::",
)
PANEL, NODE, FIGURE = "tests/test_panels.py::", "tests/test_node_view.py::", "tests/test_report_figures.py::"

SIMILAR_MUTATIONS: tuple[Mutation, ...] = (
    # cosines and CKA
    (SIMILARITY, ".amax(-1).mean(-1)", ".mean(-1).mean(-1)", HERE + "test_a_panel_is_as_close_to_itself_as_can_be"),
    (
        SIMILARITY,
        ".amax(-1).mean(-1)",
        ".amax(-2).mean(-1)",
        HERE + "test_each_image_token_counts_by_its_closest_text_token",
    ),
    (
        SIMILARITY,
        "[closest(states, image) for states in text]",
        "[closest(image, states) for states in text]",
        HERE + "test_every_layer_beside_every_layer_is_each_of_them_alone",
    ),
    (SIMILARITY, ".clamp_min(torch.finfo(wide.dtype).tiny)", "", HERE + "test_a_state_of_zeros_is_close_to_nothing"),
    (
        SIMILARITY,
        "wide = states if states.dtype == torch.float64 else states.float()",
        "wide = states",
        HERE + "test_half_precision_is_compared_in_float32",
    ),
    (
        SIMILARITY,
        "found - torch.diag_embed(found.diagonal(dim1=-2, dim2=-1))",
        "found",
        HERE + "test_independent_descriptions_have_no_cka_however_many_dimensions_they_have",
    ),
    (SIMILARITY, "2 * rows / (n - 2)", "rows / (n - 2)", HERE + "test_cka_is_symmetric_and_is_that_of_its_definition"),
    (
        SIMILARITY,
        "centred = wide - wide.mean(-2, keepdim=True)",
        "centred = wide",
        HERE + "test_cka_of_a_description_with_itself_is_one_whatever_its_rotation_scale_and_shift",
    ),
    (
        SIMILARITY,
        "[..., order, :][..., order]",
        "[..., order, :]",
        HERE + "test_reordered_items_no_longer_belong_together",
    ),
    # attention weights
    (
        ATTENTION,
        'other._attn_implementation_internal = "eager"',
        "pass",
        WEIGHTS + "test_the_weights_are_those_that_hugging_face_returns[text-qwen2_vl-sdpa]",
    ),
    (
        ATTENTION,
        "        module.config = own\n",
        "        pass\n",
        WEIGHTS + "test_the_heads_asked_for_are_given_and_the_model_is_as_before",
    ),
    (ATTENTION, "[:, list(heads)]", "", WEIGHTS + "test_the_heads_asked_for_are_given_and_the_model_is_as_before"),
    (
        ATTENTION,
        ".masked_fill(~whole,",
        ".masked_fill(whole,",
        WEIGHTS + "test_weights_of_a_position_sum_to_one_and_nothing_looks_where_it_may_not[qwen2_vl-sdpa]",
    ),
    (
        ATTENTION,
        "if not error <=",
        "if error >",
        WEIGHTS + "test_weights_that_do_not_make_the_model_s_own_heads_are_refused",
    ),
    (
        ATTENTION,
        "        require_weights(mixer)\n",
        "        pass\n",
        WEIGHTS + "test_layers_without_weights_between_positions_are_refused[mllama-cross attention]",
    ),
    # the lens
    (
        LENS,
        "vlm.resume(len(vlm.layers), residual)",
        "vlm.resume(len(vlm.layers) - 1, residual)",
        "tests/test_lens.py::test_every_layer_is_read_by_the_model_s_own_norm_and_unembedding[llava-sdpa]",
    ),
    (
        ENTRY,
        "args[0][:, list(positions)]",
        "args[0][:, sorted(positions)]",
        "tests/test_lens.py::test_logits_are_read_at_the_positions_asked_for_and_nothing_stays_open",
    ),
    # contributions
    (
        DIRECT,
        "        fixed_norms(vlm),\n",
        "",
        DIRECTS + "test_the_parts_add_up_to_the_logit_difference[text-llava-sdpa]",
    ),
    (
        DIRECT,
        "live.detach().requires_grad_()",
        "live if live.requires_grad else live.detach().requires_grad_()",
        DIRECTS + "test_the_parts_add_up_to_the_logit_difference[text-llava-sdpa]",
    ),
    (
        DIRECT,
        "right.float() - wrong.float()",
        "right.float()",
        DIRECTS + "test_they_add_up_with_cross_attention_recurrences_experts_and_norms_behind[mllama]",
    ),
    (
        DIRECT,
        "    if vlm.sites.unread:\n",
        "    if False:\n",
        DIRECTS + "test_models_that_mix_positions_beside_their_nodes_are_refused",
    ),
    (
        RELEVANCE,
        "for norm in norms]):",
        "for norm in norms[:-1]]):",
        DIRECTS + "test_a_head_s_part_is_the_one_worked_out_by_hand[sdpa]",
    ),
    # what is compared with what
    (
        PAIRS,
        'if self.modality == "image":',
        "if False:",
        PANEL + "test_every_picture_of_a_block_is_put_beside_every_text_of_it",
    ),
    (
        PAIRS,
        "[mixed[start::count] for",
        "[mixed[start :: count + 1] for",
        PANEL + "test_blocks_hold_every_item_once_and_at_least_as_many_as_asked_for",
    ),
    (
        PANELS,
        "item.cluster != other.cluster and item.text != other.text",
        "item.cluster != other.cluster",
        PANEL + "test_texts_of_the_same_words_or_cluster_are_no_baseline",
    ),
    (
        PANELS,
        "item.cluster != other.cluster and item.text != other.text",
        "item.text != other.text",
        PANEL + "test_texts_of_the_same_words_or_cluster_are_no_baseline",
    ),
    (
        PANELS,
        "[some - mean[1] for some in image]",
        "[some - mean[0] for some in image]",
        PANEL + "test_every_picture_of_a_block_is_put_beside_every_text_of_it",
    ),
    (
        PANELS,
        "some.double().sum(1) for some in states",
        "some.double().mean(1) for some in states",
        PANEL + "test_the_mean_is_that_of_all_data_tokens_of_other_items",
    ),
    (
        COMPARED,
        "self.own[kind] - self.others(kind)",
        "self.own[kind]",
        PANEL + "test_pairs_without_anything_special_are_not_told_to_be_close",
    ),
    (
        COMPARED,
        "int(chance.integers(len(some)))",
        "0",
        PANEL + "test_pairs_without_anything_special_are_not_told_to_be_close",
    ),
    (COMPARED, 'if unit["other"][i].any()', "if True", PANEL + "test_items_without_another_in_their_block_are_counted"),
    (
        COMPARED,
        "self.peak(self.across[:, layer])",
        "self.peak(self.across[:, :, layer])",
        PANEL + "test_what_is_special_to_pairs_is_found_at_its_layer_and_told",
    ),
    (
        READ,
        "sorted(own - other), sorted(other - own)",
        "sorted(own), sorted(other)",
        PANEL + "test_words_that_both_items_have_are_not_read",
    ),
    (
        READ,
        "by_set[:-1].mean(0), by_set[-1]",
        "by_set[-1], by_set[:-1].mean(0)",
        PANEL + "test_the_last_reading_is_the_model_s_own_probability[llava]",
    ),
    (
        LENSES,
        "max(unsure, default=-1) + 1",
        "min(unsure, default=-1) + 1",
        PANEL + "test_an_answer_is_sure_from_the_layer_behind_the_last_unsure_one",
    ),
    (
        LENSES,
        'key=lambda row: float(row["probability"] or 0)',
        'key=lambda row: float(row["difference"] or 0)',
        PANEL + "test_the_highest_probability_is_the_one_told_whatever_the_counterfactual_s",
    ),
    # node view
    (
        HEADS,
        "inside = scores.heads * circuit.heads",
        "inside = scores.heads",
        NODE + "test_heads_are_chosen_by_their_score_in_the_circuit_per_segment",
    ),
    (
        HEADS,
        "circuit.at(self.segment).expand(layout)",
        "circuit.expand(layout)",
        NODE + "test_a_head_looks_from_its_own_positions_of_the_circuit",
    ),
    (
        NODES,
        "_by_segment(rows.mean(1), layout)",
        "_by_segment(rows[:, -1], layout)",
        NODE + "test_attention_is_the_mean_over_the_head_s_positions_and_sums_to_one[llava]",
    ),
    (
        NODES,
        "seen = seen / seen.sum(-1, keepdim=True)",
        "seen = seen / seen.shape[-1]",
        NODE + "test_attention_is_the_mean_over_the_head_s_positions_and_sums_to_one[llava]",
    ),
    (
        NODES,
        "rows.mean(0)[places]",
        "rows.mean(0)[places[::-1]]",
        NODE + "test_attention_to_the_picture_is_drawn_where_its_tokens_lie[llava-grid1]",
    ),
    (
        VIEW,
        "sum(self.circuit.there[0]) - len(",
        "self.direct[0].size - len(",
        NODE + "test_heads_that_are_not_there_are_no_other_heads",
    ),
    (
        VIEW,
        'if self.outside() else "all heads are in the circuit"',
        'if True else "all heads are in the circuit"',
        NODE + "test_a_circuit_of_all_heads_has_no_others",
    ),
    (
        VIEW,
        "[{fixed(found.low, sign='+')}, {fixed(found.high, sign='+')}]",
        "",
        NODE + "test_what_heads_write_together_is_told_with_its_interval_over_clusters",
    ),
    (
        VIEW,
        "(tried - spread).mean(0)",
        "tried.mean(0)",
        NODE + "test_the_head_that_reads_most_is_chosen_where_it_is_not_reported",
    ),
    (
        VIEW,
        "self.direct[:, ~own].sum(1)",
        "self.direct.sum((1, 2))",
        NODE + "test_the_view_names_the_head_that_reads_more_than_an_even_spread_and_sums_what_is_written",
    ),
    (
        PARTS,
        "abs(rows * width - columns * height)",
        "abs(rows * height - columns * width)",
        NODE + "test_a_wide_picture_has_its_own_rows_and_columns",
    ),
    (
        PARTS,
        "> max(height, width):",
        "> 9 * max(height, width):",
        NODE + "test_positions_whose_grid_is_not_of_the_picture_s_shape_are_not_drawn[size2-False]",
    ),
    (
        PICTURE,
        "return image.crop((",
        "return image.rotate(0) or image.crop((",
        NODE + "test_of_a_picture_that_is_cropped_the_part_that_the_model_sees_is_drawn",
    ),
    # maps over pictures
    (MAPS, "abs(strength)", "strength", FIGURE + "test_negative_cells_of_a_picture_have_a_tint_of_their_own"),
    (
        MAPS,
        "max(map(abs, values), default=0.0) or 1.0",
        "max(map(abs, values), default=0.0)",
        FIGURE + "test_a_map_of_zeros_is_not_tinted",
    ),
    (
        MAPS,
        "for one in figure.maps for row in one.values for value",
        "for one in figure.maps[:1] for row in one.values for value",
        FIGURE + "test_maps_over_pictures_share_one_scale_from_zero",
    ),
    (
        FIGURES,
        "        require_png(owner, self.picture)\n",
        "",
        "tests/test_result.py::test_a_picture_that_is_not_in_the_report_itself_is_refused",
    ),
)
