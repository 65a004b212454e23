"""The back-patching experiment: selection held out, controls that can fail, a positive and a negative control (methods §10)."""

import math
from functools import cache, partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

import diptych
from diptych.backpatch import Cell, back_patch
from diptych.experiments._controls import DONOR, OWN, control, controlled
from diptych.experiments._sweep import HELD_OUT, IN_SAMPLE, Outcomes, Sweep, stored_sweep
from diptych.experiments.back_patching import _gap, _rows, _summary
from diptych.items import Contrast, Task
from diptych.metrics import correct
from diptych.models.encode import AnswerTokens, answer_tokens, collate, encode_item
from diptych.models.handed import record_handed
from diptych.models.load import load
from diptych.models.vlm import VLM
from diptych.result import Result, Row
from diptych.run import Run, Store
from diptych.tasks.counting import counting
from tiny import FAMILIES, tiny

pytestmark = pytest.mark.xdist_group("back_patching")  # one sweep for all tests of this file

LAYER = 6
GAP = ("gap", "gap, low", "gap, high")
ORGANISM = "organism/qwen2vl"


@cache
def ordering() -> Task:
    return diptych.make_task("ordering", per_split=16)


@cache
def organism() -> VLM:
    return load(ORGANISM, verify=False)


@cache
def delayed() -> VLM:
    prompts = [encode_item(organism(), item, "image").inputs for item in ordering().split("discover")[:8]]
    return diptych.delay(organism(), LAYER, prompts)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(ORGANISM, ordering(), store=Store(tmp_path_factory.mktemp("runs")), load=lambda source: delayed())


@pytest.fixture(scope="module")
def result(run: Run) -> Result:
    return run.get("back_patching", windows=(1,))


def rows_of(result: Result) -> dict[tuple[str, str], Row]:
    return {(str(row["panel"]), str(row["cell"])): row for row in result.rows}


def image_accuracy(vlm: VLM, task: Task) -> float:
    answers = answer_tokens(vlm, task)
    items = task.split("test")
    call = vlm.capture(collate([encode_item(vlm, item, "image") for item in items]))
    return float(correct(vlm.run(call), answers.of(items), answers.choices).mean())


def test_the_sweep_finds_a_planted_delay_and_recovers_the_gap_on_test(result: Result) -> None:
    row = rows_of(result)["image", HELD_OUT]
    planted = image_accuracy(organism(), ordering()) - float(row["accuracy"] or 0)

    assert planted > 0.4
    assert int(row["source"] or 0) >= LAYER > int(row["destination"] or 0)
    assert float(row["gain"] or 0) >= 0.9 * planted and float(row["low"] or 0) > 0
    assert float(rows_of(result)["image", IN_SAMPLE]["null p"] or 1) < 0.01
    assert float(rows_of(result)["text", "image's cell, on text"]["gain"] or 0) < 0.1


def test_every_cell_that_helps_takes_from_the_delayed_layers_into_the_blind_ones(run: Run, result: Result) -> None:
    image = stored_sweep(run, result, "image").test

    helped = [cell for cell, gain in zip(image.cells, image.gains.mean(1), strict=True) if gain > 0.2]

    assert len(helped) > 4
    assert all(cell.source >= LAYER and cell.destination < LAYER - 1 for cell in helped)


def test_neither_another_picture_nor_noise_recovers_the_planted_gap(result: Result) -> None:
    rows = rows_of(result)
    own, wrong, noise = (
        float(rows["image", cell]["gain"] or 0)
        for cell in (f"{OWN}, prompts with a donor", DONOR, "noise of matched norm (3 draws)")
    )

    assert own > 0.4 and wrong < 0 and noise < own / 2
    assert float(rows["image", "own picture over wrong donor"]["low"] or 0) > 0.3
    assert "changes no logit by more than 0." in " ".join(result.notes)


def test_the_share_of_the_gap_is_the_gain_over_the_other_panel_s_lead(result: Result) -> None:
    rows = rows_of(result)
    row = rows["image", HELD_OUT]
    lead = float(rows["text", HELD_OUT]["accuracy"] or 0) - float(row["accuracy"] or 0)

    assert row["gap"] == pytest.approx(lead)
    assert row["share of gap"] == pytest.approx(float(row["gain"] or 0) / lead)
    shares = [r["share of gap"] for r in diptych.gap_closed([result]) if r["rule"] == "total"]
    assert shares == pytest.approx([row["share of gap"], rows["image", IN_SAMPLE]["share of gap"]])


@pytest.mark.parametrize("family", FAMILIES)
def test_in_a_random_model_no_cell_beats_the_null(family: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    task = counting(per_split=12, style="shapes")
    run = Run(str(tmp_path), task, store=Store(tmp_path / "runs"), load=lambda source: tiny(family))

    rows = rows_of(run.get("back_patching", windows=(1,), noise=1, rounds=1))

    sample = rows["image", IN_SAMPLE]
    assert float(sample["null p"] or 0) > 0.05 and not float(sample["gain"] or 0) > float(sample["null 95%"] or 0)


@cache
def shapes() -> tuple[list[Contrast], AnswerTokens]:
    task = counting(per_split=24, style="shapes")
    return task.contrasts("image", "test")[:4], answer_tokens(tiny("qwen2_vl"), task)


ASKED = {"cell": Cell(1, 3, 2), "draws": 2, "rounds": 2, "seed": 0}


def test_controls_do_not_depend_on_how_prompts_are_batched() -> None:
    contrasts, answers = shapes()

    whole, *parts = (
        control(tiny("qwen2_vl"), (0, some), answers=answers, **ASKED)  # type: ignore[arg-type]
        for some in (contrasts, *([one] for one in contrasts))
    )

    assert torch.equal(whole["right"], torch.cat([part["right"] for part in parts], -1))
    assert float(whole["identity"].abs().max()) == 0 and whole["right"].shape == (3 + 2 + 2, 4)


def test_the_wrong_donor_is_the_counterfactual_of_each_prompt() -> None:
    contrasts, _ = shapes()
    vlm = tiny("qwen2_vl")
    prompts, others = ([encode_item(vlm, getattr(one, which), "image") for one in contrasts] for which in FIELDS)
    with torch.no_grad(), record_handed(vlm) as donors:
        vlm.run(vlm.capture(collate(others)))
    patch = partial(back_patch, vlm, vlm.capture(collate(prompts)), prompts[0].layout.data, [Cell(1, 3, 2)])

    plain, own, wrong, *noise, once, twice, itself = controlled(vlm, contrasts, **ASKED)  # type: ignore[arg-type]

    assert torch.equal(own, next(patch())[1]) and torch.equal(wrong, next(patch(sources=donors))[1])
    assert torch.equal(once, own) and torch.equal(itself, plain)
    different = [plain, own, wrong, *noise, twice]
    assert all(float((a - b).abs().max()) > 1e-4 for a, b in combinations(different, 2))


FIELDS = ("clean", "counterfactual")


def outcomes(gains: list[list[int]]) -> Outcomes:
    """Two cells on four prompts that are all wrong when unpatched."""
    return Outcomes([(1, 0, 1), (2, 0, 1)], np.zeros(4), np.array(gains, float), list("abcd"), list("abcd"))


def many(gains: list[list[int]], times: int = 5) -> Outcomes:
    """The same, each prompt several times."""
    ids = [f"{name}{number}" for number in range(times) for name in "abcd"]
    return Outcomes([(1, 0, 1), (2, 0, 1)], np.zeros(len(ids)), np.tile(np.array(gains, float), times), ids, ids)


def test_the_cell_is_chosen_where_it_is_not_reported() -> None:
    found = Sweep("image", outcomes([[1, 1, 0, 0], [0, 0, 0, 1]]), outcomes([[0, 0, 0, 1], [1, 1, 1, 0]]), seed=0)
    rows = {(row["panel"], row["cell"]): row for row in _rows({"image": found})}

    chosen, sample = rows["image", HELD_OUT], rows["image", IN_SAMPLE]

    assert (chosen["source"], chosen["gain on select"], chosen["gain"]) == (1, 0.5, 0.25)
    assert (sample["source"], sample["gain on select"], sample["gain"]) == (2, 0.25, 0.75)
    assert float(chosen["McNemar p"] or 0) == 1.0 and float(sample["McNemar p"] or 0) == 0.25


def test_the_gap_is_that_of_items_with_both_panels() -> None:
    same = many([[1, 1, 0, 0], [0, 0, 0, 1]])
    rivals = {name: 1.0 for name in same.ids if name[0] != "d"}  # d has no text

    row = Sweep("image", same, same, 0, rivals).row(0, "")

    assert row["gap"] == 1.0 and row["share of gap"] == pytest.approx(2 / 3) and row["gain"] == 0.5
    none = Sweep("image", same, same, 0, dict.fromkeys(rivals, 0.0)).row(0, "")
    assert math.isnan(float(none["share of gap"] or 0))


def test_a_gap_of_few_prompts_of_one_sign_may_be_nothing_so_no_share_of_it_is_told() -> None:
    same = many([[1, 1, 0, 0], [0, 0, 0, 1]], times=25)

    rows = [
        Sweep("image", same, same, 0, {name: float(place < few) for place, name in enumerate(same.ids)}).row(0, "")
        for few in (3, 5, 20)
    ]

    assert [row["gap"] for row in rows] == [0.03, 0.05, 0.2]
    assert [row["gap, low"] < 0 < row["gap, high"] for row in rows] == [True, False, False]
    assert [math.isnan(row["share of gap"]) for row in rows] == [True, True, False]


def test_a_stored_sweep_is_the_sweep(run: Run, result: Result) -> None:
    image = stored_sweep(run, result, "image")

    row = rows_of(result)["image", HELD_OUT]
    assert image.row(image.select.best(), HELD_OUT).items() <= row.items()
    assert image.chosen == Cell(int(row["destination"] or 0), 1, int(row["source"] or 0))


def test_the_best_of_a_predicted_shortlist_recovers_the_planted_gap_for_fewer_forwards(run: Run) -> None:
    whole, _, several, _ = run.get("cell_prediction", windows=(1,)).rows

    assert float(several["regret"] or 0) < 0.1 and float(several["gain"] or 0) > 0.4
    assert int(several["source"] or 0) >= LAYER > int(several["destination"] or 0)
    assert float(several["forwards"] or 0) < 0.5 * float(whole["forwards"] or 0)


def test_a_share_of_a_gap_that_may_be_nothing_is_not_told() -> None:
    row: Row = {
        "cell": HELD_OUT,
        **dict(zip(GAP, (0.01, -0.02, 0.04), strict=True)),
        "share of gap": math.nan,
        "share of gap, low": math.nan,
        "share of gap, high": math.nan,
    }

    assert _gap([row]) == (
        "The gap between text and image on test is 1.0 points [-2.0, 4.0]; the share of it that the cell chosen on select closes is "
        "undefined, as gaps so uncertain may be 0."
    )
    assert "closes is undefined" in _gap([row | {"share of gap": 0.5}])
    assert _gap([{"cell": HELD_OUT}]) == "No item of test has both panels, so there is no gap to close."


@pytest.mark.parametrize(
    ("share", "told"),
    [
        ((0.5, 0.1, 0.9), "the cell chosen on select closes 50% [10, 90] of it."),
        ((-0.2, -0.5, 0.1), "the cell chosen on select widens it by 20% [-10, 50]."),
        ((0.0, -0.1, 0.1), "the cell chosen on select closes 0% [-10, 10] of it."),
    ],
)
def test_a_cell_closes_a_share_of_the_gap_or_widens_it(share: tuple[float, float, float], told: str) -> None:
    names = ("share of gap", "share of gap, low", "share of gap, high")
    row: Row = {
        "cell": HELD_OUT,
        **dict(zip(GAP, (0.1, 0.05, 0.15), strict=True)),
        **dict(zip(names, share, strict=True)),
    }

    assert _gap([row]) == f"The gap between text and image on test is 10.0 points [5.0, 15.0]; {told}"


@pytest.mark.parametrize(
    ("select", "told"),
    [
        ([[0, 0, 0, 1], [1, 0, 0, 0]], "On select 2 cells are equally good; the first is shown."),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], "No cell gains on select; the first of 2 equal ones is shown."),
        ([[0, 0, 0, -1], [0, 0, -1, -1]], "No cell gains on select; the one that loses least is shown."),
        ([[1, 1, 0, 0], [1, 0, 0, 0]], ""),
    ],
)
def test_a_choice_on_select_that_is_none_is_told_in_the_summary(select: list[list[int]], told: str) -> None:
    found = Sweep("image", outcomes(select), outcomes([[1, 1, 1, 1], [0, 0, 0, 0]]), seed=0)

    summary = _summary("counting", found)

    assert found.choice() == told and summary.endswith(f"among all cells. {told}".strip())


def test_the_summary_says_what_a_best_cell_must_gain() -> None:
    same = outcomes([[1, 1, 1, 1], [0, 0, 0, 1]])

    assert _summary("counting", Sweep("image", same, same, seed=0)).endswith(
        "the best cell in-sample shows +100.0, and must gain more than +100.0 points for p ≤ .05 among all cells."
    )
    nothing = outcomes([[0, 0, 0, 0], [0, 0, 0, 0]])
    assert "; the best cell in-sample changes no accuracy." in _summary(
        "counting", Sweep("image", same, nothing, seed=0)
    )


def test_the_null_of_each_cell_is_its_own() -> None:
    found = Sweep("image", outcomes([[1, 0, 0, 0], [0, 0, 0, 0]]), outcomes([[1, 0, 0, 0], [1, 1, 1, 1]]), seed=0)

    chosen, sample = found.reports()

    assert (chosen["null 95%"], chosen["null p"]) == (pytest.approx(0.5), 9 / 16)
    assert (sample["null 95%"], sample["null p"]) == (pytest.approx(1.0), 1 / 16)
