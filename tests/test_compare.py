"""Overlap against hand values, the authors' own, and random circuits, which overlap as expected (methods §7)."""

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from diptych.compare import OTHERWISE, SEGMENTS, Overlap, SetPair, ceiling, normalised, overlaps, set_pair, telling
from diptych.errors import MismatchError
from diptych.grid import KINDS, Circuit, Grid
from diptych.layout import Layout
from laws import IMAGE, LAWS, REFERENCE, SEEDS, TEXT, circuit, layouts

TOY = json.loads((REFERENCE / "toy_intersection.json").read_text())
NORMALISED = json.loads((REFERENCE / "normalised_iou.json").read_text())["grid"]


def uniform(layout: Layout, size: float, chance: torch.Generator) -> Circuit:
    """A random circuit of 4 layers, 16 heads and 32 neurons."""
    heads, neurons = (torch.rand(4, layout.length, count, generator=chance) for count in (16, 32))
    return Grid(heads, neurons, layout, "m").top(size)


def within_three_standard_errors(values: np.ndarray, expected: float) -> bool:
    return abs(values.mean() - expected) <= 3 * values.std(ddof=1) / math.sqrt(len(values))


def toy(side: str, positions: int) -> Circuit:
    """A toy circuit of the reference: explicit (layer, position, index)."""
    drawn = [torch.zeros(2, positions, count, dtype=torch.bool) for count in (2, 10)]
    for nodes, kind in zip(drawn, KINDS, strict=True):
        for node in TOY[f"{side}_{kind}"]:
            nodes[tuple(node)] = True
    return Grid(drawn[0], drawn[1], Layout.of((1, positions - 2), positions), "m")


def test_the_overlap_of_two_small_circuits_is_the_one_worked_out_by_hand() -> None:
    text, image = (torch.zeros(1, layout.length, 4, dtype=torch.bool) for layout in (TEXT, IMAGE))
    text[0, 2, 0] = text[0, 3, 1] = text[0, 4, 2] = text[0, 7, 3] = True  # data, data, first query, generation
    image[0, 1, 1] = image[0, 6, 2] = image[0, 9, 0] = True  # data, a left-over query position, last query position

    found = overlaps(Grid(text, text, TEXT, "m"), Grid(image, image, IMAGE, "m"))

    assert [(part.segment, part.kind) for part in found] == list(product(SEGMENTS, KINDS))
    assert found[0].pairs == (SetPair(a=2, b=1, both=1, nodes=4),)  # heads 0 and 1, against head 1
    # there: node 2 at three of five query positions, against two nodes; back: one node, against nodes 2 and 0
    assert found[2].pairs == (SetPair(a=3, b=2, both=1, nodes=20), SetPair(a=1, b=2, both=1, nodes=12))
    assert found[2].iou == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert found[4].pairs == (SetPair(a=1, b=0, both=0, nodes=4),) * 2


@pytest.mark.parametrize("kind", KINDS)
def test_carried_overlaps_are_the_reference_s(kind: str) -> None:
    text, image = toy("l", 5), toy("vl", 6)
    links = torch.zeros(5, 6, dtype=torch.bool)
    links[tuple(zip(*TOY["mapping_l_to_vl"], strict=True))] = True
    there, back = text.carry(links, image.layout), image.carry(links.T, text.layout)
    index = KINDS.index(kind)

    assert TOY[f"{kind}_iou_vl_space"] * TOY[f"{kind}_iou_l_space"] > 0
    assert getattr(there, kind).nonzero().tolist() == sorted(TOY[f"l_{kind}_mapped_to_vl"])
    assert getattr(back, kind).nonzero().tolist() == sorted(TOY[f"vl_{kind}_mapped_to_l"])
    assert set_pair(getattr(there, kind), getattr(image, kind), 24).iou == pytest.approx(TOY[f"{kind}_iou_vl_space"])
    assert set_pair(getattr(text, kind), getattr(back, kind), 20).iou == pytest.approx(TOY[f"{kind}_iou_l_space"])
    assert set_pair(text.collapse()[index], image.collapse()[index], 4).iou == pytest.approx(TOY[f"{kind}_iou_no_pos"])


def test_normalised_overlaps_are_what_the_reference_meant() -> None:
    found = [normalised(case["iou"], case["baseline"]) for case in NORMALISED]
    expected = [math.nan if case["bracketed"] is None else case["bracketed"] for case in NORMALISED]

    assert sum(value not in (0.0, 1.0) for value in expected) > 10
    assert found == pytest.approx(expected, nan_ok=True)


@LAWS
@given(layouts(), SEEDS)
def test_a_circuit_overlaps_fully_with_itself(layout: Layout, seed: int) -> None:
    for part in overlaps(circuit(layout, seed), circuit(layout, seed)):
        if any(pair.a for pair in part.pairs):
            assert part.iou == 1
            assert part.niou == pytest.approx(1) if telling(part) else math.isnan(part.niou)


def test_circuits_without_common_nodes_overlap_less_than_random_ones() -> None:
    a = circuit(TEXT, 1)

    for part in overlaps(a, ~a)[2:]:
        assert part.iou == 0
        assert part.niou < 0


@LAWS
@given(layouts(), layouts(), SEEDS, SEEDS)
def test_exchanging_text_and_image_changes_nothing(there: Layout, back: Layout, one: int, other: int) -> None:
    a, b = circuit(there, one), circuit(back, other)

    for forth, turned in zip(overlaps(a, b), overlaps(b, a), strict=True):
        assert (forth.segment, forth.kind) == (turned.segment, turned.kind)
        assert [forth.iou, forth.expected, forth.niou] == pytest.approx(
            [turned.iou, turned.expected, turned.niou], nan_ok=True
        )


@pytest.mark.parametrize("segment", ["prefix", *SEGMENTS])
def test_nodes_in_other_segments_do_not_count(segment: str) -> None:
    chance = torch.Generator().manual_seed(0)
    a, b = uniform(TEXT, 0.1, chance), uniform(IMAGE, 0.1, chance)
    assert all(count > 5 for count in a.at(segment).count())

    whole, part = ([x for x in overlaps(own, b) if x.segment != segment] for own in (a, a.without(segment)))

    assert whole == part


def test_circuits_of_two_models_are_not_compared() -> None:
    with pytest.raises(MismatchError, match="Circuits of two models, m and other. Compare circuits of one model"):
        overlaps(circuit(TEXT), replace(circuit(TEXT), model="other"))


def test_the_expected_overlap_is_the_mean_over_all_pairs_of_sets() -> None:
    assert SetPair(2, 2, 0, 4).expected == pytest.approx((1 * 0 + 4 / 3 + 1 * 1) / 6)  # of 6 pairs, 4 share one node
    assert SetPair(1, 4, 0, 4).expected == pytest.approx(1 / 4)


@pytest.mark.parametrize(("a", "b", "nodes"), [(2, 2, 16), (900, 400, 1_000), (3_000, 700, 20_000)])
def test_the_expected_overlap_weighs_shared_counts_by_the_hypergeometric_law(a: int, b: int, nodes: int) -> None:
    both = np.arange(max(0, a + b - nodes), min(a, b) + 1)
    often = hypergeom.pmf(both, nodes, a, b)

    assert SetPair(a, b, 0, nodes).expected == pytest.approx((often * both / (a + b - both)).sum(), rel=1e-10)


@pytest.mark.parametrize(("a", "b", "nodes"), [(2_000, 5_000, 100_000), (1_000_000, 3_000_000, 211_000_000)])
def test_for_large_sets_the_expected_overlap_is_the_closed_form(a: int, b: int, nodes: int) -> None:
    alpha, beta = a / nodes, b / nodes

    assert SetPair(a, b, 0, nodes).expected == pytest.approx(alpha * beta / (alpha + beta - alpha * beta), rel=2e-3)


def test_the_overlap_of_two_empty_sets_is_not_known() -> None:
    nothing = SetPair(0, 0, 0, 4)
    part = Overlap("query", "heads", (nothing,))

    assert all(map(math.isnan, [nothing.iou, nothing.expected, part.niou, *nothing.draws(3, 0), *part.null(3, 0)]))


def test_sets_that_hold_everything_cannot_overlap_more_than_by_chance() -> None:
    part = Overlap("query", "heads", (SetPair(4, 4, 4, 4),))

    assert (part.iou, part.expected) == (1, 1)
    assert all(map(math.isnan, [part.niou, *part.null(3, 0)]))


@LAWS
@given(st.integers(0, 20), st.integers(0, 20), SEEDS)
def test_draws_are_overlaps_that_sets_of_these_sizes_can_have(a: int, b: int, seed: int) -> None:
    assume(a + b > 0)
    possible = [SetPair(a, b, both, 20).iou for both in range(max(0, a + b - 20), min(a, b) + 1)]

    drawn = SetPair(a, b, 0, 20).draws(30, seed)

    assert len(drawn) == 30
    assert set(drawn.round(9)) <= {round(value, 9) for value in possible}


def test_draws_follow_from_the_seed() -> None:
    drawn = [SetPair(20, 30, 0, 100).draws(50, seed).tolist() for seed in (0, 0, 1)]

    assert drawn[0] == drawn[1] != drawn[2]


SIZES = [(2, 2, 16), (13, 25, 128), (50, 50, 512), (100, 200, 1000), (50, 5000, 100_000)]


@pytest.mark.parametrize(("a", "b", "nodes"), SIZES)
def test_the_mean_of_draws_is_the_expected_overlap(a: int, b: int, nodes: int) -> None:
    pair = SetPair(a, b, 0, nodes)

    assert pair.expected > 0
    assert within_three_standard_errors(pair.draws(200, 0), pair.expected)


@pytest.mark.parametrize(("a", "b", "nodes"), SIZES)
def test_matched_random_sets_have_a_normalised_overlap_of_zero(a: int, b: int, nodes: int) -> None:
    null = Overlap("query", "heads", (SetPair(a, b, 0, nodes), SetPair(b, a, 0, 2 * nodes))).null(200, 0)

    assert null.std() > 0
    assert within_three_standard_errors(null, 0)


@pytest.mark.parametrize("other", [Layout.of((2, 6), 12), Layout.of((1, 8), 16)], ids=["same layout", "other layout"])
@pytest.mark.parametrize("size", [0.05, 0.1, 0.25])
def test_random_circuits_have_a_normalised_overlap_of_zero_in_every_segment(size: float, other: Layout) -> None:
    chance = torch.Generator().manual_seed(0)
    own = Layout.of((2, 6), 12)
    drawn = [overlaps(uniform(own, size, chance), uniform(other, size, chance)) for _ in range(60)]

    for part in range(len(SEGMENTS) * len(KINDS)):
        found = np.array([overlap[part].niou for overlap in drawn if telling(overlap[part])])
        assert found.std() > 0 and len(found) > 30
        assert within_three_standard_errors(found, 0)


def test_random_circuits_have_a_normalised_overlap_of_zero_with_positions_the_other_way_round() -> None:
    chance = torch.Generator().manual_seed(0)
    own, other = Layout.of((2, 6), 12), Layout.of((1, 8), 16)
    drawn = [overlaps(uniform(own, 0.1, chance), uniform(other, 0.1, chance), OTHERWISE) for _ in range(60)]

    assert [(x.segment, x.positions) for x in drawn[0]] == [("data", "kept")] * 2 + [("query", "dropped")] * 2
    for part in range(len(OTHERWISE) * len(KINDS)):
        found = np.array([overlap[part].niou for overlap in drawn])
        assert found.std() > 0
        assert within_three_standard_errors(found, 0)


def test_one_position_overlaps_alike_with_its_position_kept_and_dropped() -> None:
    a, b = circuit(TEXT, 1), circuit(IMAGE, 2)

    kept, dropped = (overlaps(a, b, {"generation": rule}) for rule in ("kept", "dropped"))

    assert [x.iou for x in kept] == [x.iou for x in dropped] and 0 < kept[1].iou < 1


@pytest.mark.parametrize("part", range(len(SEGMENTS) * len(KINDS)))
def test_the_null_is_as_wide_as_random_circuits_are(part: int) -> None:
    chance = torch.Generator().manual_seed(0)
    layout = Layout.of((2, 6), 12)
    drawn = [overlaps(uniform(layout, 0.1, chance), uniform(layout, 0.1, chance))[part] for _ in range(100)]

    spread = np.array([overlap.niou for overlap in drawn]).std()
    null = np.mean([overlap.null(100, seed).std() for seed, overlap in enumerate(drawn)])

    assert null == pytest.approx(spread, rel=0.25)  # independent directions would be narrower by 1 − 1/√2 = .29


@given(st.floats(0.2, 1), st.floats(0, 0.19))
@LAWS
def test_the_ceiling_is_reached_if_panels_agree_as_well_as_halves_of_one(within: float, expected: float) -> None:
    assert ceiling(within, within, within, expected) == pytest.approx(1)
    assert ceiling(expected, within, within, expected) == 0


def test_the_ceiling_of_identical_halves_is_that_of_identical_circuits() -> None:
    part = overlaps(circuit(TEXT, 1), circuit(TEXT, 1))[2]

    assert ceiling(part.iou, part.iou, part.iou, part.expected) == 1


def test_the_share_of_the_ceiling_is_the_one_worked_out_by_hand() -> None:
    assert ceiling(0.4, 0.64, 0.36, 0.08) == pytest.approx((0.4 - 0.08) / (0.8 * 0.6 - 0.08))


def test_a_ceiling_no_higher_than_chance_is_not_known() -> None:
    assert math.isnan(ceiling(0.4, 0.2, 0.2, 0.2))
