"""The page: what is in it, what is not, and how it is written."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

import report_example
from diptych.errors import InputError
from diptych.figures import (
    Bars,
    Curves,
    Diptych,
    Example,
    Heatmap,
    Nodes,
    Pair,
    Panel,
    PictureMap,
    PictureMaps,
    Series,
    Side,
)
from diptych.registry import names
from diptych.report.build import QUESTION, build, render
from diptych.report.order import EXPERIMENTS
from diptych.report.plates import figure_rows
from diptych.report.sections import arrange
from diptych.result import Result

REPORT = Path(str(files("diptych.report")))
RIGHT_TO_LEFT = "\u202e'שלום' \"x\""
HOSTILE = ["</script><script>window.hacked = 1</script>", "<img src=x onerror='window.hacked = 1'>", "<b>{{ 7*7 }}</b>"]


def hostile() -> Result:
    """A result of which every text tries to become part of the page."""
    script, image, bold = HOSTILE
    tokens, segments = [*HOSTILE, RIGHT_TO_LEFT], ["prefix", "data", "query", "generation"]
    panel = Panel(script, tokens, segments, image, 0.3, report_example.picture())
    titles = (script, image, bold, script)
    nodes = [Nodes(image, [[1.0] * 4], [[0] * 4], [[[(7, 1.0, 0)]] * 4])]
    pair = Pair(script, bold, image, [Side(panel, nodes, [0, 1], 2), Side(replace(panel, picture=None), nodes)])
    figures = [
        Diptych(script, image, bold, [script], [1.0], [image], 0, [pair]),
        Example(script, image, bold, image, [panel]),
        Heatmap(*titles, image, HOSTILE, [script], [[1.0, 2.0, 3.0]], [(script, 0, 3)], [(1, 0, image)]),
        Curves(*titles, [1, 2], [Series(script, [1, 2], [0, 1], [2, 3])], False, [(1, image)], [(1, script)]),
        Bars(*titles, HOSTILE, [Series(image, [1, 2, 3])], [(1, image)]),
        PictureMaps(script, image, bold, [PictureMap(script, report_example.picture(), [[1.0, -2.0, 3.0]], [HOSTILE])]),
    ]
    texts = {text: text for text in HOSTILE}
    return Result(
        {"experiment": script, "model": image, "task": bold, "digest": script},
        script,
        [texts],
        texts,
        figures,
        notes=HOSTILE,
    )


def page(*results: Result) -> str:
    return render(results or report_example.results(), title="A test")


def test_build_writes_the_page_and_returns_its_path(tmp_path):
    path = build(report_example.results()[:2], tmp_path / "new" / "report.html", title="My run")

    written = path.read_text(encoding="utf-8")
    assert written.startswith("<!doctype html>")
    assert QUESTION in written
    assert "<title>My run</title>" in written
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_an_empty_list_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one result; got none"):
        build([], tmp_path / "report.html")


def test_a_path_that_cannot_be_written_is_refused_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "report.html").mkdir()

    with pytest.raises(InputError, match="cannot be written to .*report.html"):
        build(report_example.results()[:1], tmp_path / "report.html")

    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_build_keeps_the_old_report(tmp_path):
    old = build(report_example.results()[:1], tmp_path / "report.html").read_bytes()
    bad = report_example.result("x", "y", "z", [], Curves("c", "", "x", "y", [0.0], [Series("s", [1.0])], log_x=True))

    with pytest.raises(InputError, match=r"logarithmic x axis but x = \[0.0\]"):
        build([bad], tmp_path / "report.html")

    assert (tmp_path / "report.html").read_bytes() == old


def test_equal_results_give_equal_pages():
    assert page() == page()


def test_results_that_were_read_back_from_disk_give_the_same_figures():
    read_back = [Result.from_json(result.to_json()) for result in report_example.results()]
    blocks = r'<script type="application/json">(.*?)</script>'

    assert re.findall(blocks, page(*read_back)) == re.findall(blocks, page())


def test_a_page_of_twenty_results_is_smaller_than_three_megabytes():
    assert 1e6 < len(page().encode()) < 3e6


def test_the_vendored_bundle_is_the_one_that_sources_names():
    digest = hashlib.sha256((REPORT / "vendor/plotly-cartesian.min.js").read_bytes()).hexdigest()

    assert re.search(r"^  sha256 +([0-9a-f]{64})$", (REPORT / "vendor/SOURCES").read_text(), re.MULTILINE)[1] == digest
    assert "MIT License" in (REPORT / "vendor/LICENCE").read_text()


def test_no_script_can_end_its_own_element():
    for name in ("vendor/plotly-cartesian.min.js", "overlay.js", "view.js"):
        assert not re.search(r"</script|<!--", (REPORT / name).read_text(encoding="utf-8"), re.IGNORECASE)


def test_the_policy_forbids_everything_but_the_scripts_of_the_page():
    text = page()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1].replace("&#39;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)

    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"].split() == [f"'sha256-{one}'" for one in hashes]
    assert len(hashes) == 3


def test_the_page_names_no_address_outside_the_bundle():
    text = re.sub(r"<script>.*?</script>", "", page(), flags=re.DOTALL)

    assert not re.findall(r"https?:|//[a-z]|@import|url\(", re.sub(r"data:image/png;base64,[^\"]+", "", text))


def test_text_of_users_is_escaped_everywhere():
    text = re.sub(r"<script>.*?</script>", "", page(hostile()), count=0, flags=re.DOTALL)

    assert text.count("&lt;img src=x") > 10
    assert "<img src=x" not in text
    assert "<b>{{" not in text
    assert text.count("<script") == text.count('<script type="application/json">') == 4


def test_figures_survive_the_way_through_their_script():
    blocks = re.findall(r'<script type="application/json">(.*?)</script>', page(hostile()), re.DOTALL)

    names = [trace.get("name") for block in blocks for trace in json.loads(block).get("data", [])]
    assert "&lt;/script&gt;&lt;script&gt;window.hacked = 1&lt;/script&gt;" in names  # plotly shows this as plain text


def test_every_part_shows_summary_table_conditions_notes_and_identity():
    result = report_example.results()[-3]

    text = page(result)

    for words in (result.summary, "95% cluster bootstrap, 2,000 draws", result.notes[0], result.identity["digest"]):
        assert text.count(words) >= 1
    assert "<dt>selection split</dt><dd>select</dd>" in text


def test_only_tables_of_more_than_twenty_rows_are_closed():
    def closed(count: int) -> bool:
        result = report_example.result("e", "t", "s", [{"row": row} for row in range(count)])
        return f"Data table, {count} rows</summary>" in page(result)

    assert closed(21)
    assert not closed(20)


def test_a_missing_number_is_shown_as_not_available():
    result = report_example.result("e", "t", "s", [{"a": None, "b": 1.0}, {"b": float("nan")}])

    assert page(result).count("<td>n/a") == 3


def test_sections_follow_the_story_however_results_come_and_parts_the_tasks():
    results = report_example.results()
    own = report_example.result("my_own", "counting", "s", [])

    found = arrange([own, *sorted(results, key=lambda one: one.identity["experiment"])]).sections

    titles = [
        "Accuracy",
        "Discover",
        "Faithfulness curve",
        "Overlap",
        "Swap",
        "Similarity",
        "Knockout",
        "Back patching",
    ]
    assert [section.title for section in found] == [*titles, "My own"]
    found = found[:-1]
    assert [[part.task for part in section.parts] for section in found] == [["counting", "factual_recall"]] * 8


def test_results_of_two_models_get_a_part_each():
    one = report_example.results()[0]
    other = Result({**one.identity, "model": "example/other"}, one.summary, one.rows, one.conditions)

    (section,) = arrange([one, other]).sections

    assert [part.model for part in section.parts] == ["example/invented-vlm", "example/other"]
    assert ">example/other</span>" in page(one, other)


def test_the_first_example_opens_the_page_and_is_not_repeated():
    counting, factual = report_example.results()[:2]

    found = arrange([counting, factual])

    assert found.opening.figure is counting.figures[0]
    rows = [[type(plate.figure) for plate in row] for part in found.sections[0].parts for row in part.rows]
    assert rows == [[Bars], [Example], [Bars]]


def test_figures_are_numbered_in_the_order_of_the_page():
    numbers = [int(number) for number in re.findall(r"Figure (\d+)\.", page())]

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == 24


def test_figures_of_both_panels_share_a_row():
    text, image = report_example.head_scores("text"), report_example.head_scores("image")
    curves = report_example.faithfulness("text")

    assert figure_rows([text, curves, image]) == [[text, image], [curves]]
    assert figure_rows([image, text]) == [[image], [text]]


def test_the_text_panel_is_told_before_the_image_however_they_come():
    text, image = report_example.results()[2:4]

    for given in ([text, image], [image, text]):
        [part] = arrange(given).sections[0].parts
        assert [finding.label for finding in part.findings] == ["Modality: text", "Modality: image"]
        assert [[plate.figure.title[-4:] for plate in row] for row in part.rows] == [["text", "mage"]]


def test_every_experiment_has_its_place_in_the_report():
    assert set(names("experiment")) == set(EXPERIMENTS)


def test_the_name_of_the_panel_may_stand_anywhere_in_a_title():
    text, image = (replace(report_example.gain_map(), title=title) for title in ("Text: gain", "Image: gain"))

    assert figure_rows([text, image]) == [[text, image]]


def test_conditions_that_only_neighbours_share_stand_with_them():
    one, two = report_example.results()[2], report_example.results()[3]
    other = report_example.result("overlap", "counting", "s", [])
    changed = Result(other.identity, "s", [], {**other.conditions, "split": "discover"})

    found = arrange([one, two, changed])

    assert [dict(part.conditions).get("split") for section in found.sections for part in section.parts] == [
        "test",
        "discover",
    ]
    assert "split" not in dict(found.conditions) and ("n", "240") in found.conditions


def test_conditions_that_results_share_are_shown_once_and_the_others_with_their_result():
    one, two = report_example.results()[2], report_example.results()[3]
    other = Result(two.identity, two.summary, two.rows, {**two.conditions, "n": 99})

    found = arrange([one, other])

    part = found.sections[0].parts[0]
    assert ("split", "test") not in part.conditions and ("split", "test") in found.conditions
    assert [finding.conditions for finding in part.findings] == [[("n", "240")], [("n", "99")]]
    assert [finding.label for finding in part.findings] == ["Modality: text", "Modality: image"]


def test_the_ends_of_an_interval_stand_behind_its_value():
    layer = {
        "layer": 6.0,
        "layer, low": 5.5,
        "layer, high": 6.5,
        "other": None,
        "other, low": None,
        "other, high": None,
    }
    one = report_example.results()[0]

    part = arrange([Result(one.identity, "s", [], {**layer, "lowest, low": 1})]).sections[0].parts[0]

    assert part.conditions == [("layer", "6 [5.5, 6.5]"), ("other", "n/a"), ("lowest, low", "1")]


def test_wide_tables_of_neighbours_stand_below_each_other():
    def narrow(columns: int) -> bool:
        return (
            arrange([report_example.result("e", "t", "s", [dict.fromkeys("abcdefg"[:columns], 1)])])
            .sections[0]
            .parts[0]
            .narrow
        )

    assert narrow(5)
    assert not narrow(6)
