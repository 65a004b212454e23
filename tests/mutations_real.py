"""Laws of loading, prompts, pictures and memory broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

HOME = "src/diptych/"
CHAT, LOAD, RASTER = "tests/test_chat.py::test_", "tests/test_load_real.py::test_", "tests/test_raster.py::test_"
MEMORY, PROCESSORS, CHECK = (
    "tests/test_memory.py::test_",
    "tests/test_processors.py::test_",
    "tests/test_cli_check.py::test_",
)

REAL_MUTATIONS: tuple[Mutation, ...] = (
    (
        HOME + "models/entry.py",
        'if stored.type != "meta":',
        "if True:",
        LOAD + "weights_on_disk_give_the_same_scores_circuits_and_patches_to_the_bit[qwen2_vl-all on disk]",
    ),
    (
        HOME + "models/load.py",
        "extract_commit_hash(config_file, None)",
        "extract_commit_hash(None, None)",
        LOAD + "a_hub_model_is_recorded_with_its_commit",
    ),
    (
        HOME + "models/load.py",
        "    require_hub(name, revision)\n",
        "",
        LOAD + "a_revision_of_what_has_none_is_refused[random:qwen2_vl-a random model]",
    ),
    (
        HOME + "run/source.py",
        "        **source.options,\n",
        "",
        LOAD + "a_run_loads_the_model_with_all_that_its_identity_says",
    ),
    (
        HOME + "activations.py",
        "return x if x.dtype == torch.float64 else x.float()",
        "return x",
        LOAD + "scores_are_summed_in_float32_whatever_the_dtype[qwen2_vl-torch.bfloat16]",
    ),
    # prompts
    (
        HOME + "models/chat.py",
        'return r"\\s+".join(map(re.escape, text.split()))',
        "return re.escape(text)",
        CHAT + "each_character_is_placed_and_the_last_occurrence_counts",
    ),
    (
        HOME + "models/chat.py",
        "found[-1].start()",
        "found[0].start()",
        CHAT + "each_character_is_placed_and_the_last_occurrence_counts",
    ),
    (
        HOME + "models/chat.py",
        "held = sorted(token for token in special if token in text)",
        "held = []",
        CHAT + "a_text_that_holds_a_mark_of_a_picture_is_refused[text-qwen2_vl]",
    ),
    (
        HOME + "models/prompts.py",
        "return render(vlm.processor, vlm.name, content, vlm.system)",
        "return render(vlm.processor, vlm.name, content)",
        CHAT + "a_system_prompt_is_prefix_whether_the_templates_own_or_the_users[How many stars are there ?-qwen2_vl]",
    ),
    (
        HOME + "models/prompts.py",
        '[{"type": "image"}] * len(pictures)',
        '[{"type": "image"}]',
        CHAT + "several_pictures_are_data_from_the_first_to_the_last_and_all_are_read[qwen2_vl]",
    ),
    (
        HOME + "models/prompts.py",
        ' and name != "labels"',
        "",
        PROCESSORS + "a_real_processor_works_from_picture_to_proof[paligemma]",
    ),
    (
        HOME + "models/processor.py",
        'int(getattr(config, "spatial_merge_size", 1))',
        "1",
        PROCESSORS + "pixtrals_places_follow_the_merging_of_patches",
    ),
    (
        HOME + "models/processor.py",
        'missing = "torchvision" in str(error).lower()',
        "missing = False",
        PROCESSORS + "a_processor_that_cannot_be_made_names_the_package_and_the_way_round[Lfm2VlProcessor]",
    ),
    # pictures
    (
        HOME + "models/pixels.py",
        "pictures.size = type",
        "ignored = type",
        RASTER + "a_processor_that_counts_pixels_gets_the_budget",
    ),
    (
        HOME + "models/prompts.py",
        "fitted(picture, vlm.pixels)",
        "picture",
        RASTER + "a_processor_of_fixed_size_gets_a_picture_that_was_resized",
    ),
    (
        HOME + "raster.py",
        "upright = ImageOps.exif_transpose(image)",
        "upright = image",
        RASTER + "a_photograph_is_turned_as_the_camera_noted_it",
    ),
    (
        HOME + "raster.py",
        "if upright.has_transparency_data:",
        "if False:",
        RASTER + "transparent_parts_are_white_and_half_transparent_ones_pale",
    ),
    (
        HOME + "raster.py",
        "if upright.mode in SIXTEEN_BITS:",
        "if False:",
        RASTER + "sixteen_bit_greys_are_scaled_not_cut_off",
    ),
    # memory
    (
        HOME + "models/memory.py",
        "size = (size + 1) // 2",
        "size = size - 1",
        MEMORY + "the_batch_is_halved_until_it_fits",
    ),
    (
        HOME + "models/memory.py",
        "            error = raised\n",
        "            return fitting(work, (size + 1) // 2)\n",
        MEMORY + "tensors_of_a_failed_attempt_are_released_before_the_next",
    ),
    (
        HOME + "experiments/discover.py",
        "counts / counts.sum()",
        "torch.ones(len(parts)) / len(parts)",
        MEMORY + "parts_of_different_sizes_are_weighted",
    ),
    (
        HOME + "experiments/_halving.py",
        'less = {"batch_size": size} if repeats else {}',
        "less: dict[str, int] = {}",
        MEMORY + "numbers_are_the_same_in_batches_that_shrank_and_the_result_says_so[faithfulness_curve]",
    ),
    (
        HOME + "run/run.py",
        "running.at_once.append(int(at_once))",
        "pass",
        MEMORY + "a_stored_unit_tells_again_that_it_shrank",
    ),
    # the command line
    (HOME + "cli_check.py", "raise typer.Exit(1)", "pass", CHECK + "a_line_that_fails_ends_with_status_one"),
    (
        HOME + "cli_check.py",
        "style=segment_colour(segment)",
        "style=None",
        CHECK + "segments_are_coloured_on_a_terminal_that_has_colours",
    ),
)
