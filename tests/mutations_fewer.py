"""Mutations of what is computed less of: prompts that a circuit needs no more."""

from mutations import Mutation

ROUNDS, CURVE = "src/diptych/experiments/_rounds.py", "src/diptych/experiments/faithfulness_curve.py"
TESTS = "tests/test_rounds.py::"
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
)  # fmt: skip
