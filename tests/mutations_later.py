"""Mutations of what layers hand on, and of cross-patching and freezing behind kept keys and values."""

from mutations import Mutation

PAIRS = "src/diptych/experiments/_pairs.py"
EXACT = "src/diptych/attribution/exact.py"
CROSS = "src/diptych/crosspatch.py"
FREEZING = "src/diptych/freezing.py"
STREAMS = "src/diptych/models/streams.py"
TRACE = "src/diptych/models/trace.py"
HANDED = "tests/test_handed.py::"
CROSSED = "tests/test_crosspatch.py::"
FROZEN = "tests/test_freezing.py::"
BEHIND = CROSSED + "test_patches_behind_kept_keys_equal_full_second_passes"
WHOLE = CROSSED + "test_where_prompts_differ_before_the_patch_or_a_model_cannot_be_run_so_all_positions_are"
HELD = FROZEN + "test_freezing_behind_kept_keys_equals_full_passes"

LATER_MUTATIONS: tuple[Mutation, ...] = (
    (
        PAIRS,
        "with record_handed(vlm) as residuals:\n            vlm.run(call)\n        return cls(modality, prompt, call, residuals)",
        "with vlm.record_outputs() as outputs:\n            vlm.run(call)\n"
        "        return cls(modality, prompt, call, list(outputs.values()))",
        HANDED + "test_a_run_that_takes_over_all_that_a_layer_hands_on_is_the_donor_s_run_to_the_bit[qwen3_vl]",
    ),
    (
        PAIRS,
        "with record_handed(vlm) as residuals:\n            vlm.run(call)\n        return cls(modality, prompt, call, residuals)",
        "with vlm.record_outputs() as outputs:\n            vlm.run(call)\n"
        "        return cls(modality, prompt, call, list(outputs.values()))",
        HANDED + "test_the_lens_reads_what_a_layer_hands_on",
    ),
    (
        EXACT,
        "start = started(vlm, layer - 1, ",
        "start = vlm.resume(layer, ",
        HANDED + "test_a_node_patched_from_its_layer_on_is_the_node_patched_in_a_whole_run[qwen3_vl]",
    ),
    # cross-patching (methods §11)
    (
        CROSS,
        "logits = vlm.run(mixed)",
        "logits = vlm.run(call)",
        CROSSED + "test_features_added_between_layers_are_the_donor_s_too[qwen3_vl]",
    ),
    (
        CROSS,
        "theirs = trace(vlm, donor,",
        "theirs = trace(vlm, call,",
        CROSSED + "test_a_patch_at_layer_0_is_the_donor_s_run[image-qwen2_vl-eager]",
    ),
    (
        CROSS,
        "theirs.past.until(stop)",
        "theirs.past.until(stop).take([1, 0])",
        CROSSED + "test_a_patch_with_the_prompt_s_own_states_is_the_clean_run[image-llava-sdpa]",
    ),
    (
        CROSS,
        "own.resumed(vlm, layer), patched",
        "theirs.resumed(vlm, layer), patched",
        BEHIND + "[image-gemma3-sdpa-dtype0]",
    ),
    (CROSS, "shared = _alike(own, theirs, start) and", "shared =", WHOLE + "[qwen2_vl-query]"),
    (
        CROSS,
        " and all(_undisturbed(run, stop) for run in (own, theirs))",
        "",
        CROSSED + "test_patches_below_a_planted_delay_are_undone_by_it[llava-sdpa]",
    ),
    (CROSS, "theirs.streams[layer])})", "theirs.streams[max(layer, 1)])})", WHOLE + "[paligemma-data]"),
    (CROSS, "if past is not None:", "if False:", CROSSED + "test_a_patch_runs_only_the_positions_that_follow_it"),
    # freezing (methods §11)
    (FREEZING, "range(layer + 1, until + 1)", "range(layer + 1, until)", HELD + "[llava-sdpa-image-dtype0]"),
    (FREEZING, "range(layer + 1, until + 1)", "range(layer + 1, until + 2)", HELD + "[gemma3-eager-image-dtype0]"),
    (FREEZING, "*(layer - 1 for layer in others), ", "*others, ", HELD + "[gemma3-sdpa-image-dtype0]"),
    (
        FREEZING,
        "plain.until(self.positions.start)",
        "plain.until(self.positions.start - 1)",
        HELD + "[llava-eager-image-dtype0]",
    ),
    (
        FREEZING,
        "unread = {*(layer - 1 for layer in others), len(self.vlm.layers) - 1}",
        "unread = set()",
        FROZEN + "test_below_the_last_layer_held_only_keys_and_values_of_the_held_positions_are_computed",
    ),
    (
        FREEZING,
        "if self.own.past is not None:",
        "if False:",
        FROZEN + "test_exactly_the_stated_inputs_are_held[llava-sdpa]",
    ),
    # streams and traces
    (
        STREAMS,
        "seen[last] = stream(output)",
        "seen[last] = 0 * stream(output)",
        "tests/test_streams.py::test_what_enters_a_layer_is_what_leaves_the_one_below_and_the_last_leaves_the_model[llava]",
    ),
    (
        TRACE,
        "self.residuals[layer - 1].repeat(times, 1, 1)",
        "self.residuals[layer].repeat(times, 1, 1)",
        BEHIND + "[image-qwen2_vl-sdpa-dtype0]",
    ),
)
