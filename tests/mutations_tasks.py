"""Laws of tasks and their pictures broken on purpose, in the form of `mutations.py`."""

from mutations import Mutation

ARITHMETIC = "src/diptych/tasks/arithmetic.py"
COUNTING = "src/diptych/tasks/counting.py"
FACTUAL = "src/diptych/tasks/factual_recall.py"
ORDERING = "src/diptych/tasks/ordering.py"
SENTIMENT = "src/diptych/tasks/sentiment.py"
EMOJI = "src/diptych/tasks/_emoji.py"
FLAGS = "src/diptych/tasks/_flags.py"
PRINT = "src/diptych/tasks/_print.py"
ROW = "src/diptych/tasks/_row.py"
SPRITES = "src/diptych/tasks/_sprites.py"
MARKS = "src/diptych/tasks/_marks.py"
CAPITALS = "src/diptych/data/facts/countries.json"

TASK_MUTATIONS: tuple[Mutation, ...] = (
    # the same data in both panels, and the right answer
    (COUNTING, 'Drawing(DRAW[style], {"kinds": names,', 'Drawing(DRAW[style], {"kinds": sorted(names),', "tests/test_tasks.py::test_the_picture_shows_the_data_of_the_text_in_its_order[counting]"),
    (SENTIMENT, "2 * sum(face in shown for face in faces) > len(faces)", "any(face in shown for face in faces)", "tests/test_tasks.py::test_answers_are_right[sentiment-asked_mood]"),
    (ORDERING, 'place if side == "left" else -1 - place', 'place if side == "left" else -place', "tests/test_tasks.py::test_answers_are_right[ordering-asked_place]"),
    (ARITHMETIC, '"÷": a // b', '"÷": a // b + 1', "tests/test_tasks.py::test_answers_are_right[arithmetic-asked_result]"),
    (COUNTING, "answer=str(names.count(kind))", "answer=str(len(set(names)))", "tests/test_tasks.py::test_answers_are_right[counting-asked_number]"),
    (EMOJI, "return [mark for wanted in (True, False)", "return [mark for wanted in (False, True)", "tests/test_tasks.py::test_the_picture_shows_the_data_of_the_text_in_its_order[sentiment]"),
    (MARKS, "_emoji.draw_emoji: _emoji.place_emoji", "_emoji.draw_emoji: _draw.place_shapes", "tests/test_tasks_pictures.py::test_emoji_can_be_read_from_the_pixels[counting-ground0]"),
    # balance, groups, clusters, splits
    (COUNTING, "COUNTS[index // len(kinds) % len(COUNTS)]", "COUNTS[index % 4]", "tests/test_tasks.py::test_every_kind_has_every_count_equally_often"),
    (SENTIMENT, "list(MOODS)[index % len(MOODS)]", "chance.choice(list(MOODS)[:2])", "tests/test_tasks.py::test_who_always_gives_the_most_frequent_answer_is_rarely_right[sentiment-0.26]"),
    (ARITHMETIC, 'first = a // b if operator == "÷" else a', "first = a", "tests/test_tasks.py::test_expressions_of_the_same_numbers_are_never_apart"),
    (ARITHMETIC, "LARGEST_PRODUCT = 199", "LARGEST_PRODUCT = 299", "tests/test_tasks.py::test_products_and_quotients_are_as_many_as_said_and_small"),
    (FACTUAL, 'group=f"{item.group}: {family}", cluster=family', 'group=f"{item.group}: {family}"', "tests/test_tasks.py::test_look_alikes_are_each_other_s_counterfactuals_on_request"),
    # what organisms never see
    (COUNTING, "        if not held_out(item):\n", "        if item:\n", "tests/test_tasks_training.py::test_training_never_shows_pictures_of_what_is_held_out[counting]"),
    (ORDERING, "if held_out(item) and item.id not in taken", "if item.id not in taken", "tests/test_tasks_training.py::test_shipped_items_are_held_out[ordering]"),
    (ARITHMETIC, 'modality == "text" and sign in "×÷"', 'modality == "text"', "tests/test_tasks_training.py::test_training_text_has_what_is_held_out_only_if_it_must_be_learnt_by_heart[arithmetic]"),
    (FACTUAL, 'modality == "text" or not held_out(item)', "not held_out(item)", "tests/test_tasks_training.py::test_a_flag_is_shown_with_some_questions_and_kept_from_others"),
    (FACTUAL, "item.id.encode()", "item.cluster.encode()", "tests/test_tasks_training.py::test_a_flag_is_shown_with_some_questions_and_kept_from_others"),
    # pixels
    (EMOJI, "picture.paste(sprite, (left, top), sprite)", "picture.paste(sprite, (left, top + 1), sprite)", "tests/test_tasks_pictures.py::test_pictures_have_the_recorded_pixels[counting]"),
    (EMOJI, "names=tuple(sorted(OBJECTS + PROPS + FACES))", "names=tuple(OBJECTS + PROPS + FACES)", "tests/test_tasks_data.py::test_a_tile_shows_what_its_name_says[sheet8-smiling-0.5-0.1-yellow]"),
    (FLAGS, "tile(SHEET, code,", "tile(SHEET, SHEET.names[0],", "tests/test_tasks_pictures.py::test_flags_can_be_read_from_the_pixels"),
    (PRINT, "edges = [left + width * place", "edges = [left + (width - 9) * place", "tests/test_tasks_pictures.py::test_marks_stay_inside_the_picture_and_apart[arithmetic]"),
    (ROW, "left = round(column * place +", "left = round(column * (len(colours) - 1 - place) +", "tests/test_tasks_pictures.py::test_colours_can_be_read_from_the_pixels_from_left_to_right"),
    (ROW, "0.5 + depth * chance.uniform", "0.5 + chance.uniform", "tests/test_tasks_pictures.py::test_what_is_far_is_small_and_high_and_without_depth_all_stand_on_one_line"),
    (SPRITES, "if found != sheet.sha256:", "if not found:", "tests/test_tasks_pictures.py::test_another_sheet_than_the_expected_one_is_refused[emoji/emoji.png-expected 000000000000\\u2026: pictures would not be the recorded ones]"),
    # facts
    (CAPITALS, '"Gitega"', '"Bujumbura"', "tests/test_tasks_data.py::test_capitals_are_those_of_2026"),
    (CAPITALS, '"Kyiv"', '"Kiev"', "tests/test_tasks_data.py::test_every_shipped_file_is_the_one_its_sources_list[facts]"),
    (CAPITALS, '"currency": "rupiah", "alike": ["mc"]', '"currency": "rupiah", "alike": []', "tests/test_tasks_data.py::test_no_two_flags_of_the_default_task_look_alike"),
)  # fmt: skip
