"""What the page has once for all figures, what its foot tells, and the sign of its numbers."""

import base64
import io
import re
from dataclasses import replace
from importlib.metadata import version

from PIL import Image

import report_example
from diptych.figures import PNG
from diptych.report.build import Origin, render
from diptych.report.card import card
from diptych.report.pictures import Pictures, Stored
from test_report import page


def test_a_picture_stands_in_the_page_once_however_often_it_is_shown():
    text = page(*[report_example.controls()] * 3, *report_example.results())

    shown = re.findall(r'<use href="#(picture-\d+)"/>', text)
    stored = re.findall(r'<image id="(picture-\d+)" width="(\d+)" height="(\d+)" href="([^"]+)"/>', text)
    assert len(shown) > len(stored) == len({data for *_, data in stored})
    assert set(shown) == {name for name, *_ in stored}
    width, height = Image.open(io.BytesIO(base64.b64decode(stored[0][3].removeprefix(PNG)))).size
    assert stored[0][1:3] == (str(width), str(height))


def test_a_picture_that_is_none_has_a_place_like_any_other():
    assert Pictures().stored(PNG + "no picture") == Stored(1, PNG + "no picture", 1, 1)


def test_the_foot_tells_the_version_the_command_and_the_days():
    one = report_example.results()[0]

    text = render([one], title="t", origin=Origin("diptych report <runs>", ["2026-11-20", "2026-11-21"]))

    made = f"Made by diptych {version('diptych')} with <code>diptych report &lt;runs&gt;</code> from 1 result, "
    assert f"{made}computed from 2026-11-20 to 2026-11-21 (UTC)." in text
    assert "computed on 2026-11-20 (UTC)" in render([one], title="t", origin=Origin(days=["2026-11-20"]))
    assert f"Made by diptych {version('diptych')} from 1 result. " in page(one)


def test_negative_numbers_of_sentences_have_the_sign_of_those_of_tables():
    told = "Gain -2.0 points [-5.4, -0.1], (-1); p = 6.8e-23 on 2026-11-05 with qwen-2 and 1-3."
    result = report_example.result("swap", "counting", told, [{"a": -0.5}], notes=[told])

    shown = "Gain −2.0 points [−5.4, −0.1], (−1); p = 6.8e-23 on 2026-11-05 with qwen-2 and 1-3."
    assert page(result).count(shown) == 4 and told not in page(result)  # answers, findings, section and note
    assert card(result).count(shown) == 2 and told not in card(result)
    assert "<td>−0.5" in page(result)


def test_conditions_that_programs_read_are_told_in_words():
    layout = '[["prefix", 0, 2], ["data", 2, 10], ["query", 10, 11]]'
    one = report_example.result("discover", "counting", "Found.", [{"a": 1}])

    text = page(replace(one, conditions={"layout": layout, "options": "{}"}))

    assert "prefix 0–1, data 2–9, query 10" in text and "<dd>the method&#39;s own</dd>" in text.replace(
        "&#x27;", "&#39;"
    )
    assert layout not in text.replace("&#34;", '"')


def test_the_words_that_the_answers_use_are_explained_where_they_link_to():
    text = page(*report_example.results())

    words = text.partition('<details id="words" open>')[2].partition("</details>")[0]
    assert '<a href="#words">' in text
    for word in ("nIoU", "Kept", "Reading layer", "p ≤ .05 among all", "Split", "Node", "cell"):
        assert word in words, word
