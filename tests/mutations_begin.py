"""Prompts captured together and prefixes computed once, broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

BEGINNING = "src/diptych/models/beginning.py"
CAPTURING = "src/diptych/models/capturing.py"
STACKING = "src/diptych/models/stacking.py"
NODES = "src/diptych/models/nodes.py"
PAST = "src/diptych/models/past.py"
INTEGRATE = "src/diptych/attribution/_integrate.py"
DIRECTIONS = "src/diptych/attribution/_directions.py"
INTERVENTIONS = "src/diptych/interventions.py"
MEASURED = "src/diptych/experiments/_measured.py"
HOOKS = "src/diptych/models/hooks.py"
RACING = "src/diptych/racing.py"
MINIMAL = "src/diptych/experiments/minimal_circuit.py"
FOOTPRINT = "src/diptych/footprint.py"

BEGUN = "tests/test_beginning.py::"
STACKED = "tests/test_stacking.py::"
SCORED = BEGUN + "test_scores_behind_a_prefix_are_those_of_whole_runs"
CURVED = BEGUN + "test_circuits_behind_a_prefix_give_what_whole_runs_give[text-qwen2_vl-sdpa]"
OTHERWISE = BEGUN + "test_prompts_that_begin_otherwise_are_run_whole"
ONCE = BEGUN + "test_a_prefix_is_computed_once_where_the_runs_to_come_save_more_than_trying_costs"
KEPT = BEGUN + "test_the_beginning_of_one_prompt_is_kept"
HOOKED = BEGUN + "test_while_anybody_hooks_the_model_runs_are_whole_and_of_the_batch_as_it_is"
OWN = BEGUN + "test_what_transformers_and_accelerate_hook_is_the_model_s_own"
RACED = "tests/test_search.py::"
MINIMAL_TESTS = "tests/test_minimal_circuit.py::"
LEAKING = STACKED + "test_a_model_that_reads_another_prompt_by_more_than_rounding_is_known"

MUTATIONS: tuple[Mutation, ...] = (
    (BEGINNING, "* forwards * count > TRIED", "* forwards > TRIED", ONCE),
    (
        BEGINNING,
        "(end / length - LOST)",
        "(end / length)",
        BEGUN + "test_a_prefix_is_computed_once_where_the_runs_to_come_save_more_than_trying_costs",
    ),
    (BEGINNING, "end) for call in calls)", "end) for call in calls[:1])", OTHERWISE),
    (BEGINNING, "first.take([0] * call.batch)", "call", OTHERWISE),
    (BEGINNING, "Beginning(vlm, end, kept[1].take([0]))", "Beginning(vlm, end, kept[1])", KEPT),
    (
        BEGINNING,
        "return Beginning(vlm) if kept is None else",
        "return Beginning(vlm) if kept is False else",
        BEGUN + "test_a_model_that_cannot_run_later_positions_alone_runs_all[qwen3_5]",
    ),
    (INTEGRATE, "[self.beginning.positions] +=", "[: products.shape[1]] +=", SCORED + "[text-ap-qwen2_vl-sdpa]"),
    (
        INTEGRATE,
        "self.propagation(self.vlm), behind, recomputed",
        "self.propagation(self.vlm), recomputed",
        SCORED + "[text-ap-qwen2_vl-sdpa]",
    ),
    (
        INTEGRATE,
        "return max(1, POSITIONS // positions)",
        "return max(1, positions // POSITIONS)",
        "tests/test_footprint.py::test_short_prompts_share_runs_of_path_points_so_that_more_of_them_take_little_more",
    ),
    (DIRECTIONS, "with self.behind(self.pair), self.vlm", "with self.vlm", SCORED + "[text-low memory-qwen2_vl-sdpa]"),
    (
        INTERVENTIONS,
        "torch.stack(kept)[:, None, start:]",
        "torch.stack(kept)[:, None, : kept[0].shape[0] - start]",
        CURVED,
    ),
    (INTERVENTIONS, "with behind.behind(repeated), ablate_outside", "with behind.behind(call), ablate_outside", CURVED),
    (MEASURED, 'if ablation == "counterfactual" else 0\n', 'if ablation != "mean" else 0\n', CURVED),
    (
        MEASURED,
        "    with beginning.behind(call):\n        clean = vlm.run(call)\n",
        "    clean = vlm.run(call)\n",
        CURVED,
    ),
    (
        FOOTPRINT,
        "rows = prompts * points_at_once(prompts * positions)",
        "rows = prompts",
        "tests/test_footprint.py::test_short_prompts_share_runs_of_path_points_so_that_more_of_them_take_little_more",
    ),
    (
        PAST,
        "if self.found is not None:",
        "if self.found is None:",
        "tests/test_trace.py::test_the_trace_of_a_run_is_the_plain_run_to_the_bit[qwen2_vl-sdpa]",
    ),
    (
        CAPTURING,
        "len(by_picture(ones)) == len(ones) and ",
        "",
        STACKED + "test_prompts_of_a_batch_that_show_one_picture_pass_the_tower_once",
    ),
    (
        CAPTURING,
        " and self.reads_apart(inputs):",
        ":",
        STACKED + "test_each_prompt_of_a_batch_is_what_it_is_alone[hunyuan_vl-image]",
    ),
    (
        CAPTURING,
        "        if form not in self._apart:\n",
        "        if True:\n",
        STACKED + "test_whether_a_model_reads_prompts_apart_is_tried_once_for_prompts_of_one_form",
    ),
    (STACKING, "ROUNDING[found.dtype] * _distance", "0.1 * _distance", LEAKING + "[qwen2_vl-dtype2-0.02]"),
    (
        STACKING,
        '{"input_ids": one["input_ids"].flip(1)}',
        "{}",
        STACKED + "test_words_in_reverse_tell_whether_prompts_without_a_picture_are_read_apart",
    ),
    (BEGINNING, " or not untouched(vlm.model)", "", HOOKED + "[text-llava]"),
    (INTEGRATE, " if untouched(vlm.model) else 1", "", HOOKED + "[text-llava]"),
    (
        BEGINNING,
        "return leaf[..., :end, :seen]",
        "return leaf[..., :end, :end]",
        BEGUN + "test_a_prompt_whose_prefix_sees_what_follows_it_is_run_whole",
    ),
    (HOOKS, 'startswith("transformers.")', 'startswith("torch.")', OWN),
    (HOOKS, ' or hasattr(module, "_hf_hook")', "", OWN),
    (HOOKS, '("forward" not in module.__dict__ or ', "(True or ", OWN),
    (RACING, "(2 + len(margins))", "len(margins)", RACED + "test_a_race_by_hand_counts_two_plain_runs_of_each_look"),
    (
        RACING,
        "if size not in known and size not in found:",
        "if size not in found:",
        RACED + "test_prompts_are_looked_at_in_order_and_again_where_a_size_in_doubt_was_not_run",
    ),
    (
        RACING,
        "place = next(lacking) if place is None else place",
        "place = next(lacking)",
        RACED + "test_prompts_are_looked_at_in_order_and_again_where_a_size_in_doubt_was_not_run",
    ),
    (
        RACING,
        "        return -1.0\n",
        "        return 0.0\n",
        RACED + "test_a_mean_of_exactly_0_passes_once_all_prompts_were_run",
    ),
    (
        RACING,
        "math.sqrt(left / len(seen)))",
        "math.sqrt(left / len(seen)) / 4)",
        RACED + "test_verdicts_of_races_are_those_of_all_prompts_but_for_the_risk_and_cost_less[0.5-7.2]",
    ),
    (
        MINIMAL,
        "self.order[some]",
        "range(some.start, some.stop)",
        MINIMAL_TESTS + "test_a_race_finds_the_size_and_the_faithfulness_of_a_sweep_in_fewer_runs",
    ),
    (
        MINIMAL,
        'kept - self.work.keywords["threshold"] * total',
        "kept",
        MINIMAL_TESTS + "test_the_size_found_passes_and_the_next_smaller_one_was_run_and_fails",
    ),
    (
        MINIMAL,
        "torch.cat([part.of(circuit) for part in parts])",
        "torch.cat([part.of(circuit) for part in parts[::-1]])",
        MINIMAL_TESTS + "test_a_look_in_smaller_parts_measures_the_same",
    ),
    (
        MEASURED,
        "above = value(logits) - value(self.both.counterfactual)",
        "above = value(logits)",
        MINIMAL_TESTS + "test_effects_are_those_of_circuits_measured_together[qwen2_vl]",
    ),
    (
        NODES,
        "look(part.nodes(_apart(gradient, prompts)))",
        "look(part.nodes(_apart(gradient, prompts)) * 2)",
        "tests/test_plain_path.py::test_scores_are_those_of_a_plain_loop[qwen2_vl-sdpa]",
    ),
    (
        NODES,
        "live = args[0].view_as(args[0])",
        "live = args[0].detach()",
        "tests/test_plain_path.py::test_scores_are_those_of_a_plain_loop[qwen2_vl-sdpa]",
    ),
    (
        MEASURED,
        "return -above if self.metric in TOWARDS_COUNTERFACTUAL else above",
        "return above",
        MINIMAL_TESTS + "test_a_metric_that_grows_towards_the_counterfactual_is_raced_as_others_are",
    ),
)
