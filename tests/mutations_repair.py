"""Mutations of the repair of the gap: back-patching, its controls, and the planted delay."""

from mutations import Mutation

DELAYED = "src/diptych/delayed.py"
PREVIEW = "src/diptych/models/preview.py"
BACKPATCH = "src/diptych/backpatch.py"

REPAIR_MUTATIONS: tuple[Mutation, ...] = (
    (
        DELAYED,
        "kwargs, self.pictures, self.mean)",
        "kwargs, self.pictures, self.truth)",
        "tests/test_delayed.py::test_below_the_layer_no_residual_depends_on_the_picture[llava-sdpa]",
    ),
    (
        DELAYED,
        "begun & left, self.truth)",
        "self.pictures, self.truth)",
        "tests/test_delayed.py::test_from_the_layer_on_picture_positions_are_those_of_the_model_to_the_bit[llava-sdpa]",
    ),
    (
        DELAYED,
        "copy.layers[self.layer].register",
        "copy.layers[self.layer - 1].register",
        "tests/test_delayed.py::test_below_the_layer_no_residual_depends_on_the_picture[gemma3-eager]",
    ),
    (
        DELAYED,
        "if not bool(self.pictures.any()):",
        "if False:",
        "tests/test_delayed.py::test_tokens_that_are_generated_read_the_hidden_picture_from_the_cache[gemma3]",
    ),
    (
        DELAYED,
        '(kwargs | {"past_key_values": None, "use_cache": False})',
        "kwargs",
        "tests/test_delayed.py::test_tokens_that_are_generated_read_the_hidden_picture_from_the_cache[qwen2_vl]",
    ),
    (
        DELAYED,
        "self.decode, copy.sites.decoder.forward = copy.sites.decoder.forward, self",
        "self.decode, self.vlm.sites.decoder.forward = copy.sites.decoder.forward, self",
        "tests/test_delayed.py::test_the_user_s_model_is_left_without_a_hook_and_its_weights_are_shared[gemma3]",
    ),
    (
        DELAYED,
        "self.__signature__ = inspect.signature(self.decode)",
        "pass",
        "tests/test_delayed.py::test_a_delayed_model_can_be_copied_and_attributed",
    ),
    (
        DELAYED,
        "if entries:",
        "if False:",
        "tests/test_delayed.py::test_what_cannot_be_delayed_is_refused_with_the_reason",
    ),
    (
        DELAYED,
        "deepcopy(model, {id(value): value for value in chain(model.parameters(), model.buffers())})",
        "deepcopy(model)",
        "tests/test_delayed.py::test_the_user_s_model_is_left_without_a_hook_and_its_weights_are_shared[llava]",
    ),
)
