"""Grids whose layers have different numbers of nodes: what is not there is in no circuit and counts in no size."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from diptych.compare import overlaps, set_pair
from diptych.errors import MismatchError, StoreError
from diptych.experiments._measured import random_scores
from diptych.grid import Circuit, Grid, Scores
from diptych.layout import Layout, position_map
from diptych.ranking import SAMPLE
from laws import IMAGE, LAWS, SEEDS, TEXT, layouts

HEADS, NEURONS = (3, 0, 1), (2, 5, 4)
SIZES = st.integers(0, 100).map(lambda percent: percent / 100)


def ragged(layout: Layout, seed: int = 0, *, values: int = 4) -> Scores:
    """Random scores of three layers, with high ones where no node is."""
    chance = torch.Generator().manual_seed(seed)
    heads, neurons = (torch.randint(values, (3, layout.length, n), generator=chance).float() for n in (3, 5))
    return Grid(heads + 1, neurons + 1, layout, "m", (HEADS, NEURONS))


def everything(layout: Layout) -> Circuit:
    return ragged(layout).map(lambda nodes: torch.ones_like(nodes, dtype=torch.bool))


def test_what_is_not_there_is_zero() -> None:
    found = ragged(TEXT)

    assert found.heads[0].all() and found.neurons[1].all()
    assert not found.heads[1].any() and not found.heads[2, :, 1:].any() and not found.neurons[0, :, 2:].any()


def test_a_grid_that_is_not_told_otherwise_has_all_its_nodes() -> None:
    plain = Grid(torch.ones(2, 8, 3), torch.ones(2, 8, 5), TEXT, "m")

    assert plain.there == ((3, 3), (5, 5))
    assert plain.equal(Grid(plain.heads, plain.neurons, TEXT, "m", ((3, 3), (5, 5))))
    assert not plain.equal(replace(plain, there=((3, 3), (5, 4))))


def test_sizes_count_what_is_there() -> None:
    whole = everything(TEXT)

    assert whole.size() == whole.count() == (8 * 4, 8 * 11)
    assert whole.size("query") == whole.at("query").count() == (3 * 4, 3 * 11)


def test_the_complement_holds_nothing_that_is_not_there() -> None:
    kept = ragged(TEXT).top(0.5)

    assert (kept | ~kept).equal(everything(TEXT)) and (kept & ~kept).count() == (0, 0)
    assert kept.count() == (16, 44) and (~kept).count() == (16, 44)


@LAWS
@given(layouts(), SEEDS, SIZES)
def test_the_top_is_that_of_the_nodes_that_are_there(layout: Layout, seed: int, size: float) -> None:
    drawn = ragged(layout, seed) - ragged(layout, seed + 1)  # negative scores too, below those of what is not there
    for nodes, kept, there in zip(drawn, drawn.top(size), drawn.there, strict=True):
        places = [
            (layer, position, node)
            for layer, count in enumerate(there)
            for position in range(layout.length)
            for node in range(count)
        ]
        ranked = sorted(places, key=lambda place: -nodes[place].item())  # stable
        count = round(size * 100) * len(places) // 100

        assert set(map(tuple, kept.nonzero().tolist())) == set(ranked[:count])


@pytest.mark.parametrize("values", [3, 5000, 2**24], ids=["three values", "many ties", "few ties"])
@pytest.mark.parametrize("size", [0.001, 0.37, 0.999])
def test_the_top_of_many_scores_is_that_of_a_sort(values: int, size: float) -> None:
    layout = Layout.of((1, 40), 100)
    drawn = torch.randint(values, (3, 100, SAMPLE // 50), generator=torch.Generator().manual_seed(1)).float()
    drawn[1] -= values
    grid = Grid(torch.zeros(3, 100, 1), drawn, layout, "m", ((), (drawn.shape[2], drawn.shape[2] // 2, 7)))

    kept = grid.top(size).neurons

    inside = torch.arange(drawn.shape[2]) < torch.tensor(grid.there[1])[:, None]
    ranks = drawn.masked_fill(~inside[:, None], -torch.inf).flatten().sort(descending=True, stable=True).indices
    expected = torch.zeros(drawn.numel(), dtype=torch.bool)
    expected[ranks[: int(size * 1000) * grid.size()[1] // 1000]] = True
    assert torch.equal(kept.flatten(), expected)


def test_scores_that_the_sample_does_not_see_are_ranked_all_the_same() -> None:
    layout = Layout.of((1, 40), 100)
    drawn = torch.rand(1, 100, 2 * SAMPLE // 100, generator=torch.Generator().manual_seed(2)) + 1
    drawn.flatten()[::2] = 0  # one in two is looked at

    kept = Grid(torch.zeros(1, 100, 1), drawn, layout, "m").top(0.25).neurons

    assert torch.equal(kept.flatten(), drawn.flatten() >= drawn.flatten().sort(descending=True).values[kept.sum() - 1])
    assert int(kept.sum()) == drawn.numel() // 4


def test_random_circuits_are_drawn_from_what_is_there() -> None:
    scores = ragged(TEXT)

    drawn = random_scores(scores, 3).top(0.4)

    assert drawn.count() == scores.top(0.4).count() == (12, 35)
    assert (drawn & everything(TEXT)).equal(drawn)


def test_overlaps_are_expected_of_what_is_there() -> None:
    a, b = ragged(TEXT, 1).top(0.3), ragged(IMAGE, 2).top(0.3)

    found = {(part.segment, part.kind): [pair.nodes for pair in part.pairs] for part in overlaps(a, b)}

    assert found["data", "heads"] == [4] and found["data", "neurons"] == [11]
    assert found["query", "heads"] == [5 * 4, 3 * 4] and found["generation", "neurons"] == [11, 11]


def test_the_nodes_of_a_set_are_those_it_is_told_of() -> None:
    some = torch.tensor([True, True, False, False])

    assert set_pair(some, ~some, 3).nodes == 3


def test_a_carried_and_a_cut_circuit_have_the_same_nodes_there() -> None:
    kept = ragged(TEXT).top(0.5)

    carried = kept.carry(position_map(TEXT, IMAGE), IMAGE)

    assert carried.there == kept.at("data").there == (HEADS, NEURONS)
    assert sum(carried.count()) > 0 and (carried & everything(IMAGE)).equal(carried)


def test_grids_of_different_nodes_are_not_combined() -> None:
    one, other = everything(TEXT), replace(everything(TEXT), there=((3, 1, 1), NEURONS))

    with pytest.raises(MismatchError, match=r"different nodes per layer .*\(3, 0, 1\).*\(3, 1, 1\)"):
        one & other
    with pytest.raises(MismatchError, match=r"Circuits of different nodes per layer"):
        overlaps(one, other)


@pytest.mark.parametrize("told", [(3, 3), (3, 3, 4), (3, -1, 3)])
def test_numbers_of_nodes_that_do_not_fit_are_refused(told: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"heads are told to be \(3, .* expected 3 numbers from 0 to 3"):
        replace(ragged(TEXT), there=(told, NEURONS))


def test_a_saved_grid_keeps_what_is_there(tmp_path: Path) -> None:
    grid = ragged(TEXT)
    grid.save(tmp_path / "grid.safetensors")

    assert Grid.load(tmp_path / "grid.safetensors").equal(grid)


def test_a_saved_grid_that_does_not_say_what_is_there_is_refused(tmp_path: Path) -> None:
    grid = ragged(TEXT)
    manifest = {"layout": json.dumps(grid.layout.to_json()), "model": "m"}
    save_file({"heads": grid.heads, "neurons": grid.neurons}, tmp_path / "old.safetensors", metadata=manifest)

    with pytest.raises(StoreError, match="old.safetensors' is not a saved grid: 'there'"):
        Grid.load(tmp_path / "old.safetensors")
