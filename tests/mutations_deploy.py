"""Mutations of generation, of deployed back-patches and of free answers."""

from mutations import Mutation

APPLIED = "src/diptych/models/applied.py"
READING = "src/diptych/models/reading.py"
GENERATE = "src/diptych/models/generate.py"
STACKING = "src/diptych/models/stacking.py"
CALLS = "src/diptych/models/calls.py"
DEPLOYED = "src/diptych/deployed.py"
FREE = "src/diptych/experiments/free_accuracy.py"
ANSWERS = "src/diptych/experiments/free_answers.py"
VQAV2 = "src/diptych/tasks/vqav2.py"
CHOSEN = "src/diptych/experiments/_chosen.py"
REPAIR = "src/diptych/cli_repair.py"

DEPLOY_MUTATIONS: tuple[Mutation, ...] = (
    (APPLIED, "deepcopy(leaf, {id(stream_of_copies): stream_of_copies})", "leaf", "tests/test_deployed.py::test_the_cache_is_that_of_one_prefill_and_the_first_pass_leaves_none[llava-sdpa]"),
    (READING, "(held.cumsum(1) > 0) & (held.flip(1).cumsum(1).flip(1) > 0)", "held", "tests/test_deployed.py::test_several_pictures_are_patched_from_the_first_to_the_last_image_token[qwen2_vl]"),
    (APPLIED, "if layer == last < len(layers) - 1:", "if False:", "tests/test_deployed.py::test_a_prefill_runs_the_layers_up_to_the_source_once_more_per_round_and_a_step_runs_each_once[2-0-1-1]"),
    (APPLIED, "for _ in range(self.rounds):", "for _ in range(1):", "tests/test_deployed.py::test_what_is_generated_equals_the_experiment_s_two_passes[2-llava-sdpa]"),
    (APPLIED, "            edit_handed(layers, _overwriting(where, values)),\n", "", "tests/test_deployed.py::test_what_is_generated_equals_the_experiment_s_two_passes[2-qwen2_vl-eager]"),
    (APPLIED, "with edit_handed(self._layers, _overwriting(where, values)):", "with edit_handed(self._layers, {}):", "tests/test_deployed.py::test_what_is_generated_equals_the_experiment_s_two_passes[1-gemma3-sdpa]"),
    (APPLIED, 'if "logits_to_keep" in twin_kwargs:', "if False:", "tests/test_deployed.py::test_so_it_does_where_generation_runs_the_last_layers_at_the_last_position_alone"),
    (DEPLOYED, "self.layers is not None and self.src >= self.layers", "False", "tests/test_deployed_value.py::test_a_patch_that_is_none_is_refused[cell5-is for models of 0 layers]"),
    (DEPLOYED, "except InputError as error:", "except KeyError as error:", "tests/test_deployed_value.py::test_a_file_that_is_not_of_this_form_is_refused[change8-from layer 3 into layer 9]"),
    (APPLIED, "torch.where(there, other, live)", "other.expand_as(live)", "tests/test_deployed.py::test_of_a_batch_only_prompts_with_pictures_are_patched"),
    (READING, "not bool(held.any()) or ", "", "tests/test_deployed.py::test_a_prompt_without_pictures_is_left_alone_at_no_cost"),
    (READING, "        if before:\n", "        if False:\n", "tests/test_deployed_calls.py::test_a_picture_behind_a_cached_beginning_is_refused"),
    (READING, "    if not before:\n", "    if False:\n", "tests/test_deployed_calls.py::test_embeddings_without_their_tokens_are_refused"),
    (READING, "self._call.ids, self._call.shown = None, False", "pass", "tests/test_deployed_calls.py::test_the_tokens_of_one_call_are_not_taken_for_those_of_the_next"),
    (APPLIED, 'if hasattr(decoder.forward, "applied"):', "if False:", "tests/test_deployed_calls.py::test_a_second_patch_on_one_model_is_refused_and_the_first_stays"),
    (APPLIED, "        self._open.close()", "        pass", "tests/test_deployed_calls.py::test_apply_lasts_until_it_is_removed_once_or_twice"),
    (APPLIED, "        require_eval(self.model, self._layers)\n", "", "tests/test_deployed_calls.py::test_a_compiled_model_and_one_in_training_are_refused"),
    (APPLIED, "        require_not_compiled(self.model)\n", "", "tests/test_deployed_calls.py::test_a_compiled_model_and_one_in_training_are_refused"),
    (APPLIED, "            with self._turn:\n", "            if True:\n", "tests/test_deployed_calls.py::test_threads_that_share_a_patched_model_write_what_they_write_alone"),
    (READING, " or (before and not self._shown)", "", "tests/test_deployed_calls.py::test_image_tokens_that_are_only_written_are_no_picture"),
    (READING, "        raise InputError(\n            \"A back-patched model cannot", "        raise KeyError(\n            \"A back-patched model cannot", "tests/test_deployed_calls.py::test_a_patched_model_is_not_copied"),
    (CALLS, "replace(tree, **inside) if is_dataclass(tree) else inside", "inside", "tests/test_deployed.py::test_so_it_does_for_other_architectures[chameleon]"),
    (DEPLOYED, "if not 0 <= self.dst <= self.src:", "if not self.dst <= self.src:", "tests/test_deployed_value.py::test_a_patch_that_is_none_is_refused[cell1-from layer 1 into layer -1 is not one]"),
    (DEPLOYED, "self.architecture or found[0], self.layers or found[1]", "found[0], self.layers or found[1]", "tests/test_deployed_value.py::test_a_patch_for_another_model_is_refused[patch2-for qwen2_vl of 4 layers; this model is llava of 4]"),
    (DEPLOYED, "if self.src >= layers:", "if self.src > layers:", "tests/test_deployed_value.py::test_a_patch_for_another_model_is_refused[patch0-reads layer 4; LlavaForConditionalGeneration has layers 0 to 3]"),
    (DEPLOYED, "type(told.get(name)) is not kind", "not isinstance(told.get(name), kind)", "tests/test_deployed_value.py::test_a_file_that_is_not_of_this_form_is_refused[change4-says True for 'rounds']"),
    (DEPLOYED, "if self.architecture is None or self.layers is None:", "if False:", "tests/test_deployed_value.py::test_a_patch_for_no_model_in_particular_is_not_saved"),
    (GENERATE, "opened.close())", "None)", "tests/test_generate.py::test_every_token_after_the_first_is_written_without_edits"),
    (GENERATE, "batch_size if vlm.stacks(prompts[places[0]].inputs) else 1", "batch_size", "tests/test_generate.py::test_prompts_generated_together_are_those_generated_one_by_one[image-molmo2]"),
    (GENERATE, "        _require_every_layer(vlm, before)\n", "", "tests/test_generate.py::test_a_run_that_skips_layers_cannot_be_gone_on_with"),
    (GENERATE, "        model.generation_config = own", "        pass", "tests/test_generate.py::test_an_error_leaves_no_hook_and_the_model_s_own_settings"),
    (GENERATE, "    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=ends or None, pad_token_id=padding)\n", "", "tests/test_generate.py::test_the_checkpoint_s_settings_but_its_end_tokens_are_left_aside"),
    (GENERATE, "if token in ends)", "if token < 0)", "tests/test_generate.py::test_the_checkpoint_s_settings_but_its_end_tokens_are_left_aside"),
    (GENERATE, "[found[place] for place in range(len(prompts))]", "list(found.values())", "tests/test_generate.py::test_prompts_of_several_shapes_keep_their_order_and_each_batch_its_places"),
    (GENERATE, "edits(places) if edits", "edits(range(len(places))) if edits", "tests/test_generate.py::test_prompts_of_several_shapes_keep_their_order_and_each_batch_its_places"),
    (STACKING, "<= ROUNDING[found.dtype] * _distance", "<= 10 * _distance", "tests/test_generate.py::test_a_model_that_mixes_the_pictures_of_a_batch_is_known[molmo2]"),
    (STACKING, "% 2 / 2)", "* 0)", "tests/test_generate.py::test_a_model_that_mixes_the_pictures_of_a_batch_is_known[qwen2_vl]"),
    (ANSWERS, 'if patch and modality != "image":', "if False:", "tests/test_free_accuracy.py::test_a_text_panel_cannot_be_patched_and_an_empty_one_not_be_asked"),
    (FREE, '"cell": cell, "rounds": rounds}', '"cell": None, "rounds": rounds}', "tests/test_free_accuracy.py::test_the_patched_panel_is_what_the_experiment_s_cell_writes_and_its_gain_is_paired"),
    (VQAV2, 'answered.get("image_id") != number', "False", "tests/test_vqav2.py::test_files_that_do_not_fit_together_are_refused_by_their_question"),
    (VQAV2, 'known.get(record.get("question_id"), {}).get("answer_type", answer_type)', "answer_type", "tests/test_vqav2.py::test_only_questions_of_the_answer_type_are_used_and_as_many_as_asked_for"),
    (VQAV2, '"cluster": number', '"cluster": record.get("question_id")', "tests/test_vqav2.py::test_questions_are_joined_with_their_annotations_and_pictures"),
    (FREE, "gains = self.scores - plain.scores", "gains = self.scores", "tests/test_free_accuracy.py::test_what_was_matched_echoed_and_left_empty_is_counted_by_hand"),
    (ANSWERS, "with patch.apply(vlm.model) if patch else nullcontext():", "with nullcontext():", "tests/test_free_accuracy.py::test_the_patched_panel_is_what_the_experiment_s_cell_writes_and_its_gain_is_paired"),
    (FREE, '            matcher(match)("", accepted_answers(item))', "            pass", "tests/test_free_accuracy.py::test_a_matcher_that_cannot_judge_an_item_is_refused_before_anything_is_generated"),
    (FREE, 'if cell and "image" not in items:', "if False:", "tests/test_free_accuracy.py::test_a_cell_for_a_task_without_pictures_is_refused"),
    (CHOSEN, '_above(told["low"], 0) and ', "", "tests/test_cli_repair.py::test_a_gain_beats_the_null_if_its_interval_is_above_0_and_it_is_above_what_its_cell_must_gain[told3-False]"),
    (CHOSEN, ' and _above(told["gain"], told["null 95%"])', "", "tests/test_cli_repair.py::test_a_gain_beats_the_null_if_its_interval_is_above_0_and_it_is_above_what_its_cell_must_gain[told1-False]"),
    (CHOSEN, 'row["panel"] == "image"', 'row["panel"] == "text"', "tests/test_cli_repair.py::test_a_gain_beats_the_null_if_its_interval_is_above_0_and_it_is_above_what_its_cell_must_gain[told0-True]"),
    (REPAIR, 'if told["beats the null"]:', "if True:", "tests/test_cli_repair.py::test_a_gain_beats_the_null_if_its_interval_is_above_0_and_it_is_above_what_its_cell_must_gain[told1-False]"),
)  # fmt: skip
