"""Laws of the page of findings, and of numbers that it needs, broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

PAGE = "scripts/findings_page/"
KEPT = "scripts/findings_kept.py"
HERE = "tests/test_findings_page.py::"
GAIN = HERE + "test_a_gain_counts_if_its_interval_is_above_zero_and_again_if_it_survives_holm"
DELAY = HERE + "test_a_delay_is_a_lag_above_zero_and_what_is_undefined_has_its_reason"
SIZES = HERE + "test_a_small_niou_of_circuits_of_different_sizes_is_read_against_the_highest_possible"
PARTS = HERE + "test_the_parts_of_a_repair_are_judged_only_where_there_is_one"
WORDS = "tests/test_docs_words.py::"
CELLS = "src/diptych/experiments/cell_prediction.py"
VIEW = "src/diptych/experiments/_view.py"
PANELS = "src/diptych/experiments/_similarity.py"

TEXT_MUTATIONS: tuple[Mutation, ...] = (
    (PAGE + "record.py", "holm(list(known.values()))", "list(known.values())", GAIN),
    (PAGE + "repair.py", 'items() if above(kept["gain"])]', 'items() if kept["gain"][0] > 0]', HERE + "test_a_gain_that_may_be_none_is_not_counted"),
    (PAGE + "repair.py", "p_values.get(of, 1) <= LEVEL", "True", GAIN),
    (PAGE + "repair.py", "items() if below(", "items() if above(", GAIN),
    (PAGE + "flow.py", '"later" if above(lag["layer"])', '"later" if lag["layer"][0] > 0', DELAY),
    (PAGE + "flow.py", '        return "undefined"', '        return "earlier"', DELAY),
    (PAGE + "flow.py", "        *reasons(record),\n", "", DELAY),
    (PAGE + "table.py", "value for value in given if value is not None", "value or 0 for value in given", DELAY),
    (PAGE + "similarity.py", "if p_values[of] <= LEVEL", "if True", HERE + "test_a_peak_of_similarity_without_a_p_value_is_not_counted"),
    (PAGE + "overlap.py", "is not None and not above(", "is not None and above(", SIZES),
    (PAGE + "overlap.py", 'kept["data"]["nIoU"][1] is not None and not', "not", HERE + "test_an_overlap_without_an_interval_is_no_overlap_like_chance"),
    (PAGE + "overlap.py", "p['highest possible']", "p['nIoU'][0]", SIZES),
    (PAGE + "overlap.py", "        *undefined(record),\n", "", HERE + "test_an_overlap_that_the_sizes_decide_is_told_to_be_undefined"),
    (PAGE + "repair.py", "if gap and 0 < gain / gap <= 1", "if gap", HERE + "test_the_share_of_the_gap_is_of_all_pairs_and_beside_it_as_the_paper_averages_it"),
    (PAGE + "record.py", 'if "refused" in one:', "if False:", HERE + "test_an_experiment_that_refuses_is_told_with_its_reason"),
    (PAGE + "guided.py", 'if above(kept["whole"])', "if True", PARTS),
    (PAGE + "guided.py", '["p"] <= EACH', '["p"] < EACH', PARTS),
    (PAGE + "size.py", "for centre in (average, middle)]", "for centre in (middle, middle)]", HERE + "test_means_stand_beside_medians_where_the_paper_tells_means"),
    (PAGE + "table.py", "_of_defined(fmean,", "_of_defined(median,", HERE + "test_means_stand_beside_medians_where_the_paper_tells_means"),
    (PAGE + "guided.py", "sum(one[0] is not None for one in changes)", "len(changes)", HERE + "test_changes_of_an_overlap_are_counted_of_those_that_are_defined"),
    (PAGE + "repair.py", 'kept["gain on select"] for kept', 'kept["gain"][0] for kept', HERE + "test_gains_on_the_prompts_that_a_cell_was_chosen_on_stand_beside_those_on_others"),
    (PAGE + "size.py", 'record.panels("faithfulness_curve").items():', 'list(record.panels("faithfulness_curve").items())[1:]:', HERE + "test_every_table_of_a_section_has_a_row_for_every_pair"),
    (KEPT, 'note.partition("): ")[2]', '""', HERE + "test_the_record_keeps_why_a_layer_is_undefined"),
    (KEPT, "if not (row[\"difference low\"] or 0) > 0", "if row[\"difference low\"] is None", HERE + "test_the_lens_reads_an_answer_from_the_layer_on_which_all_later_ones_do"),
    (KEPT, "if math.isfinite(value) else None", "if True else None", HERE + "test_numbers_of_the_record_have_four_digits_and_none_is_not_finite"),
    ("scripts/findings_made.py", "by_process[host, process]", "by_process[host, host]", HERE + "test_machine_time_is_that_between_the_lines_of_one_process"),
    ("docs/glossary.md", "`diptych.Grid.top`", "`diptych.Grid.upper`", WORDS + "test_each_word_of_the_glossary_lives_where_it_says"),
    ("docs/glossary.md", "| reading layer |", "| critical layer |", WORDS + "test_no_word_is_in_the_glossary_twice"),
    ("docs/paper-compat.md", '| `"filtered"`:', "| filtered:", WORDS + "test_each_departure_of_the_papers_code_has_a_row_with_both_values"),
    ("docs/paper-compat.md", "iou=0.5, expected=0.2", "iou=0.5, expected=0.1", WORDS + "test_the_example_of_the_page_on_the_papers_gives_what_it_says"),
    ("docs/errors.md", "## Damaged\n", "## Broken\n", WORDS + "test_each_class_of_errors_has_a_section_and_no_other"),
    ("docs/errors.md", "Combine grids of one model.", "Combine grids.", WORDS + "test_each_message_on_the_page_is_one_that_the_package_gives"),
    ("docs/errors.md", "| `statistics` |", "| `numbers` |", WORDS + "test_each_part_of_the_package_that_raises_errors_is_on_the_page"),
    (CELLS, "if min(np.ptp(a), np.ptp(b)) > 0", "if True", "tests/test_cell_prediction.py::test_where_no_cell_changes_an_answer_predictions_have_no_rank_correlation"),
    (VIEW, "dict(zip(WRITTEN, (self.total(), own, other), strict=True))", "dict(zip(WRITTEN, (self.total(), other, own), strict=True))", "tests/test_node_view.py::test_the_view_names_the_head_that_reads_more_than_an_even_spread_and_sums_what_is_written"),
    (PANELS, "dict(zip(PEAK, self.peak(self.beyond(\"centred\"))", "dict(zip(PEAK, self.peak(-self.beyond(\"centred\"))", "tests/test_panels.py::test_the_similarity_of_each_layer_is_told_with_its_baselines"),
)  # fmt: skip
