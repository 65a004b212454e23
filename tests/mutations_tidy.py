"""Laws of answers and their values broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

MATCHING = "src/diptych/matching.py"
ROWS = "src/diptych/tasks/_rows.py"
ORDERING = "src/diptych/tasks/ordering.py"
HERE = "tests/test_matching.py::"

VALUE_MUTATIONS: tuple[Mutation, ...] = (
    (MATCHING, "(sum(agreed) - left_out) / 3", "sum(agreed) / 3", HERE + "test_the_soft_accuracy_of_ten_annotators_is_the_official_one"),
    (MATCHING, "/ 3) for left_out", "/ 2) for left_out", HERE + "test_the_soft_accuracy_of_ten_annotators_is_the_official_one"),
    (MATCHING, "FEWEST_ANNOTATORS = 4", "FEWEST_ANNOTATORS = 3", HERE + "test_too_few_annotators_for_a_right_answer_to_score_1_are_refused"),
    (MATCHING, "min(2, len(words))", "1", HERE + "test_popvqa_counts_shared_long_words"),
    (MATCHING, "any(words and len(words & found)", "any(len(words & found)", HERE + "test_what_popvqa_never_matches_is_what_it_does_not_even_match_with_itself"),
    (MATCHING, r"\w{4,}", r"\w{3,}", HERE + "test_popvqa_counts_shared_long_words"),
    (MATCHING, "if word not in ARTICLES] or words", "if word not in ARTICLES]", HERE + "test_what_does_not_change_an_answer_is_normalised_away"),
    (MATCHING, 'return unicodedata.normalize("NFKC", parted)', "return parted", HERE + "test_what_does_not_change_an_answer_is_normalised_away"),
    (MATCHING, '"\\u2212", text)  # the sign', '"", text)  # the sign', HERE + "test_an_alias_is_matched_once_both_are_normalised"),
    (MATCHING, '"" if beside_space or', '"" if', HERE + "test_the_vqa_normaliser_does_what_the_official_one_does"),
    (MATCHING, 'float(found != "" and found in', "float(found in", HERE + "test_an_alias_is_matched_once_both_are_normalised"),
    (MATCHING, "item.accepted if held else (item.answer, *item.accepted)", "(item.answer, *item.accepted)", HERE + "test_the_answer_of_an_item_is_accepted_and_annotators_stay_as_many"),
    (MATCHING, 'f" {words} " in f" {normalise(prompt)} "', "set(words.split()) <= set(normalise(prompt).split())", HERE + "test_a_match_is_echoed_if_the_prompt_holds_the_matched_answer"),
    (MATCHING, "[answer] * len(accepted)", "accepted", HERE + "test_a_match_is_echoed_if_the_prompt_holds_the_matched_answer"),
    (ORDERING, "missing = sum(max(0, per_split - len(task.split(split))) for split in SPLITS)", "missing = 0", "tests/test_tasks.py::test_no_split_of_ordering_is_short"),
    (ROWS, "        picture.open()  #", "        pass  #", "tests/test_folder.py::test_what_is_wrong_is_refused_by_file_and_line_in_every_kind_of_table[a JPEG cut short-metadata.csv]"),
)  # fmt: skip
