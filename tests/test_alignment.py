"""Which prompts of different length are used together, and what a position of their scores is."""

import pytest

from diptych.alignment import align
from diptych.errors import InputError
from diptych.layout import Layout

SHORT, LONG = Layout.of((1, 3), 7), Layout.of((1, 4), 8)  # data of 2 and of 3 tokens, query of 3
ASKED = Layout.of((1, 3), 8)  # data of 2, query of 4
NAMED = Layout.labelled(["prefix", "data.name", "data", "query", "query", "query", "generation"])


def test_prompts_of_one_shape_keep_their_tokens() -> None:
    for positions in ("aligned", "token"):
        found = align([(SHORT, 0)] * 3, positions)

        assert (found.layout, found.shapes, found.pooled) == (SHORT, {(SHORT, 0)}, [])


def test_token_takes_the_commonest_shape_alone() -> None:
    found = align([(SHORT, 0), (LONG, 0), (LONG, 0), (LONG, 7)], "token")

    assert (found.layout, found.shapes) == (LONG, {(LONG, 0)})


def test_aligned_pools_only_the_spans_that_differ_in_length() -> None:
    found = align([(SHORT, 0), (LONG, 0), (LONG, 0)], "aligned")

    assert found.layout.labels == ["prefix", "data", "query", "query", "query", "generation"]
    assert (found.shapes, found.pooled) == ({(SHORT, 0), (LONG, 0)}, ["data"])
    assert align([(SHORT, 0), (ASKED, 0), (LONG, 0)], "aligned").pooled == ["data", "query"]


def test_span_pools_every_span_even_of_one_shape() -> None:
    found = align([(SHORT, 0)], "span")

    assert found.layout.labels == ["prefix", "data", "query", "generation"]
    assert found.pooled == ["data", "query"]


def test_data_of_pictures_of_other_proportions_are_pooled_though_as_long() -> None:
    found = align([(SHORT, 0), (SHORT, 1)], "aligned")

    assert (found.layout.labels[1:3], found.pooled) == (["data", "query"], ["data"])


def test_prompts_whose_spans_have_rarer_names_are_left_out() -> None:
    for positions in ("aligned", "span"):
        assert align([(NAMED, 0), (SHORT, 0), (LONG, 0)], positions).shapes == {(SHORT, 0), (LONG, 0)}


def test_unknown_positions_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="No positions named 'tokens'. Known: aligned, token, span"):
        align([(SHORT, 0)], "tokens")  # type: ignore[arg-type]
