"""The overview of the report: three questions, answered with the numbers of whatever results are given."""

import re
from dataclasses import replace
from typing import Any

import pytest

import report_example
from diptych.report.build import render
from diptych.report.overview import QUESTIONS, KeyFigure, figures_of, overview
from diptych.result import Result, Row


def result(experiment: str, rows: list[Row] = (), task: str = "counting", **conditions: Any) -> Result:  # type: ignore[assignment]
    identity = {"experiment": experiment, "model": "m", "task": task, "digest": "0"}
    return Result(identity, f"What {experiment} found.", rows, conditions)


def accuracy(**values: float | None) -> Result:
    rows = [
        {"panel": panel, "split": split, "accuracy": value, "low": 0.25, "high": 0.75}
        for split in ("select", "test")
        for panel, value in values.items()
    ]
    return result("accuracy", [{**row, "accuracy": 0.0} if row["split"] == "select" else row for row in rows])


def test_the_gap_is_that_of_the_test_split():
    assert figures_of(accuracy(text=0.96, image=0.293)) == [
        KeyFigure("right from text", "96.0%", "[25.0, 75.0]"),
        KeyFigure("right from image", "29.3%", "[25.0, 75.0]"),
        KeyFigure("text minus image", "66.7 points", ""),
    ]


def test_the_gap_is_told_with_the_interval_that_accuracy_gives_it():
    told = accuracy(text=0.96, image=0.293)
    told = replace(told, conditions={"text minus image, low": 0.55, "text minus image, high": 0.76})

    assert figures_of(told)[-1] == KeyFigure("text minus image", "66.7 points", "[55.0, 76.0]")


@pytest.mark.parametrize("values", [{"image": 0.5}, {"text": None, "image": 0.5}])
def test_there_is_no_gap_without_both_panels(values):
    assert "text minus image" not in [figure.label for figure in figures_of(accuracy(**values))]


def test_overlap_is_told_by_segment_over_both_kinds_of_nodes():
    rows = [
        {"segment": "data", "kind": "heads", "nIoU": 0.9},
        {"segment": "data", "kind": "both", "nIoU": 0.2, "low": 0.1, "high": 0.3},
        {"segment": "data", "kind": "both", "nIoU": 0.7},
        {"segment": "query", "kind": "both", "nIoU": None},
        {"segment": "query", "kind": "both", "nIoU": 0.4},
    ]

    assert figures_of(result("overlap", rows)) == [KeyFigure("nIoU, data", "0.2", "[0.1, 0.3]")]


def test_the_repair_is_the_cell_chosen_on_select_beside_what_it_must_gain():
    chosen = {"panel": "image", "cell": "chosen on select", "gain": 0.029, "low": -0.004, "high": 0.052}
    chosen |= {"null 95%": 0.02}
    sample = {"panel": "image", "cell": "best on test (in-sample)", "gain": 0.5, "null 95%": 0.03}
    control = {"panel": "text", "cell": "chosen on select", "gain": 0.9, "null 95%": 0.8}

    assert figures_of(result("back_patching", [control, chosen, sample])) == [
        KeyFigure("gain on test, chosen on select", "+2.9 points", "[−0.4, +5.2]"),
        KeyFigure("this cell needs for p ≤ .05 among all", "+2.0 points", ""),
    ]
    assert figures_of(result("back_patching", [control])) == []


def test_entities_and_swaps_tell_how_far_apart_the_panels_are():
    gap = {"family": "entities", "of": "identified", "gap": 0.047, "low": 0.02, "high": 0.079}
    other = gap | {"of": "all", "gap": 0.5}
    kept = {"part": "query", "prompts": "both", "nodes": "as many", "normalised": 0.9, "low": 0.8, "high": 1.0}
    unused = [kept | {"prompts": "text"}, kept | {"nodes": "carried"}, kept | {"part": "data", "normalised": None}]

    assert figures_of(result("entity_gap", [other, gap])) == [
        KeyFigure("text minus image, of entities it names", "+4.7 points", "[+2.0, +7.9]")
    ]
    assert figures_of(result("swap", [*unused, kept])) == [KeyFigure("kept, query swapped", "0.9", "[0.8, 1]")]


def test_a_guided_patch_tells_its_gain_and_that_of_the_circuit():
    whole = {"panel": "image", "cell": "nodes: all", "gain": 0.1, "low": 0.05, "high": 0.15}
    parts = [whole | {"cell": "nodes: circuit", "gain": 0.04}, whole | {"cell": "data positions: all", "gain": 0.5}]
    undefined = {"panel": "image", "cell": "nodes: circuit", "undefined": "why"}

    told = [KeyFigure("gain of the whole patch", "+10.0 points", "[+5.0, +15.0]")]
    assert figures_of(result("guided_back_patching", [whole, undefined])) == told
    assert figures_of(result("guided_back_patching", [*parts, whole])) == [
        *told,
        KeyFigure("of the circuit's part", "+4.0 points", "[+5.0, +15.0]"),
    ]


def test_of_other_experiments_the_conditions_with_an_interval_are_told():
    layer = {"critical layer, image": 6.0, "critical layer, image, low": 5.5, "critical layer, image, high": 6.5}
    unknown = {"first layer": None, "first layer, low": None, "first layer, high": None}

    assert figures_of(result("cross_patch", **layer, **unknown, n=3)) == [
        KeyFigure("critical layer, image", "6", "[5.5, 6.5]")
    ]


def test_what_is_missing_is_said():
    shown = [(accuracy(text=1.0, image=0.5), "", "a"), (result("freeze"), "", "b")]

    apart, late, repair = overview(shown)

    assert [one.title for one in (apart, late, repair)] == list(QUESTIONS)
    assert apart.missing == ["entity_gap", "overlap", "swap"]
    assert late.missing == ["knockout", "cross_patch", "identify", "visual_integration", "similarity"]
    assert (repair.answers, repair.missing) == ([], ["back_patching", "guided_back_patching"])
    text = render([shown[0][0]], title="t")
    none = "there is no <code>back_patching</code> or <code>guided_back_patching</code>."
    assert f"Nothing among these results says; {none}" in text
    assert "Among these results there is no <code>entity_gap</code>, <code>overlap</code> or <code>swap</code>." in text


def test_each_task_and_model_has_its_own_answer_with_links_that_lead_somewhere():
    pair = [accuracy(text=1.0, image=0.5), result("freeze", task="other")]

    text = render(pair, title="t")

    links = re.findall(r'href="#([^"]+)"', text)
    assert links and all(f'id="{link}"' in text for link in links)
    apart, late, _ = overview([(one, "", "") for one in pair])
    assert [[answer.task for answer in question.answers] for question in (apart, late)] == [["counting"], ["other"]]


def test_a_result_without_numbers_is_told_in_its_sentence():
    text = render([result("accuracy", [{"accuracy": "high"}])], title="t")

    assert text.count("What accuracy found.") == 3  # answers, findings, section


def test_the_invented_results_answer_all_questions():
    questions = overview([(one, "", "") for one in report_example.results()])

    assert all(len(question.answers) == 2 for question in questions)
