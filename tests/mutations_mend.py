"""Mutations of what a user meets: retries, waits, the page and files that cannot be written."""

from mutations import Mutation

MEND_MUTATIONS: tuple[Mutation, ...] = (
    (
        "src/diptych/run/estimate.py",
        "return Impossible(planned.reason)\n            found",
        "return planned.reason\n            found",
        "tests/test_estimate.py::test_a_task_that_is_not_there_makes_its_own_cells_impossible",
    ),
    (
        "src/diptych/retries.py",
        "first, told = not told, True",
        "first, told = True, True",
        "tests/test_retries.py::test_a_hub_that_does_not_answer_is_told_once",
    ),
    (
        "src/diptych/retries.py",
        "client.removeFilter(passes)",
        "pass",
        "tests/test_retries.py::test_a_hub_that_does_not_answer_is_told_once",
    ),
    (
        "src/diptych/run/patience.py",
        "0.0 if room else self.without_room + TICK",
        "self.without_room + TICK",
        "tests/test_patience.py::test_a_wait_for_nodes_that_others_use_has_no_end",
    ),
    (
        "src/diptych/run/patience.py",
        "self.waited == TICK or ",
        "",
        "tests/test_patience.py::test_a_wait_is_told_after_a_moment_and_then_each_minute",
    ),
    (
        "src/diptych/report/pictures.py",
        "self.found.setdefault(picture,",
        "self.found.setdefault(picture + str(len(self.found)),",
        "tests/test_report_page.py::test_a_picture_stands_in_the_page_once_however_often_it_is_shown",
    ),
    (
        "src/diptych/report/tables.py",
        'NEGATIVE = re.compile(r"(?<![^\\s\\[(])-',
        'NEGATIVE = re.compile(r"-',
        "tests/test_report_page.py::test_negative_numbers_of_sentences_have_the_sign_of_those_of_tables",
    ),
    (
        "src/diptych/report/charts.py",
        "%{{customdata[1]}}",
        "%{{customdata[0]}}",
        "tests/test_report_browser.py::test_a_reader_who_points_at_a_bar_is_told_its_name_place_and_value",
    ),
    (
        "src/diptych/files.py",
        "    except OSError as error:\n        raise InputError(",
        "    except KeyError as error:\n        raise InputError(",
        "tests/test_writing.py::test_a_file_where_a_folder_is_needed_is_told",
    ),
)
