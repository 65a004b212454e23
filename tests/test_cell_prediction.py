"""First-order effects of back-patching cells, and the cell that they choose (methods §10)."""

from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
import torch

from diptych.backpatch import Cell, back_patch, cells, forwards
from diptych.experiments._sweep import Outcomes, Sweep
from diptych.experiments.cell_prediction import _rows, _summary, cost, log_odds, rank_correlation
from diptych.first_order import first_order
from diptych.items import MODALITIES, Modality
from diptych.models.handed import record_handed
from diptych.models.hooks import hooks
from prompts import batch
from test_attribution import double
from tiny import FAMILIES, tiny


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_first_order_effect_is_the_derivative_of_the_patch(family: str, modality: Modality) -> None:
    vlm = double(family)
    some = batch(vlm, modality, 2)
    call, data = vlm.capture(some.clean), some.layout.data
    metric = partial(log_odds, answers=some.answers, choices=torch.arange(10, 60))
    with torch.no_grad(), record_handed(vlm) as own:
        vlm.run(call)

    def moved(cell: Cell, step: float) -> torch.Tensor:
        sources = list(own)
        sources[cell.source] = torch.lerp(own[cell.destination], own[cell.source], step)
        return metric(next(back_patch(vlm, call, data, [cell], sources=sources))[1])

    effects = first_order(vlm, call, data, cells(4, (1,)), metric)

    assert float(effects.abs().max()) > 0.05
    for cell, effect in zip(cells(4, (1,)), effects, strict=True):
        slope = (moved(cell, 3e-3) - moved(cell, -3e-3)) / 6e-3
        torch.testing.assert_close(effect.double(), slope.double(), atol=5e-3, rtol=2e-2)


def test_the_effect_of_a_window_is_the_sum_over_its_pairs_and_of_the_layer_itself_nothing() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 2)
    metric = partial(log_odds, answers=some.answers, choices=torch.arange(10, 60))
    asked = [Cell(1, 3, 2), Cell(0, 1, 1), Cell(1, 1, 2), Cell(2, 1, 3), Cell(1, 1, 1)]

    window, *pairs, itself = first_order(vlm, vlm.capture(some.clean), some.layout.data, asked, metric)

    torch.testing.assert_close(window, sum(pairs), atol=1e-5, rtol=1e-4)
    assert float(itself.abs().max()) == 0 < float(window.abs().min())


def test_log_odds_are_those_of_the_answer_among_the_choices() -> None:
    logits = torch.tensor([[1.0, 2.0, 5.0, 0.5], [0.0, 1.0, 9.0, 3.0]])
    choices, answers = torch.tensor([0, 1, 3]), torch.tensor([1, 3])

    found = log_odds(logits, answers=answers, choices=choices)

    p = logits[:, choices].softmax(-1)[[0, 1], [1, 2]]
    torch.testing.assert_close(found, torch.log(p / (1 - p)))


@pytest.mark.parametrize(
    "some",
    [cells(4), [Cell(1, 1, 3), Cell(0, 3, 2), Cell(0, 1, 3)], [Cell(0, 1, 3), Cell(1, 3, 2)]],
    ids=("every", "two that end alike", "lone"),
)
def test_a_sweep_costs_the_layers_and_positions_that_it_computes(some: list[Cell]) -> None:
    vlm, ran = tiny("qwen2_vl"), list[int]()
    call = vlm.capture((prompts := batch(vlm, "image", 2)).clean)
    layout = prompts.layout

    with ExitStack() as stack:
        for layer in vlm.layers:
            hook = layer.mlp.register_forward_pre_hook(lambda module, args: ran.append(args[0].shape[:2].numel()))
            stack.enter_context(hooks(hook))
        list(back_patch(vlm, call, layout.data, some))

    asked = forwards(some, 4, layout.data, layout.length, alone=True)
    assert sum(ran) / (2 * 4 * layout.length) == pytest.approx(asked)
    assert asked < 1 + sum(3 - cell.pairs(4)[0][1] for cell in some) / 4 or len(some) < 4


def test_the_cost_of_a_sweep_is_the_mean_over_shapes_of_prompts() -> None:
    shapes = [[2, 5, 10, 1]] * 3 + [[2, 5, 10, 0]]

    alone, whole = (forwards(cells(4), 4, slice(2, 5), 10, alone=one) for one in (True, False))
    assert alone < whole == pytest.approx(1 + sum(3 - cell.pairs(4)[0][1] for cell in cells(4)) / 4)
    assert cost(cells(4), shapes, 4) == pytest.approx((3 * alone + whole) / 4)


def test_where_no_cell_changes_an_answer_predictions_have_no_rank_correlation() -> None:
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([0.1, 0.2, 0.9])) == pytest.approx(1)
    assert np.isnan(rank_correlation(np.array([1.0, 2, 3]), np.zeros(3)))


def test_the_shortlist_is_tried_on_select_and_regret_is_against_the_sweep_s_cell_on_test() -> None:
    places = [(1, 0, 1), (2, 0, 1), (2, 1, 1)]

    def outcomes(gains: list[list[int]]) -> Outcomes:
        return Outcomes(places, np.zeros(4), np.array(gains, float), list("abcd"))

    select = outcomes([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    test = outcomes([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    rows = _rows(Sweep("image", select, test, 0), np.array([0.1, 0.2, 0.9]), 2, lambda some: 10.0 * len(some))

    assert [(row["source"], row["destination"]) for row in rows[:3]] == [(1, 0), (2, 1), (2, 0)]
    assert [row["regret"] for row in rows[:3]] == [0.0, 0.25, 0.5]
    assert [row["forwards"] for row in rows[:3]] == [30.0, 2.0, 21.0]
    assert rows[3]["gain"] == pytest.approx((1 + 0.5 + 0.75) / 3)
    assert rows[3]["regret"] == pytest.approx(1 - (1 + 0.5 + 0.75) / 3)


def test_a_predicted_cell_that_is_better_is_told_to_gain_more_with_its_interval() -> None:
    row = {"gain": 0.2, "low": 0.1, "high": 0.3, "forwards": 30.0}
    worse = row | {"forwards": 2.0, "regret": 0.03, "regret, low": -0.01, "regret, high": 0.06}
    better = row | {"forwards": 5.0, "regret": -0.01, "regret, low": -0.04, "regret, high": 0.02}

    assert _summary("counting", [row, worse, better], 5) == (
        "On counting the sweep's cell gains +20.0 points [+10.0, +30.0] on test for 30.0 forwards per prompt; that of first "
        "order alone gains 3.0 points less [-1.0, 6.0] for 2.0 forwards and that of the best of 5 by first order gains 1.0 "
        "points more [-2.0, 4.0] for 5.0 forwards."
    )
    single = worse | {"regret, low": None, "regret, high": None}
    assert "gains 3.0 points less [undefined, undefined]" in _summary("counting", [row, single, better], 5)
