"""The page of findings: every pair is counted, what is undefined is told so, and nothing is said that the record does not hold."""

import math
import re
from pathlib import Path
from typing import Any

from findings_kept import kept, of_layers, rounded, sure_from
from findings_made import made
from findings_page import render

from diptych.result import Result
from findings_record import PAIRS, entry, example

SWAP = "Can parts of the two circuits be interchanged?"


def rendered(record: dict[str, Any]) -> str:
    return str(render(record))


def section(page: str, question: str) -> str:
    return page.split(f"## {question}\n")[1].split("\n## ")[0]


def result(rows: list[dict[str, Any]], conditions: dict[str, Any], notes: list[str] = [], **identity: Any) -> Result:  # noqa: B006
    plain = {"experiment": "e", "model": "m", "task": "t", "digest": "d"} | identity
    return Result(plain, "Found.", rows, conditions, notes=notes)


def test_every_table_of_a_section_has_a_row_for_every_pair() -> None:
    page = rendered(example())

    sections = [text for text in page.split("\n## ")[4:] if "Measured by" in text and "`entity_gap`" not in text]
    assert len(sections) == 10
    for text in sections:
        for rows in re.findall(r"\| --- .*\n((?:\|.*\n?)+)", text):
            assert [tuple(line.split(" | ")[:2]) for line in rows.strip().split("\n")] == [
                (f"| {m}", t) for m, t in PAIRS
            ]


def test_a_gain_counts_if_its_interval_is_above_zero_and_again_if_it_survives_holm() -> None:
    record = example()
    for pair, p in zip(PAIRS[:2], (0.01, 0.03), strict=True):
        entry(record, "back_patching", pair)["kept"] |= {"gain": [0.05, 0.01, 0.09], "null 95%": 0.04, "null p": p}
    entry(record, "back_patching", PAIRS[2])["kept"] |= {"gain": [-0.05, -0.09, -0.01]}

    text = section(rendered(record), "Does back-patching help?")

    assert "Its interval lies above 0 in 2: first counting, first sentiment (of these, 2 exceed" in text
    assert "and 1 have p ≤ .05 among all cells by Holm" in text and "below 0 in 1: second counting" in text
    assert "by +1.2 points in the mean over 4 pairs" in text
    assert "| first | counting | 0.0 [-24.2, +24.2] | +5.0 [+1.0, +9.0] | +4.0 | 0.01 | 0.04 |" in text


def test_a_gain_that_may_be_none_is_not_counted() -> None:
    record = example()
    entry(record, "back_patching")["kept"] |= {"gain": [0.05, -0.01, 0.09]}

    assert "Its interval lies above 0 in 0: none; below" in section(rendered(record), "Does back-patching help?")


def test_a_delay_is_a_lag_above_zero_and_what_is_undefined_has_its_reason() -> None:
    record = example()
    lags = [[2.0, 0.5, 3.0], [0.5, -0.5, 1.5], [-1.0, -2.0, -0.5]]
    for pair, lag in zip(PAIRS, lags, strict=False):
        entry(record, "cross_patch", pair)["kept"]["critical layer, image minus text"]["layer"] = lag
    unknown = {"layer": [None, None, None], "n": 7, "undefined": "7 clusters, at least 10 expected"}
    entry(record, "cross_patch", PAIRS[3])["kept"] |= {
        "critical layer, text": unknown,
        "critical layer, image minus text": unknown,
    }

    text = section(rendered(record), "Does the picture arrive later than the words?")

    told = "critical layer (`cross_patch`): later in 1 (by a layer or more in 1), earlier in 1, not told apart in 1, undefined in 1"
    assert f"{told}; median lag +0.50 (of the 3 defined)" in text
    assert "The picture surely decides longer than the words in: first counting." in text
    reason = "Undefined, 7 clusters, at least 10 expected: second sentiment (critical layer, text)"
    assert f"{reason}, second sentiment (critical layer, image minus text)." in text
    assert re.search(r"\| first \| counting \|[^|]*\| \+2.00 \[\+0.50, \+3.00\] \|", text)
    assert re.search(r"\| second \| sentiment \|[^|]*\| – \|", text)


def test_a_peak_of_similarity_without_a_p_value_is_not_counted() -> None:
    record = example()
    entry(record, "similarity")["kept"]["p"] = 0.2

    text = section(rendered(record), "At which layer do picture and words look alike?")

    assert "in 3 of 4 pairs an item's own picture" in text and "second half of the network in 3;" in text


def test_a_small_niou_of_circuits_of_different_sizes_is_read_against_the_highest_possible() -> None:
    record = example()
    for pair in PAIRS:
        entry(record, "overlap", pair)["kept"]["data"] |= {
            "nIoU": [0.2, -0.1, 0.5],
            "highest possible": 0.21,
            "share of the possible": 0.95,
        }

    page = rendered(record)

    text = section(page, "Do the circuits of text and image hold the same nodes?")
    assert "| 0.20 [-0.10, 0.50] of 0.21 |" in text and "medians are data 0.95," in text
    assert "(interval not above 0) in 4 of 4 pairs" in text


def test_an_overlap_without_an_interval_is_no_overlap_like_chance() -> None:
    record = example()
    values = ([None, None, None], [0.2, None, None], [0.2, 0.1, 0.3], [0.2, -0.1, 0.3])
    for pair, value in zip(PAIRS, values, strict=True):
        entry(record, "overlap", pair)["kept"]["data"]["nIoU"] = value

    text = section(rendered(record), "Do the circuits of text and image hold the same nodes?")

    assert "(interval not above 0) in 1 of 4 pairs" in text


def test_an_overlap_that_the_sizes_decide_is_told_to_be_undefined() -> None:
    record = example()
    nothing = {
        "nIoU": [None] * 3,
        "highest possible": None,
        "share of the possible": None,
        "of ceiling": None,
        "null 95%": None,
    }
    entry(record, "overlap", PAIRS[1])["kept"]["data"] = nothing

    text = section(rendered(record), "Do the circuits of text and image hold the same nodes?")

    assert "so that the overlap follows from the sizes alone: first sentiment (data)." in text
    assert "(interval not above 0) in 0 of 4 pairs" in text
    assert "in 0 of the 3 pairs in which all three are defined" in text


def test_panels_differ_where_the_test_on_the_same_items_says_so_after_holm() -> None:
    record = example()
    for pair, p in zip(PAIRS, (0.001, 0.02, 0.02, None), strict=True):
        entry(record, "accuracy", pair)["kept"]["p"] = p

    text = section(rendered(record), "Is a task answered worse from the image?")

    assert "McNemar's p is at most .05, by Holm's rule over the pairs, in 3." in text
    assert "| 0.001 | 33.3 | 12 |" in text and "| – | 33.3 | 12 |" in text


def test_what_is_kept_of_accuracy_holds_the_p_of_its_note() -> None:
    rows = [
        {"panel": panel, "split": "test", "accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 9, "commonest answer": 0.1}
        for panel in ("text", "image")
    ]
    notes = ["Text against image on the same test items: McNemar p = 0.0021."]

    assert [kept(result(rows, {}, some, experiment="accuracy"))["p"] for some in (notes, [])] == [0.0021, None]


def test_the_share_of_the_gap_is_of_all_pairs_and_beside_it_as_the_paper_averages_it() -> None:
    record = example()
    for pair, (gain, gap) in zip(PAIRS, [(0.1, 0.2), (-0.1, 0.2), (0.3, 0.2), (0.0, 0.0)], strict=True):
        entry(record, "back_patching", pair)["kept"] |= {
            "gain": [gain, gain - 0.5, gain + 0.5],
            "gap": [gap, gap - 0.1, gap + 0.1],
        }

    text = section(rendered(record), "Does back-patching help?")

    assert "all pairs: 50 %; averaged over ratios in (0, 1] alone, as in the paper: 50 % (1 of 4 pairs)" in text
    for pair in PAIRS:
        entry(record, "back_patching", pair)["kept"]["gap"] = [0.15, -0.2, 0.5]
    unsure = section(rendered(record), "Does back-patching help?")
    assert "all pairs: undefined, as the total gap may be 0; averaged" in unsure


def test_an_experiment_that_refuses_is_told_with_its_reason() -> None:
    record = example()
    refused = entry(record, "swap")
    del refused["kept"]
    refused["refused"] = "No circuit is faithful enough."

    text = section(rendered(record), "Can parts of the two circuits be interchanged?")

    assert "No result: first counting, `swap`: No circuit is faithful enough." in text
    assert "in 0 of 3 pairs" in text


def test_the_parts_of_a_repair_are_judged_only_where_there_is_one() -> None:
    record = example()
    assert "no repair to trace" in section(rendered(record), "Does the repair go through the circuit?")
    kept = entry(record, "guided_back_patching")["kept"]
    kept |= {"whole": [0.1, 0.05, 0.15]}
    kept["nodes"] |= {"circuit": [0.08, 0.02, 0.12], "p": 0.025}

    text = section(rendered(record), "Does the repair go through the circuit?")

    assert "surely gains in 1 of 4 pairs (first counting)" in text and "in 1 (first counting)." in text


def test_the_record_keeps_why_a_layer_is_undefined() -> None:
    told = {
        "reading layer, text": math.nan,
        "reading layer, text, low": math.nan,
        "reading layer, text, high": math.nan,
    }
    why = "The reading layer, text is undefined (n = 4): 4 clusters, at least 10 expected."

    found = of_layers(result([], {**told, "n test text": 4}, ["Another note.", why]))

    assert found["reading layer, text"]["undefined"] == "4 clusters, at least 10 expected"
    assert found["reading layer, text"]["n"] == 4


def test_the_lens_reads_an_answer_from_the_layer_on_which_all_later_ones_do() -> None:
    assert sure_from([{"difference low": low} for low in (0.1, -0.1, 0.2, 0.3)]) == 2
    assert sure_from([{"difference low": low} for low in (0.1, None)]) is None


def test_numbers_of_the_record_have_four_digits_and_none_is_not_finite() -> None:
    assert rounded({"a": [0.000123456, math.nan, 7, "x"]}) == {"a": [0.0001235, None, 7, "x"]}


def test_machine_time_is_that_between_the_lines_of_one_process(tmp_path: Path) -> None:
    for name, lines in {
        "swap-1": ["09:00:00 vm 7 a", "09:02:00 vm 7 b"],
        "accuracy-2": ["09:00:30 vm 7 c", "09:01:00 vm 8 d"],
    }.items():
        folder = tmp_path / "model" / "task" / name
        folder.mkdir(parents=True)
        (folder / "run.log").write_text("".join(f"2026-11-21 {line}\n" for line in lines))

    found = made(tmp_path, dict.fromkeys(("torch", "transformers", "dtype", "attention"), "x"), "1")

    assert found["minutes"] == {"accuracy": 0.5, "swap": 1.5} and found["dates"] == ["2026-11-21"]


def test_means_stand_beside_medians_where_the_paper_tells_means() -> None:
    record = example()
    for pair, size in zip(PAIRS, (0.01, 0.02, 0.03, 0.3), strict=True):
        entry(record, "swap", pair)["kept"]["query, carried"]["normalised"] = [size, 0.0, 1.0]
        for one in record["results"]:
            if one["experiment"] == "faithfulness_curve" and one["model"].endswith(pair[0]) and one["task"] == pair[1]:
                one["kept"] |= {"size": size, "F": [0.8, 0.7, 0.9], "random": 0.0}

    page = rendered(record)

    sizes = section(page, "How large are the circuits?")
    assert "on average 9.0 % of the nodes from text and 9.0 % from the image; median 2.5 % of" in sizes
    assert "means 9.0 % and 9.0 %, medians 2.5 % and 2.5 %" in page
    told = re.search(r"means: .*?query (\S+),.*?medians: .*?query (\S+),", section(page, SWAP))
    assert told and told.groups() == ("0.09", "0.03")


def test_changes_of_an_overlap_are_counted_of_those_that_are_defined() -> None:
    record = example()
    for pair, change in zip(PAIRS, ([-0.2, -0.3, -0.1], [None] * 3, [0.2, 0.1, 0.3], [0.0, -0.1, 0.1]), strict=True):
        before = None if change[0] is None else 0.2
        entry(record, "guided_back_patching", pair)["kept"]["overlap"]["data"] = [before, before, change]

    text = section(rendered(record), "Does the repair go through the circuit?")

    assert "changes surely in: data 1 up and 1 down of 3," in text
    assert "a dash means that neither is left" in text


def test_gains_on_the_prompts_that_a_cell_was_chosen_on_stand_beside_those_on_others() -> None:
    record = example()
    for pair, gain in zip(PAIRS, (0.02, 0.04, 0.0, 0.02), strict=True):
        entry(record, "back_patching", pair)["kept"] |= {"gain on select": gain, "in-sample": gain / 2}

    text = section(rendered(record), "Does back-patching help?")

    assert "the same cells show +2.0 on *select*, and the best cell on *test* itself +1.0 there" in text
