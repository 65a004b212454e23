"""Mutations of the memory that attribution needs, and of what is kept of prompts."""

from mutations import Mutation

FOOTPRINT = "src/diptych/footprint.py"
RECENT = "src/diptych/models/recent.py"
PROMPTS = "src/diptych/models/prompts.py"
CALLS = "src/diptych/models/calls.py"
HELD = "tests/test_footprint.py::"
KEPT = "tests/test_recent.py::"

GROW_MUTATIONS: tuple[Mutation, ...] = (
    (
        FOOTPRINT,
        "2 * self.keys + 3 * self.neurons",
        "2 * self.keys + self.neurons",
        HELD + "test_a_large_model_needs_what_its_layers_hold",
    ),
    (
        FOOTPRINT,
        "self.layers * 2 * self.values",
        "self.layers * self.values",
        HELD + "test_a_large_model_needs_what_its_layers_hold",
    ),
    (
        FOOTPRINT,
        "prompts * (sums + pair + directions) + scores",
        "prompts * (sums + pair + directions)",
        HELD + "test_what_is_held_at_most_is_what_the_formula_says[llava-1-low]",
    ),
    (
        FOOTPRINT,
        "during = prompts * sums + rows * (self.layers * stream",
        "during = sums + rows * (self.layers * stream",
        HELD + "test_memory_grows_with_positions_prompts_and_layers",
    ),
    (RECENT, "popitem(last=False)", "popitem()", KEPT + "test_values_asked_for_longest_ago_are_dropped_first"),
    (RECENT, "self._kept.move_to_end(key)", "pass", KEPT + "test_values_asked_for_longest_ago_are_dropped_first"),
    (
        PROMPTS,
        "key = (id(item), modality, vlm.pixels,",
        "key = (id(item), modality,",
        KEPT + "test_prompts_of_another_item_panel_or_pixels_are_their_own",
    ),
    (
        PROMPTS,
        "key = (id(item), modality,",
        "key = (item.id, modality,",
        KEPT + "test_prompts_of_another_item_panel_or_pixels_are_their_own",
    ),
    (
        CALLS,
        "if rows == list(range(self.batch)):",
        "if len(rows) == self.batch:",
        "tests/test_vlm.py::test_all_prompts_in_their_order_are_the_call_itself_and_in_another_order_are_not",
    ),
)
