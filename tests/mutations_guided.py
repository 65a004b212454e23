"""Mutations of guided back-patching: what nodes write, the circuit's part of a patch, and how that is judged."""

from mutations import Mutation

WRITTEN = "src/diptych/written.py"
GUIDED = "src/diptych/experiments/_guided.py"
JUDGED = "src/diptych/experiments/_judged.py"
GUIDING = "src/diptych/experiments/guided_back_patching.py"
OVERLAP = "src/diptych/experiments/_guided_overlap.py"

GUIDED_MUTATIONS: tuple[Mutation, ...] = (
    # what nodes write
    (
        WRITTEN,
        "            return whole\n\n        return edit\n\n    with edit",
        "            return live\n\n        return edit\n\n    with edit",
        "tests/test_written.py::test_one_head_writes_its_value_times_its_weights_at_its_position",
    ),
    (
        WRITTEN,
        "return whole.to(live).masked_fill",
        "return live.masked_fill",
        "tests/test_written.py::test_disjoint_sets_write_what_their_union_writes[llava]",
    ),
    (
        WRITTEN,
        "layers = range(above + 1, upto + 1)",
        "layers = range(above + 1, upto)",
        "tests/test_written.py::test_all_nodes_together_write_the_change_of_the_stream[gemma3]",
    ),
    # the circuit's part of a patch
    (
        GUIDED,
        "yield from (every, inside, every & ~inside)",
        "yield from (every, every & ~inside, inside)",
        "tests/test_guided.py::test_where_only_a_circuit_writes_its_nodes_are_the_whole_patch_and_all_others_nothing[llava]",
    ),
    (
        GUIDED,
        "plain.residuals[destination] + written(",
        "plain.residuals[source] + written(",
        "tests/test_guided.py::test_where_only_a_circuit_writes_its_nodes_are_the_whole_patch_and_all_others_nothing[qwen2_vl]",
    ),
    (
        GUIDED,
        "return torch.where(chosen.to(ours.device), ours, theirs.to(ours.device))",
        "return ours.expand_as(torch.where(chosen, ours, theirs))",
        "tests/test_guided.py::test_all_positions_are_the_cell_to_the_bit_and_a_part_lies_between[gemma3]",
    ),
    (
        GUIDED,
        "[among].argsort(descending=True, stable=True)",
        "[among].argsort(stable=True)",
        "tests/test_guided.py::test_the_positions_let_through_are_those_that_hold_most_of_the_circuit",
    ),
    (
        GUIDED,
        "highest(scores, (there,), int(mask.sum()))",
        "highest(scores, (mask.shape[1],), int(mask.sum()))",
        "tests/test_guided.py::test_random_nodes_are_as_many_in_each_layer_and_of_each_kind_and_in_the_data",
    ),
    (
        GUIDED,
        '"let": min(held, asked)',
        '"let": asked',
        "tests/test_guided.py::test_no_more_positions_are_let_through_than_the_circuit_holds",
    ),
    (
        GUIDED,
        'if _weight(circuit.at("data")).any() else 0',
        "if _weight(circuit).any() else 0",
        "tests/test_guided.py::test_a_circuit_that_holds_no_data_has_no_part_of_the_patch",
    ),
    (
        GUIDING,
        "if not (held < asked).any():",
        "if not (held > asked).any():",
        "tests/test_guided.py::test_no_more_positions_are_let_through_than_the_circuit_holds",
    ),
    (
        JUDGED,
        "(self.higher + self.equal / 2)",
        "(self.higher + self.equal)",
        "tests/test_guided.py::test_the_repair_goes_through_the_circuit_if_random_parts_do_worse_by_a_test",
    ),
    (
        JUDGED,
        "(1 + len(self.random) - self.higher) / (1 + len(self.random))",
        "(len(self.random) - self.higher) / len(self.random)",
        "tests/test_guided.py::test_the_repair_goes_through_the_circuit_if_random_parts_do_worse_by_a_test",
    ),
    (
        JUDGED,
        "self.p <= LEVEL and self.own > 0",
        "self.p <= LEVEL",
        "tests/test_guided.py::test_the_repair_goes_through_the_circuit_if_random_parts_do_worse_by_a_test",
    ),
    (
        JUDGED,
        "LEVEL = 0.025",
        "LEVEL = 0.05",
        "tests/test_guided.py::test_as_random_as_any_other_the_circuit_s_part_rarely_passes",
    ),
    (
        JUDGED,
        "if len(judged[0].random) < FEWEST:",
        "if False:",
        "tests/test_guided.py::test_with_too_few_random_parts_there_is_no_verdict",
    ),
    (
        JUDGED,
        """f"[{fixed(row['change, low'], sign='+')}, {fixed(row['change, high'], sign='+')}]\"""",
        """f"\"""",
        "tests/test_guided.py::test_changes_of_overlap_are_told_with_their_interval_and_only_if_something_is_repaired",
    ),
    (
        OVERLAP,
        "return score(patched(vlm, cell), payload",
        "return score(vlm, payload",
        "tests/test_guided.py::test_with_the_patch_in_place_what_it_overwrites_has_no_score",
    ),
    (
        GUIDED,
        "among[weights[data][among].argsort(descending=True, stable=True)]",
        "weights[data].argsort(descending=True, stable=True)",
        "tests/test_guided.py::test_of_positions_that_hold_as_much_those_taken_are_drawn_and_the_note_says_how_many",
    ),
    (
        GUIDED,
        "return needed if int((weights == lowest).sum()) > needed else 0",
        "return needed",
        "tests/test_guided.py::test_of_positions_that_hold_as_much_those_taken_are_drawn_and_the_note_says_how_many",
    ),
    (
        GUIDING,
        "    if not drawn:\n",
        "    if drawn:\n",
        "tests/test_guided.py::test_of_positions_that_hold_as_much_those_taken_are_drawn_and_the_note_says_how_many",
    ),
)
