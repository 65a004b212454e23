"""Layouts are partitions of a prompt; the position map between two of them obeys its laws (methods §2)."""

import json

import pytest
import torch
from hypothesis import given

from diptych.errors import InputError, MismatchError
from diptych.layout import SEGMENTS, Layout, Span, position_map, require_same
from laws import IMAGE, LAWS, REFERENCE, TEXT, layouts

POSITIONS = json.loads((REFERENCE / "reference_task_positions.json").read_text())["models"]
MAPS = json.loads((REFERENCE / "position_maps.json").read_text())

BROKEN = {
    "no spans": ([], "optional prefix, then data, query and generation, in this order; got []"),
    "one name twice": ([("data", 0, 1), ("data", 1, 2), ("query", 2, 3), ("generation", 3, 4)], "different names; got ['data', 'data'"),
    "an unknown segment": ([("data", 0, 1), ("answer", 1, 2), ("generation", 2, 3)], "['answer'] belong to no segment. A span's name"),
    "no query": ([("data", 0, 2), ("generation", 2, 3)], "then data, query and generation, in this order; got ['data', 'generation']"),
    "another order": ([("query", 0, 1), ("data", 1, 2), ("generation", 2, 3)], "in this order; got ['query', 'data', 'generation']"),
    "divided data": ([("data.a", 0, 1), ("query", 1, 2), ("data.b", 2, 3), ("generation", 3, 4)], "in this order; got"),
    "a late start": ([("data", 1, 2), ("query", 2, 3), ("generation", 3, 4)], "follow one another from position 0"),
    "a gap": ([("data", 0, 1), ("query", 2, 3), ("generation", 3, 4)], "follow one another from position 0"),
    "an overlap": ([("data", 0, 2), ("query", 1, 3), ("generation", 3, 4)], "follow one another from position 0"),
    "an empty span": ([("data", 0, 0), ("query", 0, 1), ("generation", 1, 2)], "Spans must be non-empty"),
    "a long generation": ([("data", 0, 1), ("query", 1, 2), ("generation", 2, 4)], "positions 2 to 3; expected the last one alone"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_layout_that_is_no_ordered_partition_is_refused(name: str) -> None:
    spans, message = BROKEN[name]

    with pytest.raises(InputError) as raised:
        Layout(tuple(Span(*span) for span in spans))

    assert message in str(raised.value)


@pytest.mark.parametrize(("data", "length"), [((2, 2), 6), ((3, 2), 6), ((-1, 2), 6), ((2, 5), 6), ((2, 6), 6)])
def test_data_that_is_empty_or_leaves_no_query_is_refused(data: tuple[int, int], length: int) -> None:
    with pytest.raises(InputError, match="Spans must be non-empty"):
        Layout.of(data, length)


def test_four_segments_follow_from_the_data_and_the_length() -> None:
    assert [span.name for span in TEXT.spans] == list(SEGMENTS)
    assert (TEXT.prefix, TEXT.data, TEXT.query, TEXT.generation) == (slice(0, 2), slice(2, 4), slice(4, 7), slice(7, 8))
    assert TEXT.length == 8


def test_a_prompt_without_prefix_has_an_empty_prefix_segment() -> None:
    layout = Layout.of((0, 2), 4)

    assert [span.name for span in layout.spans] == ["data", "query", "generation"]
    assert layout.prefix == slice(0, 0)


def test_finer_spans_make_up_their_segment() -> None:
    spans = [("data.operand", 0, 2), ("data.operator", 2, 3), ("query", 3, 4), ("generation", 4, 5)]
    layout = Layout(tuple(Span(*span) for span in spans))

    assert layout.data == slice(0, 3)


def test_an_unknown_segment_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="No segment named 'image'. Known: prefix, data, query, generation"):
        TEXT.segment("image")


@LAWS
@given(layouts())
def test_segments_partition_the_positions(layout: Layout) -> None:
    positions = [t for name in SEGMENTS for t in range(layout.length)[layout.segment(name)]]

    assert positions == list(range(layout.length))


@LAWS
@given(layouts())
def test_a_layout_survives_json(layout: Layout) -> None:
    assert Layout.from_json(json.loads(json.dumps(layout.to_json()))) == layout


def test_different_layouts_are_refused_with_both_lengths_and_the_remedy() -> None:
    require_same(TEXT, Layout.of((2, 4), 8))

    with pytest.raises(MismatchError, match=r"8 positions .* and 11 positions .*Carry one onto the other first"):
        require_same(TEXT, IMAGE)
    with pytest.raises(MismatchError, match=r"'data', 2, 4.* and .*'data', 2, 5"):
        require_same(TEXT, Layout.of((2, 5), 8))


def test_the_map_of_two_small_prompts_is_the_one_drawn_by_hand() -> None:
    expected = [
        "...........",  # prefix
        "...........",
        ".xxxx......",  # data to all data
        ".xxxx......",
        ".....xxx...",  # the first query position takes the left-overs
        "........x..",  # the others pair up from the right
        ".........x.",
        "..........x",  # generation
    ]

    assert ["".join(".x"[int(linked)] for linked in row) for row in position_map(TEXT, IMAGE)] == expected


@LAWS
@given(layouts(), layouts())
def test_the_map_back_is_the_transpose_of_the_map_there(source: Layout, target: Layout) -> None:
    there, back = position_map(source, target), position_map(target, source)

    assert there.any()
    assert torch.equal(back, there.T)


@LAWS
@given(layouts(), layouts())
def test_every_data_position_is_linked_to_every_one_of_its_name_or_else_of_the_rest_and_to_nothing_else(
    source: Layout, target: Layout
) -> None:
    linked = position_map(source, target)
    data = linked[source.data, target.data]
    named = {name for name in source.places if name.startswith("data")} & set(target.places)

    for name in named:
        assert linked[source.places[name]][:, target.places[name]].all()
        assert linked[source.places[name]].sum() == len(source.places[name]) * len(target.places[name])
    assert named or data.all()
    assert linked[source.data].sum() == linked[:, target.data].sum() == data.sum()


def of(*spans: tuple[str, int]) -> Layout:
    """A layout from names and widths."""
    return Layout.labelled([name for name, width in spans for _ in range(width)])


OPERANDS = of(
    ("data.left", 2), ("data", 1), ("data.right", 1), ("query", 1), ("query.word", 2), ("query", 1), ("generation", 1)
)
"""Positions 0–1, 2, 3, 4 and 7, 5–6, 8."""  # fmt: skip


LINKED = {
    "no names": (
        [("data", 2), ("query", 2), ("generation", 1)],
        "xx... xx... xx... xx... ..x.. ..x.. ...x. ...x. ....x",
    ),
    "other order, no rest": (
        [("data.right", 1), ("data.left", 1), ("query.word", 1), ("query", 1), ("generation", 1)],
        ".x... .x... xx... x.... ...x. ..x.. ..x.. ...x. ....x",
    ),
    "one name in common": (
        [("data.left", 1), ("data.cell", 2), ("query", 1), ("query.word", 1), ("generation", 1)],
        "x..... x..... .xx... .xx... ...x.. ....x. ....x. ...x.. .....x",
    ),
}


@pytest.mark.parametrize("name", LINKED)
def test_namesakes_are_linked_and_what_has_none_to_the_rest_or_the_whole_segment(
    name: str,
) -> None:
    spans, expected = LINKED[name]
    other = of(*spans)

    drawn = " ".join("".join(".x"[int(linked)] for linked in row) for row in position_map(OPERANDS, other))

    assert drawn == expected
    assert torch.equal(position_map(other, OPERANDS), position_map(OPERANDS, other).T)


def test_pieces_of_one_name_are_one_span_in_several_places() -> None:
    assert OPERANDS.places["query"] == [4, 7]
    assert OPERANDS.query == slice(4, 8)
    assert list(OPERANDS.places) == ["data.left", "data", "data.right", "query", "query.word", "generation"]


@LAWS
@given(layouts())
def test_a_layout_is_the_names_of_its_positions(layout: Layout) -> None:
    assert Layout.labelled(layout.labels) == layout
    assert sorted(t for places in layout.places.values() for t in places) == list(range(layout.length))


def test_pooled_spans_are_one_position_where_they_begin() -> None:
    assert OPERANDS.pooled(["data.left", "query"]).labels == [
        "data.left", "data", "data.right", "query", "query.word", "query.word", "generation"
    ]  # fmt: skip
    assert of(("data.a", 1), ("data.b", 1), ("data.a", 1), ("data.b", 1), ("data.a", 1), ("query", 1), ("generation", 1)).pooled(
        ["data.b"]
    ).places["data.a"] == [0, 2, 3]  # fmt: skip


@LAWS
@given(layouts())
def test_pooling_all_spans_leaves_one_position_each_and_pooling_none_changes_nothing(layout: Layout) -> None:
    assert layout.pooled(layout.places).labels == list(layout.places)
    assert layout.pooled([]) == layout


def test_positions_go_to_their_namesakes_one_to_one_or_all_to_one() -> None:
    target = of(("data.right", 1), ("data.left", 1), ("data", 1), ("query.word", 2), ("query", 1), ("generation", 1))

    assert OPERANDS.onto(target).tolist() == [1, 1, 2, 0, 5, 3, 4, 5, 6]
    assert OPERANDS.onto(OPERANDS).tolist() == list(range(9))


def test_layouts_of_other_spans_or_lengths_have_no_common_positions() -> None:
    plain = of(("data", 4), ("query", 2), ("generation", 1))

    with pytest.raises(MismatchError, match=r"second lacks \['data.left', .*'query.word'\] and has none besides"):
        OPERANDS.onto(plain)
    with pytest.raises(MismatchError, match=r"lacks none and has \['data.left', .*'query.word'\] besides"):
        plain.onto(OPERANDS)
    with pytest.raises(MismatchError, match="Span 'query' has 2 positions and 3; expected as many, or one"):
        plain.onto(of(("data", 4), ("query", 3), ("generation", 1)))


@LAWS
@given(layouts(), layouts())
def test_query_positions_pair_up_from_the_right_and_the_first_takes_the_rest(source: Layout, target: Layout) -> None:
    query = position_map(source, target)[source.query, target.query].flip(0, 1)  # 0 is the last query position
    short, long = sorted(query.shape)

    pairs = {(t, t) for t in range(short)} | {tuple(sorted((short - 1, t))) for t in range(short, long)}

    assert {tuple(sorted(pair)) for pair in query.nonzero().tolist()} == pairs
    assert query.sum() == long


@LAWS
@given(layouts(), layouts())
def test_the_prefix_is_linked_to_nothing_and_all_else_has_a_partner_in_its_own_segment(
    source: Layout, target: Layout
) -> None:
    linked = position_map(source, target)

    assert not linked[source.prefix].any()
    for name in SEGMENTS[1:]:
        assert linked[source.segment(name), target.segment(name)].any(1).all()
        assert linked[source.segment(name)].sum() == linked[source.segment(name), target.segment(name)].sum()


@LAWS
@given(layouts())
def test_the_map_to_itself_keeps_every_query_and_generation_position(layout: Layout) -> None:
    start = layout.query.start

    assert torch.equal(position_map(layout, layout)[start:, start:], torch.eye(layout.length - start).bool())


@pytest.mark.parametrize("family", MAPS)
def test_the_map_is_the_reference_s_outside_the_prefix(family: str) -> None:
    golden = MAPS[family]
    text, image = (Layout.of(tuple(golden[panel]["data"]), golden[panel]["length"]) for panel in ("text", "image"))
    expected = {(a, b) for a, b in golden["pairs"] if a >= text.data.start}

    assert len(expected) > text.length - text.data.start
    assert set(map(tuple, position_map(text, image).nonzero().tolist())) == expected


@pytest.mark.parametrize("model", POSITIONS)
def test_prompts_of_the_paper_s_models_have_the_expected_number_of_links(model: str) -> None:
    assert len(POSITIONS[model]) == 5
    for real in POSITIONS[model].values():
        text = Layout.of(tuple(real["text_data_range"]), real["l_seq_len"])
        image = Layout.of(tuple(real["image_data_range"]), real["vl_seq_len"])
        widths = [[s.stop - s.start for s in (x.data, x.query)] for x in (text, image)]

        assert position_map(text, image).sum() == widths[0][0] * widths[1][0] + max(widths[0][1], widths[1][1]) + 1
