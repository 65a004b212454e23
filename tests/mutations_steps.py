"""Mutations of the searches for the minimal circuit."""

from mutations import Mutation

FAITHFULNESS = "src/diptych/faithfulness.py"
RACING = "src/diptych/racing.py"
SEARCHED = "tests/test_search.py::"

STEPS_MUTATIONS: tuple[Mutation, ...] = (
    (
        FAITHFULNESS,
        "found = bisect_left(sizes, True, key=passes)",
        "found = bisect_left(sizes, True, hi=len(sizes) - 1, key=passes)",
        SEARCHED + "test_on_a_rising_curve_a_search_finds_what_a_sweep_does",
    ),
    (
        FAITHFULNESS,
        "found = bisect_left(sizes, True, key=passes)",
        "found = next((i for i, size in enumerate(sizes) if passes(size)), len(sizes))",
        SEARCHED + "test_27_sizes_are_searched_by_5_at_most",
    ),
    (
        FAITHFULNESS,
        "return sizes[found] if found < len(sizes) else None",
        "return sizes[min(found + 1, len(sizes) - 1)] if found < len(sizes) else None",
        SEARCHED + "test_on_any_curve_the_size_found_passes_and_the_next_smaller_one_was_tried_and_fails",
    ),
    (
        RACING,
        "level = risk / (len(parts) * max(1, math.ceil(math.log2(len(sizes) + 1))))",
        "level = 30 * risk",
        SEARCHED + "test_a_verdict_close_to_0_is_wrong_as_rarely_as_the_risk_says",
    ),
    (RACING, "if look < 2 or", "if", SEARCHED + "test_a_race_that_could_not_doubt_is_refused[given0]"),
)
