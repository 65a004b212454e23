"""The algebra of grids: exact sizes, segments, carrying, and refusals (methods §5, design §2)."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diptych.errors import InputError, MismatchError
from diptych.grid import Grid
from diptych.layout import SEGMENTS, Layout, position_map
from laws import IMAGE, LAWS, SEEDS, TEXT, circuit, layouts, scores

SIZES = st.integers(0, 100).map(lambda percent: percent / 100)


def line(*values: float) -> Grid:
    """Scores of one head and one neuron at each of as many positions."""
    nodes = torch.tensor(values).reshape(1, -1, 1)
    return Grid(nodes, nodes, Layout.of((0, 1), len(values)), "m")


def flags(grid: Grid) -> list[int]:
    return grid.heads.flatten().int().tolist()


def test_a_grid_needs_one_entry_per_position() -> None:
    with pytest.raises(MismatchError, match=r"A grid's neurons have shape \[2, 7, 5\]; expected \[layer, 8, ...\]"):
        Grid(torch.zeros(2, 8, 3), torch.zeros(2, 7, 5), TEXT, "m")


def test_a_grid_needs_three_axes() -> None:
    with pytest.raises(MismatchError, match=r"A grid's heads have shape \[2, 8\]; expected \[layer, 8, ...\]"):
        Grid(torch.zeros(2, 8), torch.zeros(2, 8, 5), TEXT, "m")


def test_heads_and_neurons_need_one_number_of_layers() -> None:
    with pytest.raises(MismatchError, match="of 2 layers, neurons .* of 3. Both need one dtype and number of layers"):
        Grid(torch.zeros(2, 8, 3), torch.zeros(3, 8, 5), TEXT, "m")


def test_heads_and_neurons_need_one_dtype() -> None:
    with pytest.raises(MismatchError, match="Heads are torch.bool .* neurons torch.float32"):
        Grid(torch.zeros(2, 8, 3).bool(), torch.zeros(2, 8, 5), TEXT, "m")


def test_a_size_is_read_as_the_decimal_it_prints_as() -> None:
    assert int(0.29 * 100) == 28  # what a product of floats would keep

    assert line(*range(100)).top(0.29).count() == (29, 29)


def test_a_circuit_of_n_percent_of_100_nodes_has_n_nodes_of_each_kind() -> None:
    ranked = line(*range(100))

    assert [ranked.top(percent / 100).count() for percent in range(101)] == [(n, n) for n in range(101)]


def test_fractions_of_a_node_are_not_kept() -> None:
    assert [line(1, 2, 3, 4).top(size).count()[0] for size in (0.24, 0.25, 0.49, 0.5, 0.999, 1)] == [0, 1, 1, 2, 3, 4]


def test_heads_and_neurons_are_ranked_apart() -> None:
    found = Grid(torch.ones(1, 8, 1), torch.full((1, 8, 4), 9.0), TEXT, "m").top(0.5)

    assert found.count() == (4, 16)  # of 8 heads and 32 neurons, though every neuron scores higher


def test_ties_go_to_the_lower_index() -> None:
    assert flags(line(1, 2, 1, 1).top(0.5)) == [1, 1, 0, 0]
    assert flags(line(0, 0, 0, 0).top(0.75)) == [1, 1, 1, 0]


def test_scores_of_either_sign_are_ranked_by_value() -> None:
    assert flags(line(-3, 2, float("-inf"), 0).top(0.5)) == [0, 1, 0, 1]


@LAWS
@given(layouts(), SEEDS, SIZES)
def test_the_top_equals_a_stable_sort_of_all_nodes(layout: Layout, seed: int, size: float) -> None:
    drawn = scores(layout, seed, values=3)
    for nodes, kept in zip(drawn, drawn.top(size), strict=True):
        ranked = sorted(range(nodes.numel()), key=lambda i: (-nodes.flatten()[i].item(), i))
        count = round(size * 100) * nodes.numel() // 100

        assert set(kept.flatten().nonzero().flatten().tolist()) == set(ranked[:count])


@LAWS
@given(layouts(), SEEDS, SIZES, SIZES)
def test_a_smaller_circuit_lies_in_a_larger_one(layout: Layout, seed: int, one: float, other: float) -> None:
    small, large = (scores(layout, seed).top(size) for size in sorted((one, other)))

    assert (small & large).equal(small)


@LAWS
@given(layouts(), SEEDS, st.lists(SIZES, max_size=4))
def test_circuits_of_several_sizes_are_those_of_each_size_alone(layout: Layout, seed: int, sizes: list[float]) -> None:
    drawn = scores(layout, seed, values=9)

    found = list(drawn.tops(sizes))

    assert len(found) == len(sizes)
    assert all(kept.equal(drawn.top(size)) for kept, size in zip(found, sizes, strict=True))


def test_a_score_that_is_nan_is_refused() -> None:
    with pytest.raises(MismatchError, match="1 scores are NaN. Rank only finite scores"):
        line(1, float("nan"), 3).top(0)


@pytest.mark.parametrize("size", [-0.1, 1.01, float("nan")])
def test_a_size_that_is_no_fraction_is_refused(size: float) -> None:
    with pytest.raises(InputError, match=f"size is {size}; expected a fraction of all nodes between 0 and 1"):
        line(1, 2, 3).top(size)


def test_a_circuit_has_no_top() -> None:
    with pytest.raises(MismatchError, match="A circuit has no ranking. Take `top` of the scores"):
        circuit(TEXT).top(0.5)


@pytest.mark.parametrize("segment", SEGMENTS)
@LAWS
@given(layouts(), SEEDS)
def test_a_segment_and_the_rest_partition_the_grid(segment: str, layout: Layout, seed: int) -> None:
    drawn = circuit(layout, seed)
    inside, outside = drawn.at(segment), drawn.without(segment)

    assert (inside | outside).equal(drawn)
    assert (inside & outside).count() == (0, 0)
    assert torch.equal(inside.heads[:, layout.segment(segment)], drawn.heads[:, layout.segment(segment)])
    assert not outside.heads[:, layout.segment(segment)].any()


@LAWS
@given(layouts(), SEEDS)
def test_scores_are_the_sum_of_their_segments(layout: Layout, seed: int) -> None:
    drawn = scores(layout, seed, values=100)
    parts = [drawn.at(segment) for segment in SEGMENTS]

    assert drawn.neurons.any()
    assert (parts[0] + parts[1] + parts[2] + parts[3]).equal(drawn)


@LAWS
@given(layouts(), SEEDS, SEEDS)
def test_complements_obey_de_morgan(layout: Layout, one: int, other: int) -> None:
    a, b = circuit(layout, one), circuit(layout, other)

    assert (~(a & b)).equal(~a | ~b)
    assert (~~a).equal(a)
    assert not (~a).equal(a)


def test_sums_differences_and_multiples_are_elementwise() -> None:
    a, b = line(1, 2, 3), line(4, 0, -1)

    assert (a + b).equal(line(5, 2, 2))
    assert (a - b).equal(line(-3, 2, 4))
    assert (a * 2).equal(line(2, 4, 6))


def test_grids_are_equal_only_if_values_layout_and_model_are() -> None:
    drawn = circuit(TEXT)
    other = drawn.neurons.clone()
    other[0, 0, 0] ^= True

    assert drawn.equal(circuit(TEXT))
    assert not drawn.equal(replace(drawn, model="other"))
    assert not drawn.equal(replace(drawn, layout=Layout.of((2, 5), 8)))
    assert not drawn.equal(replace(drawn, neurons=other))


def test_a_collapsed_circuit_has_what_is_in_at_any_position() -> None:
    heads = torch.zeros(1, 8, 3, dtype=torch.bool)
    heads[0, 2, 0] = heads[0, 7, 2] = True

    found, neurons = Grid(heads, ~heads, TEXT, "m").collapse()

    assert found.tolist() == [[True, False, True]]
    assert neurons.tolist() == [[True, True, True]]


def test_a_carried_circuit_has_a_node_wherever_a_linked_position_has_it() -> None:
    heads = torch.zeros(1, 11, 3, dtype=torch.bool)
    for position, head in ((0, 0), (4, 1), (6, 2), (9, 0)):  # prefix, data, a left-over of the query, its last position
        heads[0, position, head] = True

    carried = Grid(heads, heads, IMAGE, "m").carry(position_map(IMAGE, TEXT), TEXT)

    assert carried.heads[0].nonzero().tolist() == [[2, 1], [3, 1], [4, 2], [6, 0]]
    assert torch.equal(carried.heads, carried.neurons)


@LAWS
@given(layouts(), layouts(), SEEDS)
def test_a_circuit_carried_there_and_back_holds_the_original_outside_the_prefix(
    there: Layout, back: Layout, seed: int
) -> None:
    drawn = circuit(back, seed).without("prefix")
    carried = drawn.carry(position_map(back, there), there)

    returned = carried.carry(position_map(there, back), back)

    assert sum(carried.count()) > 0
    assert (returned & drawn).equal(drawn)


@LAWS
@given(layouts(), layouts(), SEEDS, SEEDS)
def test_carrying_a_union_is_the_union_of_what_is_carried(there: Layout, back: Layout, one: int, other: int) -> None:
    a, b, links = circuit(back, one), circuit(back, other), position_map(back, there)

    assert (a | b).carry(links, there).equal(a.carry(links, there) | b.carry(links, there))


def test_scores_cannot_be_carried() -> None:
    with pytest.raises(MismatchError, match=r"Only circuits can be carried .* Take `scores.top\(size\)` first"):
        scores(TEXT).carry(position_map(TEXT, IMAGE), IMAGE)


def test_a_map_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(
        MismatchError, match=r"The position map is \[11, 8\]; expected \[8, 11\]. Make it with `position_map"
    ):
        circuit(TEXT).carry(position_map(IMAGE, TEXT), IMAGE)


OTHERS = {
    "model": (circuit(TEXT, model="other"), "two models, m and other. Combine grids of one model"),
    "layout": (circuit(IMAGE), "8 positions .* and 11 positions .*Carry one onto the other first"),
    "number of heads": (
        circuit(TEXT, nodes=(4, 5)),
        r"different shapes .*\[2, 8, 3\], .*\[2, 8, 4\].* Combine grids of one model",
    ),
    "number of neurons": (circuit(TEXT, nodes=(3, 6)), r"different shapes .*\[2, 8, 5\]\] and .*\[2, 8, 6\]\]"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_grids_that_do_not_belong_together_are_not_combined(what: str) -> None:
    other, message = OTHERS[what]
    for combine in (Grid.__and__, Grid.__or__, Grid.__add__, Grid.__sub__):
        with pytest.raises(MismatchError, match=message):
            combine(circuit(TEXT), other)
