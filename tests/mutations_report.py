"""Laws of the report, of figures for papers and of the diptych view broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

OVERVIEW = "src/diptych/report/overview.py"
TABLES = "src/diptych/report/tables.py"
PAPER = "src/diptych/report/paper.py"
CHARTS = "src/diptych/report/paper_charts.py"
LATEX = "src/diptych/report/latex.py"
CARD = "src/diptych/report/card.py"
SECTIONS = "src/diptych/report/sections.py"
ORDER = "src/diptych/report/order.py"
PLOTS = "src/diptych/report/charts.py"
VIEW = "src/diptych/report/view.js"
STYLE = "src/diptych/report/style.css"
OVERLAY = "src/diptych/report/overlay.js"
DIPTYCH = "src/diptych/experiments/diptych_view.py"
SIDE = "src/diptych/experiments/_side.py"

OVER, FIGURES, PAPERS = (
    "tests/test_report_overview.py::",
    "tests/test_report_figures.py::",
    "tests/test_report_paper.py::",
)
PAGE, LOOK = "tests/test_report_view.py::", "tests/test_diptych_view.py::"
REPORT, LOOKED = "tests/test_report.py::", "tests/test_report_browser.py::"

REPORT_MUTATIONS: tuple[Mutation, ...] = (
    # the three answers
    (OVERVIEW, 'panel=panel, split="test"', "panel=panel", OVER + "test_the_gap_is_that_of_the_test_split"),
    (OVERVIEW, "known(text_right) and known(image_right)", "True", OVER + "test_there_is_no_gap_without_both_panels"),
    (
        OVERVIEW,
        'if row.get("kind") == "both":',
        "if True:",
        OVER + "test_overlap_is_told_by_segment_over_both_kinds_of_nodes",
    ),
    (
        OVERVIEW,
        'if row.get("kind") == "both":',
        'if row.get("kind") == "both" and known(row.get("nIoU")):',
        OVER + "test_overlap_is_told_by_segment_over_both_kinds_of_nodes",
    ),
    (
        OVERVIEW,
        'cell="chosen on select"',
        'cell="best on test (in-sample)"',
        OVER + "test_the_repair_is_the_cell_chosen_on_select_beside_what_it_must_gain",
    ),
    (
        OVERVIEW,
        'null = chosen.get("null 95%")',
        'null = result.rows[-1].get("null 95%")',
        OVER + "test_the_repair_is_the_cell_chosen_on_select_beside_what_it_must_gain",
    ),
    (
        OVERVIEW,
        " and known(told[name])]",
        "]",
        OVER + "test_of_other_experiments_the_conditions_with_an_interval_are_told",
    ),
    (OVERVIEW, "if name not in present]", "]", OVER + "test_what_is_missing_is_said"),
    (
        OVERVIEW,
        'row.get("prompts") == "both" and row.get("nodes") == "as many"',
        'row.get("nodes") == "as many"',
        OVER + "test_entities_and_swaps_tell_how_far_apart_the_panels_are",
    ),
    (
        OVERVIEW,
        'family="entities", of="identified"',
        'family="entities"',
        OVER + "test_entities_and_swaps_tell_how_far_apart_the_panels_are",
    ),
    (
        OVERVIEW,
        'for label, row in rows.items() if known(row.get("gain"))]',
        "for label, row in rows.items()]",
        OVER + "test_a_guided_patch_tells_its_gain_and_that_of_the_circuit",
    ),
    # the order of the page
    (
        ORDER,
        "sorted(results, key=_place)",
        "list(results)",
        REPORT + "test_sections_follow_the_story_however_results_come_and_parts_the_tasks",
    ),
    (
        ORDER,
        ', _index(PANELS, parameters.get("modality"))',
        ", 0",
        REPORT + "test_the_text_panel_is_told_before_the_image_however_they_come",
    ),
    (ORDER, '    "agreement",\n', "", REPORT + "test_every_experiment_has_its_place_in_the_report"),
    (
        SECTIONS,
        "if name not in common]",
        "]",
        REPORT + "test_conditions_that_results_share_are_shown_once_and_the_others_with_their_result",
    ),
    (
        SECTIONS,
        "if all((name, value) in c.items() for c in conditions)",
        "",
        REPORT + "test_conditions_that_only_neighbours_share_stand_with_them",
    ),
    (
        SECTIONS,
        "if name not in within",
        "if True",
        REPORT + "test_the_ends_of_an_interval_stand_behind_its_value",
    ),
    # keys and axes
    (PLOTS, "if len(lines) == 1 else", "if lines else", FIGURES + "test_the_key_tells_several_levels_by_their_values"),
    (
        PLOTS,
        ' + _entries(figure), "layout"',
        ', "layout"',
        FIGURES + "test_lines_and_levels_of_curves_are_in_the_key",
    ),
    (PLOTS, "max(x) - min(x) <= 8", "True", FIGURES + "test_layers_are_whole_numbers_on_the_axis"),
    (PLOTS, "0.22 * (place", "0.0 * (place", FIGURES + "test_dumbbells_join_the_points_of_a_category"),
    (PLOTS, '"x0": short(min(', '"x0": short(max(', FIGURES + "test_dumbbells_join_the_points_of_a_category"),
    (
        STYLE,
        "--gap: 0em;",
        "--gap: 0;",
        LOOKED + "test_the_first_key_is_drawn_in_the_colours_of_its_plot",
    ),
    # numbers to take away
    (
        TABLES,
        "abs(value) < dust else value",
        "False else value",
        FIGURES + "test_what_rounding_leaves_of_zero_is_shown_as_zero",
    ),
    (
        TABLES,
        ':.6g}" if known(value) else None',
        ':.3g}" if known(value) else None',
        FIGURES + "test_a_download_holds_the_numbers_of_the_figure_to_six_digits",
    ),
    (
        TABLES,
        "cells = [cell for part in parts",
        "cells = [cell for part in parts[:1]",
        FIGURES + "test_the_table_of_maps_over_pictures_has_a_row_per_row_of_cells",
    ),
    (LATEX, '"&%$#_{}"', '"&%#_{}"', PAPERS + "test_the_data_table_is_latex"),
    (
        PAPER,
        '".pdf": {"CreationDate": None}',
        '".pdf": {"Title": None}',
        PAPERS + "test_the_same_figure_is_the_same_file_twice[.pdf-%PDF]",
    ),
    (CHARTS, '.replace("$", r"\\$")', "", PAPERS + "test_a_drawing_has_the_titles_the_labels_and_the_marks"),
    (
        SECTIONS,
        're.sub(r"[^A-Za-z0-9_.]+", "_", str(part)).strip("._")',
        "str(part)",
        PAPERS + "test_a_name_that_is_no_name_of_a_file_is_made_one",
    ),
    (
        CARD,
        'if find_spec("matplotlib") is None:',
        "if False:",
        PAPERS + "test_a_card_shows_sentences_where_figures_cannot_be_drawn",
    ),
    # the diptych view
    (
        VIEW,
        "pair.sides.flatMap((side) => side.nodes[kind].scores[layer])",
        "pair.sides[0].nodes[kind].scores[layer]",
        PAGE + "test_both_panels_are_painted_on_one_scale",
    ),
    (
        VIEW,
        "nodes.first[+layer.value][position] > +size.value",
        "nodes.first[+layer.value][position] >= +size.value",
        PAGE + "test_the_slider_of_sizes_shows_which_positions_are_left",
    ),
    (
        VIEW,
        "event.preventDefault();\n      spot.button.tabIndex = -1;",
        "event.preventDefault();",
        PAGE + "test_the_keyboard_reaches_every_token",
    ),
    (
        VIEW,
        "return kinds.findIndex((one) => one.checked);",
        "return 0;",
        PAGE + "test_heads_and_neurons_are_seen_in_turn",
    ),
    (VIEW, "one.spot && tell(one.spot)", "0", PAGE + "test_heads_and_neurons_are_seen_in_turn"),
    (VIEW, "first <= +size.value", "first < +size.value", PAGE + "test_pointing_at_a_token_tells_its_heads"),
    (VIEW, 'layer.addEventListener("input", paint);', "", PAGE + "test_the_slider_of_layers_shows_other_scores"),
    (
        VIEW,
        'made.append(element("bdi", "", visible(token)));',
        "made.innerHTML = `<bdi>${visible(token)}</bdi>`;",
        PAGE + "test_text_from_right_to_left_and_markup_is_shown_as_it_is",
    ),
    (
        VIEW,
        'cell.setAttribute("aria-label",',
        'cell.setAttribute("data-label",',
        PAGE + "test_axe_finds_no_serious_violation[view-light]",
    ),
    (
        STYLE,
        ".contents { position: sticky;",
        ".contents { position: static;",
        PAGE + "test_every_link_of_the_page_leads_somewhere",
    ),
    (
        SIDE,
        "place.add_(~held)",
        "place.add_(held)",
        LOOK + "test_a_node_enters_with_the_smallest_circuit_that_holds_it",
    ),
    (
        SIDE,
        "place[:, index])",
        "place[:, index.sort(descending=True).values])",
        LOOK + "test_a_side_holds_the_scores_of_its_own_prompt[image-qwen2_vl]",
    ),
    (
        SIDE,
        "places.amin(-1)",
        "places.amax(-1)",
        LOOK + "test_a_side_holds_the_scores_of_its_own_prompt[image-qwen2_vl]",
    ),
    (
        SIDE,
        "strongest = sizes.topk(",
        "strongest = scores.topk(",
        LOOK + "test_a_side_holds_the_scores_of_its_own_prompt[image-qwen2_vl]",
    ),
    (DIPTYCH, 'if one in found["image"]]', "]", LOOK + "test_a_model_that_is_never_right_in_both_panels_is_refused"),
    (
        DIPTYCH,
        "sizes.index(max(known))",
        "sizes.index(min(known))",
        LOOK + "test_the_sizes_are_those_of_both_curves_and_what_is_said_is_theirs",
    ),
    # on paper, on a phone and in the dark
    (
        OVERLAY,
        "error_y: { color: ink }",
        "error_x: { color: ink }",
        LOOKED + "test_whiskers_are_light_on_a_dark_ground",
    ),
    (
        STYLE,
        "  th { white-space: normal; vertical-align: bottom; }\n",
        "",
        LOOKED + "test_a_wide_table_does_not_shrink_the_print",
    ),
    (
        OVERLAY,
        "joined(name, most))",
        "name)",
        LOOKED + "test_long_names_of_bars_do_not_lie_over_one_another_on_a_phone",
    ),
)
