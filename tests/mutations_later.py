"""Mutations of what layers hand on, and of cross-patching and freezing behind kept keys and values."""

from mutations import Mutation

PAIRS = "src/diptych/experiments/_pairs.py"
EXACT = "src/diptych/attribution/exact.py"
HANDED = "tests/test_handed.py::"

LATER_MUTATIONS: tuple[Mutation, ...] = (
    (
        PAIRS,
        "with record_handed(vlm) as residuals:\n            vlm.run(call)\n        return cls(modality, prompt, call, residuals)",
        "with vlm.record_outputs() as outputs:\n            vlm.run(call)\n"
        "        return cls(modality, prompt, call, list(outputs.values()))",
        HANDED + "test_a_run_that_takes_over_all_that_a_layer_hands_on_is_the_donor_s_run_to_the_bit[qwen3_vl]",
    ),
    (
        PAIRS,
        "with record_handed(vlm) as residuals:\n            vlm.run(call)\n        return cls(modality, prompt, call, residuals)",
        "with vlm.record_outputs() as outputs:\n            vlm.run(call)\n"
        "        return cls(modality, prompt, call, list(outputs.values()))",
        HANDED + "test_the_lens_reads_what_a_layer_hands_on",
    ),
    (
        EXACT,
        "start = started(vlm, layer - 1, ",
        "start = vlm.resume(layer, ",
        HANDED + "test_a_node_patched_from_its_layer_on_is_the_node_patched_in_a_whole_run[qwen3_vl]",
    ),
)
