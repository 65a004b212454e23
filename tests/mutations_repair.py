"""Mutations of the repair of the gap: back-patching, its controls, and the planted delay."""

from mutations import Mutation

DELAYED = "src/diptych/delayed.py"
PREVIEW = "src/diptych/models/preview.py"
HANDED = "src/diptych/models/handed.py"
INTERVENTIONS = "src/diptych/interventions.py"
SHARED = "src/diptych/models/shared.py"
BACKPATCH = "src/diptych/backpatch.py"
SWEEP = "src/diptych/experiments/_sweep.py"
CONTROLS = "src/diptych/experiments/_controls.py"
EXPERIMENT = "src/diptych/experiments/back_patching.py"
GAP = "src/diptych/gap_share.py"
NULLS = "src/diptych/statistics/nulls.py"
PREDICTION = "src/diptych/experiments/cell_prediction.py"
FIRST_ORDER = "src/diptych/first_order.py"

REPAIR_MUTATIONS: tuple[Mutation, ...] = (
    # the planted delay
    (
        DELAYED,
        "kwargs, self.preview.pictures, self.mean)",
        "kwargs, self.preview.pictures, self.preview.seen[0])",
        "tests/test_delayed.py::test_below_the_layer_no_residual_depends_on_the_picture[llava-sdpa]",
    ),
    (
        DELAYED,
        "kwargs, self.preview.places, stream",
        "kwargs, self.preview.pictures, stream",
        "tests/test_delayed.py::test_from_the_layer_on_picture_positions_are_those_of_the_model_to_the_bit[llava-sdpa]",
    ),
    (
        DELAYED,
        "copy.layers[layer].register",
        "copy.layers[layer - 1].register",
        "tests/test_delayed.py::test_below_the_layer_no_residual_depends_on_the_picture[gemma3-eager]",
    ),
    (
        DELAYED,
        "if entries:",
        "if False:",
        "tests/test_delayed.py::test_what_cannot_be_delayed_is_refused_with_the_reason",
    ),
    (
        PREVIEW,
        "if bool(self.pictures.any()):",
        "if True:",
        "tests/test_delayed.py::test_tokens_that_are_generated_read_the_hidden_picture_from_the_cache[gemma3]",
    ),
    (
        PREVIEW,
        '{**kwargs, "past_key_values": None, "use_cache": False}',
        "kwargs",
        "tests/test_delayed.py::test_tokens_that_are_generated_read_the_hidden_picture_from_the_cache[qwen2_vl]",
    ),
    (
        PREVIEW,
        "self.decode, copy.sites.decoder.forward = copy.sites.decoder.forward, self",
        "self.decode, self.vlm.sites.decoder.forward = copy.sites.decoder.forward, self",
        "tests/test_delayed.py::test_the_user_s_model_is_left_without_a_hook_and_its_weights_are_shared[gemma3]",
    ),
    (
        PREVIEW,
        "self.__signature__ = inspect.signature(self.decode)",
        "pass",
        "tests/test_delayed.py::test_a_delayed_model_can_be_copied_and_attributed",
    ),
    (
        SHARED,
        "deepcopy(model, shared)",
        "deepcopy(model)",
        "tests/test_delayed.py::test_the_user_s_model_is_left_without_a_hook_and_its_weights_are_shared[llava]",
    ),
    # what a layer hands on
    (
        HANDED,
        "with_kwargs=True, prepend=True)",
        "with_kwargs=True)",
        "tests/test_delayed.py::test_resumed_cells_of_a_delayed_model_equal_a_full_second_pass_to_the_bit[llava-sdpa]",
    ),
    (
        HANDED,
        "range(reached if reached < layer else 0, layer)",
        "range(layer - 1, layer)",
        "tests/test_backpatch.py::test_an_edit_of_what_a_layer_hands_on_comes_through_a_layer_that_is_not_called",
    ),
    (
        HANDED,
        "with vlm.resume(below + 1, residual), edit_handed(vlm.layers, {below: lambda live: residual.to(live.device)}):",
        "with vlm.resume(below + 1, residual):",
        "tests/test_backpatch.py::test_so_they_do_where_features_are_added_between_layers[qwen3_vl]",
    ),
    (
        INTERVENTIONS,
        "    with edit_handed(vlm.layers, {layer: write(value) for layer, value in values.items()}):\n",
        "    from diptych.models.hooks import hooks\n\n"
        "    with hooks(*(vlm.layers[n].register_forward_hook(lambda m, a, o, v=v: write(v)(o)) for n, v in values.items())):\n",
        "tests/test_backpatch.py::test_features_that_are_added_between_layers_are_those_of_the_source",
    ),
    # back-patching
    (
        BACKPATCH,
        "        donors = residuals\n",
        "",
        "tests/test_backpatch.py::test_rounds_of_a_loop_equal_whole_runs_to_the_bit[cell0-qwen2_vl-sdpa]",
    ),
    (
        BACKPATCH,
        "with record_handed(vlm) as residuals, _patched(vlm, positions, [cell], own, donors):",
        "with _patched(vlm, positions, [cell], own, donors), record_handed(vlm) as residuals:",
        "tests/test_backpatch.py::test_rounds_of_a_loop_equal_whole_runs_to_the_bit[cell1-llava-eager]",
    ),
    (
        BACKPATCH,
        ".mul(length)",
        "",
        "tests/test_backpatch.py::test_noise_has_the_norm_of_what_it_stands_for_and_a_seed_per_prompt",
    ),
    (
        BACKPATCH,
        ", reader=vlm.model",
        "",
        "tests/test_guided.py::test_with_the_patch_in_place_what_it_overwrites_has_no_score",
    ),
    (
        BACKPATCH,
        'f"{vlm.digest} {cell}"',
        'f"{vlm.digest}"',
        "tests/test_backpatch.py::test_a_patched_model_runs_as_the_cell_does_to_the_bit[cell0-llava-sdpa]",
    ),
    # the experiment
    (
        SWEEP,
        "(self.select.best(), HELD_OUT)",
        "(self.test.best(), HELD_OUT)",
        "tests/test_back_patching.py::test_the_cell_is_chosen_where_it_is_not_reported",
    ),
    (
        SWEEP,
        "ratio_of_means(gains[both], gap,",
        "ratio_of_means(gains[both], gap + 1,",
        "tests/test_back_patching.py::test_the_gap_is_that_of_items_with_both_panels",
    ),
    (
        SWEEP,
        "if one in self.rivals]",
        "]",
        "tests/test_back_patching.py::test_the_gap_is_that_of_items_with_both_panels",
    ),
    (
        CONTROLS,
        "(own, wrong, *noisy)",
        "(own, own, *noisy)",
        "tests/test_back_patching.py::test_the_wrong_donor_is_the_counterfactual_of_each_prompt",
    ),
    (
        CONTROLS,
        "_seeds(ids, seed, draw, layer)",
        "_seeds(ids, seed, layer)",
        "tests/test_back_patching.py::test_the_wrong_donor_is_the_counterfactual_of_each_prompt",
    ),
    (
        CONTROLS,
        '["noise", *told, one]',
        '["noise", *told, ids.index(one)]',
        "tests/test_back_patching.py::test_controls_do_not_depend_on_how_prompts_are_batched",
    ),
    (
        CONTROLS,
        "Cell(cell.destination, cell.window, cell.destination)",
        "cell",
        "tests/test_back_patching.py::test_controls_do_not_depend_on_how_prompts_are_batched",
    ),
    (
        EXPERIMENT,
        'if "text" in sweeps else NO_TEXT',
        "if True else NO_TEXT",
        "tests/test_experiments.py::test_pictures_alone_are_back_patched_without_a_text_control",
    ),
    (
        GAP,
        "sum(gains) / sum(gaps) if",
        "sum(gains) / len(gains) if",
        "tests/test_gap_share.py::test_all_pairs_together_close_their_total_gain_over_their_total_gap",
    ),
    (
        GAP,
        "PAPER_A.closed(*zip(*open_pairs, strict=True))",
        "sum(shares) / len(shares)",
        "tests/test_gap_share.py::test_the_authors_mean_leaves_out_all_but_the_shares_between_none_and_all",
    ),
    # the prediction of cells
    (
        FIRST_ORDER,
        "(ours.to(theirs.device) - theirs)",
        "ours.to(theirs.device)",
        "tests/test_cell_prediction.py::test_the_first_order_effect_is_the_derivative_of_the_patch[text-llava]",
    ),
    (
        FIRST_ORDER,
        "slopes[destination][:, positions]",
        "slopes[source][:, positions]",
        "tests/test_cell_prediction.py::test_the_first_order_effect_is_the_derivative_of_the_patch[image-qwen2_vl]",
    ),
    (
        PREDICTION,
        "kept.masked_fill(ours, -torch.inf).logsumexp(-1)",
        "kept.logsumexp(-1)",
        "tests/test_cell_prediction.py::test_log_odds_are_those_of_the_answer_among_the_choices",
    ),
    (
        PREDICTION,
        "float(select.gains[cell].mean()))",
        "float(sweep.test.gains[cell].mean()))",
        "tests/test_cell_prediction.py::test_the_shortlist_is_tried_on_select_and_regret_is_against_the_sweep_s_cell_on_test",
    ),
    (
        PREDICTION,
        "cost(select.cells)",
        "cost(select.cells[:1])",
        "tests/test_cell_prediction.py::test_the_shortlist_is_tried_on_select_and_regret_is_against_the_sweep_s_cell_on_test",
    ),
    # the null, and what is said of a choice
    (
        NULLS,
        "scale = np.linalg.norm(sums, axis=1)",
        "scale = np.ones(len(sums))",
        "tests/test_nulls.py::test_destructive_cells_do_not_hide_one_that_helps",
    ),
    (
        NULLS,
        "int((1 - level)",
        "2 * int((1 - level)",
        "tests/test_nulls.py::test_a_gain_is_above_what_its_cell_needs_where_p_is_at_most_five_in_hundred",
    ),
    (
        NULLS,
        "+ rounding\n",
        "- rounding\n",
        "tests/test_nulls.py::test_a_gain_is_above_what_its_cell_needs_where_p_is_at_most_five_in_hundred",
    ),
    (
        NULLS,
        ".max(axis=1))",
        ".mean(axis=1))",
        "tests/test_nulls.py::test_of_tests_without_an_effect_five_in_hundred_are_called_one",
    ),
    (
        NULLS,
        "critical * scale, np.nan)",
        "critical * scale, 0.0)",
        "tests/test_nulls.py::test_a_cell_that_changes_nothing_has_no_t_and_no_gain_that_it_needs",
    ),
    (
        SWEEP,
        "self.null.needed[cell]",
        "self.null.needed[self.null.cell]",
        "tests/test_back_patching.py::test_the_null_of_each_cell_is_its_own",
    ),
    (
        SWEEP,
        "if gains.max() <= 0:",
        "if gains.max() < 0:",
        "tests/test_back_patching.py::test_a_choice_on_select_that_is_none_is_told_in_the_summary",
    ),
    (
        EXPERIMENT,
        "if len(numbered) < len(bounds):",
        "if not numbered:",
        "tests/test_back_patching.py::test_a_share_of_a_gap_that_may_be_nothing_is_not_told",
    ),
    (
        EXPERIMENT,
        "if share < 0:",
        "if share < -100:",
        "tests/test_back_patching.py::test_a_cell_closes_a_share_of_the_gap_or_widens_it",
    ),
    (
        PREDICTION,
        '"low": _minus(high), "high": _minus(low)',
        '"low": _minus(low), "high": _minus(high)',
        "tests/test_cell_prediction.py::test_a_predicted_cell_that_is_better_is_told_to_gain_more_with_its_interval",
    ),
)
