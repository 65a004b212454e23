"""Laws of models and methods broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

VLM = "src/diptych/models/vlm.py"
RESUME = "src/diptych/models/resume.py"
KNOCKOUT = "src/diptych/models/knockout.py"
HOOKS = "src/diptych/models/hooks.py"
CALLS = "src/diptych/models/calls.py"
ENTRY = "src/diptych/models/entry.py"
STACKING = "src/diptych/models/stacking.py"
ENCODE = "src/diptych/models/encode.py"
LOCATE = "src/diptych/locate.py"
SITES = "src/diptych/models/sites.py"
PROCESSOR = "src/diptych/models/processor.py"
INTERVENTIONS = "src/diptych/interventions.py"
BACKPATCH = "src/diptych/backpatch.py"
MEASURED = "src/diptych/experiments/_measured.py"
SWEEP = "src/diptych/experiments/_sweep.py"
ACCURACY = "src/diptych/experiments/accuracy.py"
PANELS = "src/diptych/experiments/_panels.py"
ITEMS = "src/diptych/items.py"
SURVEY = "src/diptych/experiments/_survey.py"
FOLDS = "src/diptych/experiments/_folds.py"

GRID = "src/diptych/grid.py"
THERE = "src/diptych/there.py"
RANKING = "src/diptych/ranking.py"
COMPARE = "src/diptych/compare.py"
SITE = "src/diptych/models/site.py"
EXPERTS = "src/diptych/models/experts.py"
RECORDING = "src/diptych/models/recording.py"
DIGEST = "src/diptych/models/digest.py"

MODEL_MUTATIONS: tuple[Mutation, ...] = (
    # hooks, splice, resume (design §5, adapter §0–3)
    (ENTRY, "lambda module, args, kwargs: (fresh.args, fresh.kwargs)", "lambda module, args, kwargs: (fresh.args, {**fresh.kwargs, 'position_ids': None})", "tests/test_vlm.py::test_the_spliced_run_is_the_plain_forward_to_the_bit[image-qwen2_vl-sdpa]"),
    (ENTRY, "args[0][:, -1:]", "args[0][:, -2:-1]", "tests/test_vlm.py::test_the_plain_forward_is_what_hugging_face_computes[gemma3-sdpa]"),
    (RESUME, "enumerate(layers[:start])", "enumerate(layers[: start + 1])", "tests/test_vlm.py::test_resuming_at_any_layer_is_the_full_run_to_the_bit[text-llava-eager]"),
    (KNOCKOUT, "_inside(asking, rows)[:, None] & _inside(asked, columns)", "_inside(asking, columns)[:, None] & _inside(asked, rows)", "tests/test_vlm.py::test_knocking_out_the_data_makes_the_answer_independent_of_the_picture[qwen2_vl-sdpa]"),
    (HOOKS, "            handle.remove()", "            handle.id", "tests/test_vlm.py::test_nothing_is_left_behind_by_a_context_that_is_interrupted"),
    (VLM, "self.model.requires_grad_(False)", "self.model.requires_grad_(True)", "tests/test_vlm.py::test_weights_are_frozen_and_unchanged[llava]"),
    (STACKING, "m == 2 * n and n > 0", "dim == 0", "tests/test_vlm.py::test_batch_dimensions_are_those_that_double"),
    (CALLS, ".flatten(dim, dim + 1)", ".flatten(0, 1)", "tests/test_vlm.py::test_taking_prompts_of_a_call_follows_each_batch_dimension"),
    (CALLS, "if not same(a.get(name), b.get(name))", "if 'embeds' in name", "tests/test_vlm.py::test_calls_that_differ_in_something_that_cannot_be_interpolated_are_refused"),
    (CALLS, "torch.lerp(b[name].detach(), a[name].detach(), weight)", "torch.lerp(a[name].detach(), b[name].detach(), weight)", "tests/test_vlm.py::test_the_ends_of_the_path_are_the_two_runs[gemma3]"),
    (CALLS, "torch.lerp(b[name].detach(), a[name].detach(), weight)", "a[name].detach().clone()", "tests/test_vlm.py::test_image_positions_are_interpolated[llava]"),
    (STACKING, "part[index] for name", "part[0] for name", "tests/test_stacking.py::test_each_prompt_of_a_batch_is_what_it_is_alone[hunyuan_vl-image]"),
    (KNOCKOUT, "masked_fill(chosen[:, None], 0)", "masked_fill(~chosen[:, None], 0)", "tests/test_knockout.py::test_pictures_that_are_read_by_cross_attention_are_cut_off_with_their_token[no mask]"),
    (LOCATE, "if first < stop and last > start and last > first", "if last <= stop", "tests/test_vlm.py::test_text_data_is_found_by_its_characters[qwen2_vl]"),
    (LOCATE, "(held[0], held[-1] + 1), length", "(held[0], held[-1]), length", "tests/test_vlm.py::test_image_data_runs_from_the_first_to_the_last_image_token[gemma3]"),
    (ENCODE, "    if any(not torch.equal(a.tokens[layout.prefix], b.tokens[layout.prefix]) for _, a, b in pairs):", "    if False:", "tests/test_vlm.py::test_prompts_that_differ_before_their_data_are_refused"),
    (PROCESSOR, '"[IMG_BREAK]".join', '"".join', "tests/test_load.py::test_a_processor_expands_each_picture_of_a_batch"),
    # faithfulness (methods §6)
    (INTERVENTIONS, "torch.lerp(values.to(live.device, live.dtype), by_circuit, inside)", "torch.lerp(values.to(live.device, live.dtype), by_circuit, 1 - inside)", "tests/test_interventions.py::test_the_full_circuit_is_the_clean_run_to_the_bit[text-qwen2_vl-sdpa]"),
    (INTERVENTIONS, "with vlm.edit_inputs(heads | neurons):", "with vlm.edit_inputs(neurons):", "tests/test_interventions.py::test_the_empty_circuit_is_the_counterfactual_run[image-gemma3-sdpa]"),
    (INTERVENTIONS, "with vlm.edit_inputs(heads | neurons):", "with vlm.edit_inputs(heads):", "tests/test_interventions.py::test_ablating_by_mask_equals_a_loop_over_nodes[text-llava-sdpa]"),
    (INTERVENTIONS, "live.unflatten(0, (len(masks), -1))", "live.unflatten(0, (-1, len(masks))).transpose(0, 1)", "tests/test_interventions.py::test_circuits_in_one_batch_equal_circuits_one_by_one[64-qwen2_vl]"),
    (INTERVENTIONS, "if circuit.model != vlm.digest:", "if False:", "tests/test_interventions.py::test_a_circuit_of_another_model_is_refused"),
    # back-patching (methods §10)
    (BACKPATCH, "started(vlm, first, residual)", "started(vlm, first + 1, residual)", "tests/test_backpatch.py::test_a_resumed_cell_equals_a_full_second_pass_to_the_bit[image-qwen2_vl-sdpa]"),
    (BACKPATCH, "overwrite(own[first]", "overwrite(own[first + 1]", "tests/test_backpatch.py::test_patching_a_layer_into_itself_is_the_identity_to_the_bit[llava-sdpa]"),
    (BACKPATCH, "donors[source].to(own[destination].device) for source in column", "donors[column[0]].to(own[destination].device) for source in column", "tests/test_backpatch.py::test_cells_in_one_batch_equal_cells_one_by_one[gemma3]"),
    (BACKPATCH, "own.residuals if sources is None else sources", "own.residuals", "tests/test_backpatch.py::test_the_picture_of_another_prompt_can_be_the_donor"),
    (BACKPATCH, "if min(pair) >= 0 and max(pair) < layers", "if pair[1] >= 0 and pair[1] < layers", "tests/test_backpatch.py::test_a_pair_with_an_end_out_of_range_is_dropped_whole"),
    (INTERVENTIONS, "changed[:, positions] = value[:, positions]", "changed[:] = value[:]", "tests/test_backpatch.py::test_only_the_given_positions_of_the_destination_change"),
    # experiments: nothing is chosen and reported on the same prompts, nothing is dropped silently
    (SURVEY, '"answered wrongly": lambda c: not right[c.clean.id],', "", "tests/test_experiments.py::test_only_correctly_answered_prompts_are_discovered_on_and_every_other_is_counted"),
    (MEASURED, " if self.defined else math.nan", "", "tests/test_experiments.py::test_faithfulness_without_an_effect_is_undefined_for_random_circuits_too"),
    (FOLDS, "minlength=len(self.prompts)) * self.prompts", "minlength=len(self.prompts)).float()", "tests/test_experiments.py::test_the_mean_over_folds_weighs_each_prompt_alike"),
    (SURVEY, '{"no counterfactual of its layout": alone} if alone else {}', "{}", "tests/test_experiments.py::test_only_correctly_answered_prompts_are_discovered_on_and_every_other_is_counted"),
    (ACCURACY, "correct.astype(float), [item.cluster for", "correct.astype(float), [item.id for", "tests/test_experiments.py::test_prompts_of_one_cluster_are_resampled_together"),
    (PANELS, "list(range(which, len(self.scores.prompts), 2))", "list(range(0, len(self.scores.prompts), 2))", "tests/test_experiments.py::test_the_halves_of_a_panel_are_disjoint_and_hold_all_folds"),
    (ITEMS, " and self.fold(other, 2) == self.fold(item, 2)", "", "tests/test_experiments.py::test_contrasts_of_different_halves_share_no_prompt_in_either_panel"),
    (MEASURED, 'return drawn.without("prefix")', "return drawn", "tests/test_experiments.py::test_random_circuits_avoid_the_prefix_and_have_the_size_asked_for"),
    # which nodes there are; experts and recurrences; a model's weights
    (GRID, "object.__setattr__(self, kind, cleared(nodes, there))", "object.__setattr__(self, kind, nodes)", "tests/test_nodes_there.py::test_what_is_not_there_is_zero"),
    (GRID, "object.__setattr__(self, kind, cleared(nodes, there))", "object.__setattr__(self, kind, nodes)", "tests/test_nodes_there.py::test_the_complement_holds_nothing_that_is_not_there"),
    (GRID, "positions * sum(self.there[0]), positions * sum(self.there[1])", "self.heads.numel(), self.neurons.numel()", "tests/test_nodes_there.py::test_sizes_count_what_is_there"),
    (RANKING, "[layer[:, :count] for layer, count in", "[layer for layer, count in", "tests/test_nodes_there.py::test_the_top_is_that_of_the_nodes_that_are_there"),
    (RANKING, "left[above - rank]", "left[above - rank + 1]", "tests/test_nodes_there.py::test_the_top_of_many_scores_is_that_of_a_sort[0.37-few ties]"),
    (RANKING, "high, above = pivot, _count(self.layers, np.greater_equal, pivot)", "high, above = pivot, more", "tests/test_nodes_there.py::test_the_top_of_many_scores_is_that_of_a_sort[0.37-many ties]"),
    (THERE, "return there or (width,) * layers", "return there or (0,) * layers", "tests/test_nodes_there.py::test_a_grid_that_is_not_told_otherwise_has_all_its_nodes"),
    (GRID, 'described = {"layout": self.layout.to_json(), "there": self.there}', 'described = {"layout": self.layout.to_json(), "there": ((), ())}', "tests/test_nodes_there.py::test_a_saved_grid_keeps_what_is_there"),
    (GRID, "        if self.there != other.there:", "        if False:", "tests/test_nodes_there.py::test_grids_of_different_nodes_are_not_combined"),
    (THERE, "if there and (len(there) != layers or", "if there and (len(there) < layers and", "tests/test_nodes_there.py::test_numbers_of_nodes_that_do_not_fit_are_refused"),
    (COMPARE, "collapse()[kind], a.there[kind]", "collapse()[kind], (tuple(a)[kind].shape[2],) * len(a.heads)", "tests/test_nodes_there.py::test_overlaps_are_expected_of_what_is_there"),
    (COMPARE, "tuple((places.stop - places.start) * count", "tuple(a.layout.length * count", "tests/test_nodes_there.py::test_overlaps_are_expected_of_what_is_there"),
    (MEASURED, "    drawn = scores.map(", "    drawn = type(scores)(*scores, scores.layout, scores.model).map(", "tests/test_nodes_there.py::test_random_circuits_are_drawn_from_what_is_there"),
    (SITES, 'if attention is None or (mixer.mixing == "recurrence" and width is None):', 'if attention is None or mixer.mixing == "recurrence":', "tests/test_nodes.py::test_a_recurrence_has_the_heads_it_states_and_they_matter"),
    (SITES, "receiver = _scan_norm(attention, inputs) or receiver", "pass", "tests/test_nodes.py::test_the_heads_of_mamba_are_taken_before_a_norm_that_mixes_them"),
    (SITES, "if len(routed) > 1 or not has_nodes(experts):", "if not has_nodes(experts):", "tests/test_nodes.py::test_experts_that_cannot_be_read_whole_have_no_neurons[ernie4_5_vl_moe]"),
    (EXPERTS, ' and not getattr(experts, "has_post_expert_norm", True)', "", "tests/test_nodes.py::test_experts_that_cannot_be_read_whole_have_no_neurons[muse_spark]"),
    (SITES, "(*MLP, *SHARED)", "MLP", "tests/test_nodes.py::test_without_its_neurons_a_layer_with_experts_writes_nothing[kimi_k25]"),
    (INTERVENTIONS, "    if vlm.sites.unread:", "    if False:", "tests/test_nodes.py::test_a_convolution_has_no_heads_and_ablation_refuses_it"),
    (INTERVENTIONS, "    if call.tokens:", "    if False:", "tests/test_nodes.py::test_layers_that_look_up_token_ids_are_refused_between_texts_and_by_ablation"),
    (CALLS, "if clean.tokens and set(clean.tokens) <= set(differing):", "if False:", "tests/test_nodes.py::test_layers_that_look_up_token_ids_are_refused_between_texts_and_by_ablation"),
    (INTERVENTIONS, "    if circuit.there != vlm.sites.there:", "    if False:", "tests/test_nodes.py::test_a_circuit_that_does_not_say_what_is_there_is_refused"),
    (EXPERTS, "self._written(changed - nodes)", "self._written(nodes - changed)", "tests/test_nodes.py::test_without_its_neurons_a_layer_with_experts_writes_nothing[aria]"),
    (EXPERTS, "return own(experts, hidden, chosen, weights) + self._written(changed - nodes)", "return self._written(changed)", "tests/test_nodes.py::test_unchanged_neurons_of_experts_leave_the_run_as_it_is_to_the_bit[qwen3_vl_moe]"),
    (EXPERTS, " * weights[token, choice, None]", "", "tests/test_nodes.py::test_neurons_of_experts_make_up_what_the_experts_write[aria]"),
    (EXPERTS, "            experts.config = config\n", "            pass\n", "tests/test_nodes.py::test_experts_are_unplugged_when_the_context_closes_also_on_error"),
    (EXPERTS, "            del FUNCTIONS[name]", "            pass", "tests/test_nodes.py::test_experts_are_unplugged_when_the_context_closes_also_on_error"),
    (EXPERTS, "        if name in FUNCTIONS:\n            yield\n            return\n", '        name = f"{name}-{len(FUNCTIONS)}"\n', "tests/test_nodes.py::test_experts_that_are_edited_and_recorded_are_edited_once"),
    (EXPERTS, "values @ matrix if experts.is_transposed else F.linear(values, matrix)", "F.linear(values, matrix)", "tests/test_nodes.py::test_neurons_of_experts_make_up_what_the_experts_write[aria]"),
    (EXPERTS, "for part, matrix in zip(parts, experts.down_proj, strict=True):", "for part, matrix in zip(parts, experts.down_proj.detach().flip(0), strict=True):", "tests/test_nodes.py::test_without_its_neurons_a_layer_with_experts_writes_nothing[qwen3_vl_moe]"),
    (EXPERTS, "self._written(changed - nodes)", "self._written((changed - nodes).detach())", "tests/test_nodes.py::test_the_gradient_at_an_expert_s_neuron_is_what_a_small_change_of_it_does"),
    (EXPERTS, "self._written(changed - nodes)", "self._written((changed - nodes).detach())", "tests/test_nodes.py::test_experts_score_in_every_layer_that_has_them"),
    (RECORDING, "reduce(torch.add, (self.seen[part] for part in site.parts))", "self.seen[site]", "tests/test_nodes.py::test_ablation_holds_every_mixer_and_every_expert[kimi_k25-image]"),
    (SITE, "(self.start * self.width, (self.count - self.stop) * self.width)", "(0, (self.start + self.count - self.stop) * self.width)", "tests/test_nodes.py::test_a_part_of_a_site_sees_zeros_for_the_others"),
    (DIGEST, "return fingerprint(place)", 'return "0"', "tests/test_digest.py::test_random_models_of_two_seeds_are_two_models"),
    (DIGEST, "return folder_digest(Path(place)) if", 'return "0" if', "tests/test_digest.py::test_two_checkpoints_of_one_configuration_are_two_models"),
    (DIGEST, 'or f"{place}@{commit}"', "or place", "tests/test_digest.py::test_a_hub_model_is_known_by_its_commit"),
)  # fmt: skip
