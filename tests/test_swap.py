"""Swaps: parts of circuits carried, spliced, matched in size and drawn at random (methods §8)."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diptych.compare import SEGMENTS
from diptych.errors import InputError, MismatchError
from diptych.grid import Circuit, Grid
from diptych.layout import Layout, position_map
from diptych.swap import (
    FOURTEEN,
    RANDOM,
    TRANSFERS,
    Combination,
    Donor,
    carry,
    carry_as_many,
    interchanged,
    random_like,
    splice,
)
from laws import IMAGE, LAWS, SEEDS, TEXT, circuit, layouts, scores
from test_nodes_there import everything, ragged

PARTS = st.lists(st.sampled_from(SEGMENTS), unique=True)


def test_fourteen_combinations_are_the_own_circuit_and_each_segment_from_elsewhere_for_both_panels() -> None:
    expected = {(into, "own", into) for into in ("text", "image")}
    other = {"text": "image", "image": "text"}
    expected |= {(into, part, source) for into in other for part in SEGMENTS for source in (other[into], RANDOM)}

    assert len(FOURTEEN) == len(expected) == 14
    assert {(one.into, one.part, one.source) for one in FOURTEEN} == expected
    assert {(one.into, one.source) for one in TRANSFERS} == set(product(other, ("text", "image", RANDOM))) - {
        (into, into) for into in other
    }
    assert all(one.swapped == SEGMENTS and one.part == "whole" for one in TRANSFERS)


def test_a_part_is_named_by_its_segments() -> None:
    two = Combination("text", "image", "image", "text")

    assert (two.part, two.swapped) == ("data and query", ("data", "query"))


def test_a_combination_of_two_other_sources_is_refused() -> None:
    with pytest.raises(InputError, match=r"text takes segments from \['image', 'random'\]; expected one source"):
        Combination("text", "image", "random", "text")


@LAWS
@given(layouts(), SEEDS, PARTS)
def test_a_circuit_spliced_with_itself_is_itself(layout: Layout, seed: int, parts: list[str]) -> None:
    a = circuit(layout, seed)

    assert splice(a, a, parts).equal(a)


@LAWS
@given(layouts(), SEEDS, PARTS)
def test_a_splice_has_the_donor_s_segments_and_is_its_own_elsewhere(
    layout: Layout, seed: int, parts: list[str]
) -> None:
    own, donor = circuit(layout, seed), circuit(layout, seed + 1)

    spliced = splice(own, donor, parts)

    for segment in ("prefix", *SEGMENTS):
        assert spliced.at(segment).equal((donor if segment in parts else own).at(segment))


def test_a_donor_on_another_layout_is_refused() -> None:
    with pytest.raises(MismatchError, match="The layouts differ"):
        splice(circuit(TEXT), circuit(IMAGE), [])


@LAWS
@given(layouts(), layouts(), SEEDS)
def test_there_and_back_a_circuit_holds_at_least_what_it_held(here: Layout, there: Layout, seed: int) -> None:
    a = circuit(here, seed)

    back = carry(carry(a, there), here)

    assert (a.without("prefix") & ~back).count() == (0, 0)
    assert back.at("prefix").count() == (0, 0)


@LAWS
@given(layouts(), layouts(), SEEDS)
def test_a_carried_data_node_is_in_at_all_positions_of_its_data(here: Layout, there: Layout, seed: int) -> None:
    plain = [Layout.of((x.data.start, x.data.stop), x.length) for x in (here, there)]  # data without finer spans
    a = circuit(plain[0], seed)

    carried = carry(a, plain[1])

    for nodes, anywhere in zip(carried, a.at("data").collapse(), strict=True):
        assert torch.equal(nodes[:, plain[1].data], anywhere[:, None].expand(-1, nodes[:, plain[1].data].shape[1], -1))


@LAWS
@given(layouts(), SEEDS)
def test_between_identical_panels_query_and_generation_are_swapped_for_themselves(layout: Layout, seed: int) -> None:
    a = circuit(layout, seed)

    assert splice(a, carry(a, layout), ["query", "generation"]).equal(a)
    assert (a & ~splice(a, carry(a, layout), SEGMENTS)).count() == (0, 0)


@LAWS
@given(layouts(), SEEDS, PARTS)
def test_random_nodes_are_as_many_per_segment_and_kind_and_others_for_another_seed(
    layout: Layout, seed: int, parts: list[str]
) -> None:
    a = circuit(layout, seed, nodes=(30, 50))

    drawn, again, other = (random_like(a, parts, number) for number in (seed, seed, seed + 1))

    for segment in ("prefix", *SEGMENTS):
        assert drawn.at(segment).count() == (a.at(segment).count() if segment in parts else (0, 0))
    assert drawn.equal(again) and (not parts or not drawn.equal(other))


def test_random_nodes_are_drawn_from_what_is_there() -> None:
    a = ragged(TEXT).top(0.4)

    drawn = random_like(a, SEGMENTS, 1)

    assert drawn.count() == a.without("prefix").count()
    assert (drawn & everything(TEXT)).equal(drawn)


def test_every_node_that_is_there_is_drawn_equally_often() -> None:
    a = ragged(TEXT).top(0.3)
    count, there = a.at("query").count()[1], everything(TEXT).neurons[:, TEXT.query]

    often = sum(random_like(a, ["query"], seed).neurons[:, TEXT.query].double() for seed in range(500)) / 500

    share = count / int(there.sum())
    assert 0.1 < share < 0.9 and not often[~there].any()
    assert ((often[there] - share).abs() < 5 * (share * (1 - share) / 500) ** 0.5).all()


@LAWS
@given(layouts(), layouts(), SEEDS)
def test_nodes_carried_as_many_as_replaced_are_the_highest_ranked(here: Layout, there: Layout, seed: int) -> None:
    ranked, own = scores(here, seed, values=9), circuit(there, seed + 1)

    found = carry_as_many(ranked, own)

    assert all(found.at(segment).count() == own.at(segment).count() for segment in SEGMENTS)
    assert found.at("prefix").count() == (0, 0)
    moves = position_map(here, there)
    for nodes, kept in zip(ranked, found, strict=True):
        for segment in (there.data, there.query, there.generation):
            best = torch.stack([nodes[:, moves[:, t]].amax(1) for t in range(segment.start, segment.stop)], 1)
            inside = kept[:, segment]
            assert inside.all() or not inside.any() or best[inside].min() >= best[~inside].max()


def test_as_many_nodes_as_replaced_are_those_worked_out_by_hand() -> None:
    here, there = Layout.of((0, 2), 4), Layout.of((0, 3), 5)
    values = torch.tensor([[[1.0, 5, 2]], [[4.0, 0, 3]], [[0.0, 0, 0]], [[9.0, 8, 7]]]).transpose(
        0, 1
    )  # [1, pos, node]
    own = torch.zeros(1, 5, 3, dtype=torch.bool)
    own[0, 0, :2] = own[0, 1, 0] = own[0, 2, 2] = own[0, 4, 0] = True  # four nodes of the data, one of the generation

    found = carry_as_many(Grid(values, values, here, "m"), Grid(own, own, there, "m"))

    # ranks of the data: node 1 has 5, node 0 has 4, node 2 has 3, at all three positions; ties by lower position
    assert found.heads[0].int().tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_a_donor_gives_one_circuit_or_as_many_as_are_drawn() -> None:
    own, given_ = circuit(IMAGE, 1), carry(circuit(TEXT, 2), IMAGE)
    donor = Donor(given_, draws=3, seed=0)
    chosen = {one.source: one for one in FOURTEEN if one.into == "image" and one.part in ("query", "own")}

    found = {source: list(donor.circuits(own, one)) for source, one in chosen.items()}

    assert {source: len(some) for source, some in found.items()} == {"image": 1, "text": 1, RANDOM: 3}
    assert found["image"][0].equal(own)
    assert found["text"][0].equal(splice(own, given_, ["query"]))
    for drawn in found[RANDOM]:
        assert drawn.without("query").equal(own.without("query"))
        assert drawn.at("query").count() == given_.at("query").count()
    assert not found[RANDOM][0].equal(found[RANDOM][1])


def test_the_normalised_value_averages_directions_first() -> None:
    value = interchanged(own=[0.9, 0.5], swapped=[0.6, 0.4], random=[0.1, 0.3])

    assert value == pytest.approx((0.5 - 0.2) / (0.7 - 0.2))
    assert value != pytest.approx(((0.6 - 0.1) / 0.8 + (0.4 - 0.3) / 0.2) / 2)
    assert np.isnan(interchanged([0.5], [0.5], [0.5]))


def test_swapping_random_nodes_for_random_nodes_is_worth_nothing_and_own_for_own_everything() -> None:
    own, random = np.array([[0.8], [0.6]]), np.array([[0.2], [0.1]])

    assert (interchanged(own, own, random), interchanged(own, random, random)) == (1, 0)


def as_floats(a: Circuit) -> Grid:
    return replace(a, heads=a.heads.float(), neurons=a.neurons.float())


def test_as_many_of_a_circuit_on_its_own_layout_keep_the_nodes_of_query_and_generation() -> None:
    a = circuit(TEXT, 3)

    found = carry_as_many(as_floats(a), a)

    assert all(found.at(segment).equal(a.at(segment)) for segment in ("query", "generation"))


def test_the_example_of_the_guide_runs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "guide" / "swap.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {"text_scores": scores(TEXT, 1, values=1000), "image_scores": scores(IMAGE, 2, values=1000)}

    exec(example, names)

    image, mixed = names["image"], names["mixed"]
    assert mixed.without("query").equal(image.without("query")) and not mixed.equal(image)
