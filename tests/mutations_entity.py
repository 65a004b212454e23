"""Laws of the entity gap broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

GAPS = "src/diptych/gaps.py"
ASKED = "src/diptych/experiments/_asked.py"
ROWS = "src/diptych/experiments/_gap_rows.py"
GAP = "src/diptych/experiments/entity_gap.py"
ITEMS = "src/diptych/items.py"
ENTITIES = "src/diptych/tasks/entities.py"
HYPOTHESES = "src/diptych/statistics/hypotheses.py"
ESTIMATES = "src/diptych/statistics/estimates.py"
GENERATE = "src/diptych/models/generate.py"

NUMBERS = "tests/test_gaps.py::"
HERE = "tests/test_entity_gap.py::"
SIGNS = "tests/test_statistics.py::test_the_signed_rank_test_of_ties_is_that_of_all_signs[values1]"
ZEROS = "tests/test_statistics.py::test_zeros_take_ranks_in_wilcoxon_and_then_drop_out"
CARRIED = "tests/test_generate_edits.py::test_an_edit_of_the_prompt_is_carried_on_by_the_cache"

ENTITY_MUTATIONS: tuple[Mutation, ...] = (
    (GAPS, "columns[0, rows].mean() for", "columns[0, rows].sum() for", NUMBERS + "test_each_entity_counts_alike_however_many_questions_it_has"),
    (GAPS, "from_text - from_image", "abs(from_text - from_image)", NUMBERS + "test_no_gap_is_found_where_none_is_planted"),
    (ESTIMATES, "np.append(cluster_sums(columns, members)[0], [low * size, high * size])", "np.append(cluster_sums(columns, members)[0], [0 * size, 0 * size])", "tests/test_statistics.py::test_values_that_are_all_alike_still_have_an_interval_that_shrinks_with_their_number"),
    (ESTIMATES, "taken = expanded(level, len(members)) if", "taken = level if", "tests/test_statistics.py::test_few_clusters_get_a_wider_interval_than_plain_percentiles"),
    (GAPS, "names, bounds, level=level)", "names, bounds, level=0.8)", NUMBERS + "test_the_interval_of_sixty_entities_holds_the_planted_gap_as_often_as_it_says"),
    (GAPS, "return wilcoxon(self.differences)", "return wilcoxon(self.differences.repeat(10))", NUMBERS + "test_the_p_value_is_that_of_the_entities_not_of_the_questions"),
    (ASKED, "return self.item.wording[0] if modality", "return self.item.query if modality", HERE + "test_an_answer_in_the_name_is_echoed_from_text_alone"),
    (ASKED, "for answer in accepted)", "for answer in [self.text])", HERE + "test_a_right_answer_that_stands_in_the_question_may_be_an_echo"),
    (ASKED, "accepted_answers(self.naming)) > 0", "[self.naming.answer]) > 0", HERE + "test_only_entities_that_are_named_by_name_or_alias_count_as_identified"),
    (ASKED, "== len(accepted)", "> 0", HERE + "test_answers_of_short_words_alone_are_told"),
    (ASKED, "not item.paired,", "False,", HERE + "test_questions_that_cannot_be_asked_both_ways_of_a_known_entity_are_dropped_and_counted"),
    (ASKED, "(item.id for item in ordered)", "(item.id for item in items)", HERE + "test_an_organism_names_countries_and_answers_by_name_and_by_flag"),
    (ROWS, 'one.identified(match) and one.right("text", match) > 0', "one.identified(match)", HERE + "test_the_control_is_of_questions_that_are_answered_from_text"),
    (ROWS, '{**row, "Wilcoxon p": None} if', "row if", HERE + "test_the_control_is_of_questions_that_are_answered_from_text"),
    (ROWS, "[one for one in asked if one.identified(other)], other", "[one for one in asked if one.identified(match)], other", HERE + "test_only_entities_that_are_named_by_name_or_alias_count_as_identified"),
    (ROWS, "adjusted = holm(", "adjusted = list(", HERE + "test_types_and_questions_are_families_of_their_own_with_adjusted_p_values"),
    (ROWS, "if len(names) < 2:", "if len(names) < 1:", HERE + "test_types_and_questions_are_families_of_their_own_with_adjusted_p_values"),
    (GAP, "else 100 * value", "else value", HERE + "test_figures_hold_the_rows_numbers"),
    (GAP, 'if row["gap"] is None:', "if False:", HERE + "test_of_a_model_that_names_nobody_no_gap_is_told"),
    (ITEMS, "plain_digest(told + named)", "plain_digest(told)", "tests/test_items.py::test_the_digest_changes_with_every_field_of_a_task[naming]"),
    (ITEMS, 'if not item.has("image")]', "if False]", "tests/test_items.py::test_a_task_that_is_inconsistent_is_refused[a name without a picture]"),
    (ENTITIES, "if key in asked and entity.picture)", "if entity.picture)", "tests/test_entities.py::test_questions_come_with_those_for_names_of_pictured_entities_that_are_asked_about"),
    (HYPOTHESES, "stats.rankdata(np.abs(values)))[values != 0]", "stats.rankdata(np.abs(values[values != 0])))", ZEROS),
    (HYPOTHESES, "chance[positive:].sum()", "chance[positive + 1 :].sum()", SIGNS),
    (HYPOTHESES, "np.rint(2 * ", "np.rint(1 * ", SIGNS),
    (ESTIMATES, 'method="wilson"', 'method="exact"', "tests/test_statistics.py::test_the_interval_of_a_share_is_wilson_s"),
    (GENERATE, "output: opened.close())", "output: None)", CARRIED + "[gemma3-sdpa-residuals]"),
)  # fmt: skip
