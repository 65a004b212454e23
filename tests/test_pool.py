"""Span grids: scores are summed over each span's tokens, circuits broadcast to them, by name (methods §2)."""

import pytest
import torch
from hypothesis import given

from diptych.errors import MismatchError
from diptych.grid import Grid
from diptych.layout import Layout
from laws import LAWS, SEEDS, circuit, layouts, scores

LEFT_FIRST = Layout.labelled(["data.left", "data.left", "data.right", "query", "query", "generation"])
RIGHT_FIRST = Layout.labelled(["prefix", "data.right", "data.left", "query", "query", "generation"])


def by_span(layout: Layout) -> Layout:
    return layout.pooled(layout.places)


def doubles(grid: Grid) -> Grid:
    """Whole numbers in float64, so that sums are exact in any order."""
    return grid.map(torch.Tensor.double)


@LAWS
@given(layouts(), SEEDS)
def test_a_span_s_score_is_the_sum_over_its_tokens(layout: Layout, seed: int) -> None:
    tokens = doubles(scores(layout, seed))

    spans = tokens.pool(by_span(layout))

    for index, places in enumerate(layout.places.values()):
        for whole, parts in zip(spans, tokens, strict=True):
            assert torch.equal(whole[:, index], sum(parts[:, place] for place in places))


@LAWS
@given(layouts(), SEEDS)
def test_pooling_preserves_the_total_and_every_segment_s_total(layout: Layout, seed: int) -> None:
    tokens = doubles(scores(layout, seed))

    spans = tokens.pool(by_span(layout))

    for segment in ("prefix", "data", "query", "generation"):
        for whole, parts in zip(spans.at(segment), tokens.at(segment), strict=True):
            assert torch.equal(whole.sum(1), parts.sum(1))
    assert float(spans.heads.sum()) == float(tokens.heads.sum()) > 0


@LAWS
@given(layouts(), SEEDS)
def test_the_pool_of_a_sum_is_the_sum_of_the_pools(layout: Layout, seed: int) -> None:
    a, b = (doubles(scores(layout, seed + index)) for index in (0, 1))
    target = by_span(layout)

    assert (a + b).pool(target).equal(a.pool(target) + b.pool(target))


@LAWS
@given(layouts(), SEEDS)
def test_a_grid_whose_spans_are_one_token_long_pools_and_expands_to_itself(layout: Layout, seed: int) -> None:
    single = by_span(layout)

    assert scores(single, seed).pool(single).equal(scores(single, seed))
    assert circuit(single, seed).expand(single).equal(circuit(single, seed))
    assert scores(layout, seed).pool(layout).equal(scores(layout, seed))


@LAWS
@given(layouts(), SEEDS)
def test_an_expanded_circuit_pools_back_to_itself(layout: Layout, seed: int) -> None:
    spans = circuit(by_span(layout), seed)

    assert spans.expand(layout).pool(spans.layout).equal(spans)


@LAWS
@given(layouts(), SEEDS)
def test_an_expanded_circuit_has_each_node_at_all_tokens_of_its_span_and_at_no_other(layout: Layout, seed: int) -> None:
    spans = circuit(by_span(layout), seed)

    for whole, parts in zip(spans, spans.expand(layout), strict=True):
        for index, places in enumerate(layout.places.values()):
            assert all(torch.equal(parts[:, place], whole[:, index]) for place in places)


@LAWS
@given(layouts(), SEEDS)
def test_a_circuit_and_its_pool_hold_the_same_nodes_once_positions_are_forgotten(layout: Layout, seed: int) -> None:
    tokens = circuit(layout, seed)

    for a, b in zip(tokens.collapse(), tokens.pool(by_span(layout)).collapse(), strict=True):
        assert torch.equal(a, b)


@LAWS
@given(layouts(), SEEDS)
def test_expansion_commutes_with_the_algebra_of_circuits(layout: Layout, seed: int) -> None:
    a, b = (circuit(by_span(layout), seed + index) for index in (0, 1))

    assert (a & b).expand(layout).equal(a.expand(layout) & b.expand(layout))
    assert (~a).expand(layout).equal(~a.expand(layout))
    assert a.at("data").expand(layout).equal(a.expand(layout).at("data"))


def test_prompts_are_aligned_by_the_names_of_their_spans_whatever_their_order() -> None:
    target = by_span(LEFT_FIRST)
    other = Layout.labelled(RIGHT_FIRST.labels[1:])
    a, b = doubles(scores(LEFT_FIRST, 1)), doubles(scores(other, 2))

    total = a.pool(target) + b.pool(target)

    assert total.layout.labels == ["data.left", "data.right", "query", "generation"]
    assert torch.equal(total.heads[:, 0], a.heads[:, 0] + a.heads[:, 1] + b.heads[:, 1])
    assert torch.equal(total.neurons[:, 1], a.neurons[:, 2] + b.neurons[:, 0])


def test_only_some_spans_may_be_pooled() -> None:
    target = LEFT_FIRST.pooled(["data.left"])
    tokens = scores(LEFT_FIRST)

    some = tokens.pool(target)

    assert torch.equal(some.heads[:, 0], tokens.heads[:, :2].sum(1))
    assert torch.equal(some.heads[:, 1:], tokens.heads[:, 2:])


def test_a_layout_that_lacks_a_span_or_has_another_is_refused_with_the_names() -> None:
    spans = circuit(by_span(LEFT_FIRST))

    with pytest.raises(MismatchError, match=r"The second lacks \['prefix'\] and has none besides"):
        spans.expand(RIGHT_FIRST)
    with pytest.raises(MismatchError, match=r"has \['data.left', 'data.right'\] besides"):
        scores(Layout.of((0, 2), 5)).pool(spans.layout)


def test_scores_cannot_be_expanded() -> None:
    with pytest.raises(MismatchError, match="Only circuits can be expanded, not scores"):
        scores(by_span(LEFT_FIRST)).expand(LEFT_FIRST)


def test_a_circuit_of_tokens_is_not_spread_over_spans_of_another_length() -> None:
    with pytest.raises(MismatchError, match="Span 'query' has 3 positions and 2"):
        circuit(Layout.of((1, 2), 5)).expand(Layout.of((1, 2), 6))
