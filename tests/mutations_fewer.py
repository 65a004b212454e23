"""Mutations of what is computed less of: prompts that a circuit needs no more, and what several questions share."""

from mutations import Mutation

ROUNDS, CURVE = "src/diptych/experiments/_rounds.py", "src/diptych/experiments/_ranked.py"
ONCE, ASKED, TRACE, PAST, CALLS = (
    f"src/diptych/models/{name}.py" for name in ("once", "questions", "trace", "past", "calls")
)
ACCURACY = "src/diptych/experiments/accuracy.py"
BEGINNING = "src/diptych/models/beginning.py"
TESTS, QUESTIONS = "tests/test_rounds.py::", "tests/test_questions.py::"
ALIKE = QUESTIONS + "test_questions_behind_what_they_share_are_answered_as_whole_prompts[llava-sdpa-image]"
OTHER = QUESTIONS + "test_a_picture_that_differs_in_one_pixel_is_another_picture[llava]"
WRITTEN = QUESTIONS + "test_what_is_remembered_is_not_what_callers_wrote_into"
ORDER = QUESTIONS + "test_accuracy_asks_what_is_about_one_picture_together_and_tells_it_in_the_task_s_order"
LATER = QUESTIONS + "test_only_the_first_question_of_a_picture_runs_the_positions_of_the_picture[gemma3-eager]"
SHARES = TESTS + "test_the_first_prompts_hold_of_each_fold_its_share_and_are_part_of_more[2]"
HALVES = TESTS + "test_agreement_is_the_jaccard_index_of_even_and_odd_folds_by_hand"
EMPTY = TESTS + "test_an_empty_half_agrees_with_nothing_and_a_kind_without_nodes_says_nothing"
STOPS = TESTS + "test_prompts_are_scored_until_their_halves_agree_as_asked"
TELLS = TESTS + "test_a_stop_tells_what_was_used_and_reached_and_what_was_left"
KNOWN = TESTS + "test_what_was_discovered_on_is_known_from_the_result"

FEWER_MUTATIONS: tuple[Mutation, ...] = (
    (ROUNDS, "count = math.ceil(count * GROWTH)", "count = math.floor(count * GROWTH) + 1", TESTS + "test_rounds_grow_until_no_prompt_is_left"),
    (ROUNDS, "range(half, len(scores.prompts), 2) for half", "range(half * len(scores.prompts) // 2, (half + 1) * len(scores.prompts) // 2) for half", HALVES),
    (ROUNDS, "self.order(scores.mean(half))", "scores.mean(half)", TESTS + "test_signed_scores_are_ranked_as_their_circuits_are"),
    (ROUNDS, "return min((iou", "return max((iou", HALVES),
    (ROUNDS, "if not math.isnan(iou)), default=math.nan", "), default=math.nan", EMPTY),
    (ROUNDS, "if reached[count] >= self.asked", "if reached[count] > self.asked", STOPS),
    (ROUNDS, "slice(start, count)", "slice(0, count)", STOPS),
    (ROUNDS, "math.isnan(agreed) else agreed,", "math.isnan(agreed) else max(self.reached.values()),", TESTS + "test_an_agreement_that_falls_again_is_told_as_it_is"),
    (ROUNDS, "| ({LEFT: left} if left else {})", "", TELLS),
    (ROUNDS, "(place + 0.5) / len(part)", "place", SHARES),
    (ROUNDS, "key=lambda one: plain_digest([\"round\", one.clean.id])", "key=lambda one: 0", TESTS + "test_the_first_prompts_do_not_depend_on_the_order_of_the_data"),
    (ROUNDS, '    if not told.get("stopped early"):\n        return chosen\n', "", TESTS + "test_prompts_of_other_contrasts_are_all_kept_where_nothing_was_left"),
    (CURVE, 'discovered_on(chosen["discover"], found)', 'chosen["discover"]', TESTS + "test_means_over_discover_prompts_are_of_those_used"),
    (ASKED, "[behind[place] for place in places]", "[behind[places[0]] for place in places]", ALIKE),
    (ASKED, "kept[1].take([row]) for row, place", "kept[1].take([0]) for row, place", ALIKE),
    (ASKED, "if len(group) > 1]", "if len(group) > 2]", QUESTIONS + "test_two_questions_are_enough_to_share"),
    (BEGINNING, "| {name: before(leaf) for name, leaf in call.leaves().items()}", "", OTHER),
    (BEGINNING, "return leaf[..., :end, :seen]", "return leaf", LATER),
    (TRACE, "(found[0], found[1].until(end))", "(found[0], found[1])", ALIKE),
    (PAST, "torch.cat([v for _, v in both])", "torch.cat([v for _, v in both[::-1]])", ALIKE),
    (ONCE, "return same(one, other) if", "return one.shape == other.shape if", OTHER),
    (ONCE, "return _copied(found)", "return found", WRITTEN),
    (ONCE, "known.append((given, _copied(output)))", "known.append((given, output))", WRITTEN),
    (ONCE, "rebuild(_copied(tree), \"\", found.setdefault)", "rebuild(tree, \"\", found.setdefault)", WRITTEN),
    (ONCE, "if len(places) > 1 else nullcontext()", "if len(places) > 99 else nullcontext()", QUESTIONS + "test_a_picture_passes_the_vision_tower_once[llava]"),
    (ONCE, "isinstance(one, Tensor | PLAIN)", "True", QUESTIONS + "test_only_tensors_and_plain_values_are_compared_by_value"),
    (CALLS, 'make = getattr(type(tree), "_make", type(tree))', "make = type(tree)", QUESTIONS + "test_a_named_tuple_is_made_anew_as_one"),
    (ACCURACY, "back = np.argsort(order).tolist()", "back = order", ORDER),
    (ACCURACY, "clusters[items[place].cluster])", "0)", ORDER),
    (ACCURACY, "to_lines([lines[k] for k in back])", "to_lines(lines)", ORDER),
)  # fmt: skip
