"""Mutations of information flow: knockouts, streams, probes and depths."""

from mutations import Mutation

KNOCKOUT = "src/diptych/models/knockout.py"
STREAMS = "src/diptych/models/streams.py"
LAYERS = "src/diptych/experiments/_layers.py"
CUTS = "src/diptych/cuts.py"
TURNS = "src/diptych/turns.py"
PROBE = "src/diptych/probe.py"
FREEZE = "src/diptych/experiments/freeze.py"
INTEGRATION = "src/diptych/experiments/visual_integration.py"
LAWS = "tests/test_knockout_laws.py::"
CROSSED = "tests/test_crosspatch.py::"
FOUND = "tests/test_flow_experiments.py::"
TURNED = "tests/test_turns.py::"
RULES = "tests/test_flow_rules.py::"

FLOW_MUTATIONS: tuple[Mutation, ...] = (
    # knockout (methods §12)
    (
        KNOCKOUT,
        "whole.masked_fill(edges, torch.finfo(whole.dtype).min)",
        "whole.masked_fill(edges, -10.0)",
        LAWS + "test_cut_weights_are_exactly_zero_and_the_rest_sum_to_one[llava]",
    ),
    (
        KNOCKOUT,
        "edges[list(heads)] =",
        "edges[:] =",
        LAWS + "test_heads_are_cut_one_by_one_and_the_others_attend_as_before[gemma3]",
    ),
    (
        KNOCKOUT,
        "done = cache.get_seq_length(index) if cache is not None else 0",
        "done = 0",
        LAWS + "test_new_tokens_are_cut_off_while_they_are_generated_from_the_cache[qwen2_vl-sdpa]",
    ),
    (
        KNOCKOUT,
        "+ start for count, start in",
        "for count, start in",
        LAWS + "test_new_tokens_are_cut_off_while_they_are_generated_from_the_cache[gemma3-eager]",
    ),
    (
        KNOCKOUT,
        "if live.shape[1] != places.shape[1]:",
        "if False:",
        LAWS + "test_cross_attention_is_cut_head_by_head_too_and_not_while_generating",
    ),
    (
        CUTS,
        "range(max(0, l - window // 2), min(layers, l + (window + 1) // 2))",
        "range(max(0, l - window // 2), min(layers, l + window // 2))",
        "tests/test_cuts.py::test_a_sliding_window_holds_as_many_layers_below_as_above_and_ends_with_the_model",
    ),
    (
        CUTS,
        "first = min(layers)",
        "first = max(layers)",
        "tests/test_cuts.py::test_resumed_cuts_equal_full_passes[image-gemma3-sdpa]",
    ),
    # streams (methods §11)
    (
        STREAMS,
        "if layer in crossing or given_state(args, kwargs):",
        "if layer in crossing:",
        CROSSED
        + "test_pictures_that_are_read_beside_the_stream_cannot_be_patched_or_frozen_in_it[gemma4-by what layers below hand on]",
    ),
    # depths and probes
    (
        TURNS,
        "last = int(top[-1])",
        "last = int(top[0])",
        TURNED + "test_of_several_crossings_the_last_one_down_counts_and_the_first_layer_above_is_the_onset",
    ),
    (
        TURNS,
        "curve >= peak / 2",
        "curve >= peak / 3",
        TURNED + "test_half_of_a_rise_is_counted_from_0_to_the_peak",
    ),
    (
        PROBE,
        "(1 - leverage)",
        "(1 - 0 * leverage)",
        "tests/test_probe.py::test_the_left_out_error_is_that_of_leaving_each_row_out",
    ),
    (
        PROBE,
        "- bias)) / (values + best)",
        "- bias)) / (values + 2 * best)",
        "tests/test_probe.py::test_the_probe_solves_the_ridge_s_normal_equations[30-5]",
    ),
    (
        FREEZE,
        "len(right) - wrong[::-1].argmax(0)",
        "wrong.argmin(0)",
        FOUND + "test_a_layer_is_sufficient_if_all_layers_from_it_on_are",
    ),
    (
        FREEZE,
        "held = freezing.freeze(vlm, call, prompts[0].layout.data,",
        "held = freezing.freeze(vlm, call, prompts[0].layout.query,",
        FOUND + "test_a_planted_delay_is_found_at_its_layer_with_an_interval_that_holds_it[freeze-organism/qwen2vl]",
    ),
    (
        INTEGRATION,
        "vlm.knockout(rest[1], layout.data, every):",
        "vlm.knockout(rest[1], layout.prefix, every):",
        FOUND + "test_states_without_the_data_do_not_depend_on_it_and_those_with_it_do[qwen2_vl-sdpa]",
    ),
    # what is told, and what is not
    (
        TURNS,
        "np.flatnonzero(above > 0)\n    if",
        "np.flatnonzero(above >= 0)\n    if",
        TURNED + "test_0_is_not_above",
    ),
    (
        TURNS,
        "elif not math.isfinite(found.low):",
        "elif False:",
        TURNED + "test_a_layer_that_cannot_be_known_is_no_number_and_says_why",
    ),
    (
        TURNS,
        "if not math.isfinite(turn(np.asarray(curves).mean(1))):",
        "if False:",
        TURNED + "test_a_layer_that_cannot_be_known_is_no_number_and_says_why",
    ),
    (
        TURNS,
        "return float(np.clip(turn(np.stack(columns).mean(1)), 0, last))",
        "return turn(np.stack(columns).mean(1))",
        TURNED + "test_an_interval_holds_the_first_layer_if_many_resampled_curves_turn_before_it",
    ),
    (
        TURNS,
        "(1 - share) * curve[0]",
        "share * curve[0]",
        TURNED + "test_a_fall_by_a_share_is_told_by_the_last_layer_before_it",
    ),
    (
        TURNS,
        "more = depth(*with_bounds((curves, clusters)), turn, seed=seed)",
        "more = found",
        TURNED + "test_where_all_prompts_are_alike_the_interval_of_a_crossing_is_not_empty",
    ),
    (
        TURNS,
        "np.repeat([-1.0, 1.0], size)",
        "np.repeat([0.0, 1.0], size)",
        TURNED + "test_the_clusters_at_the_bounds_change_no_value_and_no_layer_that_is_sure",
    ),
    (
        TURNS,
        "return float(first - second)",
        "return float(second - first)",
        TURNED + "test_a_lag_is_by_how_much_later_one_panel_turns_than_the_other",
    ),
    (
        TURNS,
        "[_sums(late, names), _sums(early, names)]",
        "[_sums(late, names), _sums(early, names)[:, ::-1]]",
        TURNED + "test_the_interval_of_a_lag_is_of_clusters_resampled_in_both_panels_together",
    ),
    (
        LAYERS,
        "undefined(found, reasons[0]) if reasons else found",
        "found",
        TURNED + "test_a_lag_is_undefined_where_either_layer_is_and_there_is_none_of_one_panel",
    ),
    (
        LAYERS,
        "int(one.low > 0) - int(one.high < 0)",
        "int(one.value > 0) - int(one.low > 0)",
        TURNED + "test_a_delay_or_its_absence_is_said_with_its_interval",
    ),
    (
        INTEGRATION,
        "with vlm.knockout(rest[0], layout.data, every), vlm.",
        "with vlm.",
        FOUND + "test_states_without_the_data_do_not_learn_of_it_from_positions_before_it_that_look_ahead",
    ),
    (
        KNOCKOUT,
        "if _meet(rows, columns):",
        "if False:",
        LAWS + "test_a_position_that_would_be_left_with_nothing_is_refused_and_one_with_something_is_not[llava-eager]",
    ),
    (
        KNOCKOUT,
        "mask > torch.finfo(mask.dtype).min / 2",
        "mask > -torch.inf",
        LAWS + "test_a_position_that_would_be_left_with_nothing_is_refused_and_one_with_something_is_not[gemma3-eager]",
    ),
    (
        TURNS,
        "if several >= FEWEST else",
        "if several >= 2 else",
        TURNED + "test_a_layer_is_told_of_ten_clusters_and_not_of_nine",
    ),
    (
        "src/diptych/experiments/_earliness.py",
        "o.id != item.id and o.id in layers",
        "o.id in layers",
        RULES + "test_groups_by_the_other_prompts_of_a_cluster_do_not_make_the_image_right",
    ),
    (
        "src/diptych/experiments/identify.py",
        "if null.p <= LEVEL or",
        "if null.gain > 0 or",
        RULES + "test_a_probe_of_noise_is_rarely_taken_for_one_that_reads_the_answer",
    ),
    (
        FREEZE,
        "if until > 1:",
        "if until >= 1:",
        FOUND + "test_a_picture_held_up_to_layer_1_tells_no_sufficient_layer",
    ),
    (
        "src/diptych/experiments/_parameters.py",
        "if window % 2 == 0:",
        "if window == 0:",
        RULES + "test_what_a_user_mistypes_is_refused_before_the_model_is_loaded[even windows]",
    ),
)
