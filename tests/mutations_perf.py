"""Mutations of runs of some positions alone: the past, the trace, and the sweeps that use them."""

from mutations import Mutation

PAST = "src/diptych/models/past.py"
TRACE = "src/diptych/models/trace.py"
BACKPATCH = "src/diptych/backpatch.py"
CUTS = "src/diptych/cuts.py"
KNOCKOUT = "src/diptych/experiments/knockout.py"
TRACED = "tests/test_trace.py::"
PATCHED = "tests/test_backpatch.py::"
CUT = "tests/test_cuts.py::"

PERF_MUTATIONS: tuple[Mutation, ...] = (
    (
        PAST,
        "mask[..., self.positions, :stop]",
        "mask[..., :stop, :stop][..., -(stop - start) :, :].roll(1, -1)",
        PATCHED + "test_cells_that_end_in_the_same_pair_equal_full_second_passes[image-gemma3-eager]",
    ),
    (
        PAST,
        "(asked <= asking[:, None])",
        "(asked <= asking[:, None] + 1)",
        TRACED + "test_every_position_may_be_the_first_that_is_computed[llava]",
    ),
    (
        PAST,
        "torch.cat([before, stream(output), behind], 1)",
        "torch.cat([before, stream(output), behind], 1).roll(1, 1)",
        TRACED + "test_every_position_may_be_the_first_that_is_computed[qwen2_vl]",
    ),
    (
        PAST,
        "leaf.narrow(dim, positions.start,",
        "leaf.narrow(dim, 0,",
        TRACED + "test_every_position_may_be_the_first_that_is_computed[qwen2_vl]",
    ),
    (
        PAST,
        "return returned(self.forms, self.layer, hidden)",
        "return hidden",
        TRACED + "test_sweeps_equal_full_passes_on_all_positions_where_later_ones_cannot_be_computed_alone[chameleon]",
    ),
    (
        TRACE,
        "any(looks_ahead(mask, end) for end in ends)",
        "False",
        TRACED + "test_positions_that_look_at_later_ones_have_no_past",
    ),
    (
        TRACE,
        "if given_state(args, kwargs):",
        "if False:",
        TRACED + "test_sweeps_equal_full_passes_on_all_positions_where_later_ones_cannot_be_computed_alone[gemma4]",
    ),
    (
        BACKPATCH,
        "unread = {*where[1:], len(vlm.layers) - 1}",
        "unread = {*where, len(vlm.layers) - 2}",
        PATCHED + "test_cells_that_end_in_the_same_pair_equal_full_second_passes[image-llava-sdpa]",
    ),
    (
        BACKPATCH,
        "key=lambda cell: len(cell.pairs(layers)), reverse=True",
        "key=lambda cell: len(cell.pairs(layers))",
        PATCHED + "test_cells_that_end_in_the_same_pair_equal_full_second_passes[image-qwen2_vl-eager]",
    ),
    (
        BACKPATCH,
        "place * self.call.batch + prompt",
        "place * self.call.batch",
        PATCHED + "test_cells_that_end_in_the_same_pair_equal_full_second_passes[text-gemma3-sdpa]",
    ),
    (
        BACKPATCH,
        "if any(len(bundle) > 1 for bundle in bundles) else ()",
        "if False else ()",
        PATCHED + "test_a_sweep_runs_the_patched_positions_once_for_all_cells_that_end_in_the_same_pair",
    ),
    (
        CUTS,
        "stack.enter_context(alone(vlm, own.past.until(start), slice(start, length), first))",
        "pass",
        CUT + "test_a_cut_runs_only_the_positions_that_it_changes",
    ),
)
