"""Paper A's departures: each by hand or against the authors' numbers, and none by default (methods §14)."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given

from diptych.attribution.ap import ap
from diptych.attribution.ap_ig import ap_ig
from diptych.compare import MEASURED, OTHERWISE, overlaps
from diptych.errors import InputError, UnsupportedModel
from diptych.grid import Grid
from diptych.paper_compat import PAPER_A, PaperCompat, global_draw, sequential_positions
from laws import IMAGE, LAWS, REFERENCE, SEEDS, TEXT, circuit
from prompts import batch
from tiny import FAMILIES, tiny

NORMALISED = json.loads((REFERENCE / "normalised_iou.json").read_text())["grid"]
OWN = PaperCompat()


def test_the_authors_overlap_is_iou_minus_twice_the_baseline() -> None:
    found = [PAPER_A.normalise(case["iou"], case["baseline"]) for case in NORMALISED]

    assert max(found) > 0.5
    assert found == pytest.approx([case["notebook"] for case in NORMALISED], abs=1e-6)
    assert OWN.normalise(0.5, 0.2) == pytest.approx(0.3 / 0.8)


def test_the_authors_faithfulness_is_the_mean_of_ratios() -> None:
    circuits, empty, model = np.array([1.0, 2.0]), np.array([0.0, 0.0]), np.array([1.0, 8.0])

    assert PAPER_A.faithful(circuits, empty, model) == pytest.approx((1 + 1 / 4) / 2)
    assert OWN.faithful(circuits, empty, model) == pytest.approx(3 / 9)


def test_the_authors_report_the_cell_that_is_best_on_the_prompts_it_is_reported_on() -> None:
    select, test = np.array([0.1, 0.3, 0.2]), np.array([0.0, 0.1, 0.5])

    assert (OWN.cell(select, test), PAPER_A.cell(select, test)) == (1, 2)


def test_the_authors_leave_out_shares_of_the_gap_outside_zero_to_one() -> None:
    gains, gaps = [1, 5, -1, 1, 0], [4, 4, 4, 1, 2]

    assert PAPER_A.closed(gains, gaps) == pytest.approx((1 / 4 + 1) / 2)
    assert OWN.closed(gains, gaps) == pytest.approx((1 / 4 + 5 / 4 - 1 / 4 + 1 + 0) / 5)
    assert math.isnan(PAPER_A.closed([-1], [1]))


@LAWS
@given(SEEDS)
def test_random_circuits_over_all_positions_have_as_many_nodes_and_the_matched_ones_as_expected(seed: int) -> None:
    text, image = circuit(TEXT, seed), circuit(IMAGE, seed + 1)

    for positions in (MEASURED, OTHERWISE):
        found, drawn = overlaps(text, image, positions), global_draw(text, image, seed=seed, positions=positions)

        assert OWN.expected(found, text, image) == [part.expected for part in found]
        given = PAPER_A.expected(found, text, image, seed=seed)
        assert given == pytest.approx([part.iou for part in drawn], nan_ok=True)
        assert [(p.segment, p.kind, p.positions) for p in drawn] == [(p.segment, p.kind, p.positions) for p in found]


def test_random_circuits_are_drawn_from_the_nodes_that_there_are() -> None:
    heads, neurons = (torch.zeros(2, TEXT.length, width, dtype=torch.bool) for width in (2, 6))
    neurons[0] = True
    full = Grid(heads, neurons, TEXT, "m", ((2, 2), (6, 0)))

    drawn = [part for part in global_draw(full, full, seed=0) if part.kind == "neurons"]

    assert [(pair.a, pair.both) for part in drawn for pair in part.pairs] == [
        (pair.nodes, pair.nodes) for part in drawn for pair in part.pairs
    ]


def test_a_circuit_of_few_heads_overlaps_by_chance_once_positions_are_dropped() -> None:
    """One head at one data position: matched circuits share it in 1 of 3 draws; drawn over all positions, most miss data."""
    masks = [torch.zeros(2, layout.length, 3, dtype=torch.bool) for layout in (TEXT, IMAGE)]
    masks[0][0, 2:4], masks[1][0, 1:5] = True, True
    text, image = (Grid(mask, mask, layout, "m") for mask, layout in zip(masks, (TEXT, IMAGE), strict=True))

    found = overlaps(text, image)
    matched = OWN.expected(found, text, image)[0]
    spread = [PAPER_A.expected(found, text, image, seed=s)[0] for s in range(20)]

    assert matched == found[0].expected
    assert np.nanstd(spread) > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_if_images_are_not_interpolated_nothing_is_where_only_pictures_differ(family: str) -> None:
    vlm = tiny(family)
    some = batch(vlm, "image", 2)

    paper, own = (ap_ig(vlm, some, rule="right", steps=3, **compat.attribution).scores for compat in (PAPER_A, OWN))
    plain = ap(vlm, some).scores

    assert torch.equal(some.clean["input_ids"], some.counterfactual["input_ids"])
    torch.testing.assert_close(paper.neurons, plain.neurons, rtol=1e-4, atol=1e-6)
    assert (own.neurons - plain.neurons).abs().max() > 1e-2 * plain.neurons.max()


def test_one_dimensional_positions_change_pictures_of_m_rope_models_alone_and_are_undone() -> None:
    for family, panel, changes in (("qwen2_vl", "image", True), ("qwen2_vl", "text", False), ("llava", "image", False)):
        vlm = tiny(family)
        some = batch(vlm, panel, 2)
        plain = vlm.run(vlm.capture(some.clean))

        with PAPER_A.opened(vlm):
            counted = vlm.run(vlm.capture(some.clean))

        assert ((counted - plain).abs().max() > 1e-2) == changes
        assert torch.equal(vlm.run(vlm.capture(some.clean)), plain)
        with OWN.opened(vlm):
            assert torch.equal(vlm.run(vlm.capture(some.clean)), plain)


def test_positions_of_another_form_are_refused() -> None:
    with pytest.raises(
        UnsupportedModel, match=r"position ids have shape \[1, 2, 3, 4\]; expected \[axis, batch, pos\]"
    ):
        sequential_positions(torch.nn.Identity(), (), {"position_ids": torch.zeros(1, 2, 3, 4)})


def test_departures_that_are_not_known_are_refused() -> None:
    with pytest.raises(InputError, match="`niou` is 'i_minus_b'. Known: normalised, i_minus_2b"):
        PaperCompat(niou="i_minus_b")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`legacy_1d_rope` is 'yes'. Known: True, False"):
        PaperCompat(legacy_1d_rope="yes")  # type: ignore[arg-type]
