"""Items name parts of their text, query and picture; counterfactuals may have to be alike."""

from dataclasses import replace

import pytest

from diptych.errors import InputError
from diptych.items import Item, Task

SUM = Item("sum", "12 + 7", None, "What is the result ?", "19")

BROKEN = {
    "no name of its own": ([("data", 0, 2)], "Item 'sum' names a span 'data'. Expected a name such as 'data.operand'"),
    "an unknown segment": ([("prefix.a", 0, 2)], "names a span 'prefix.a'. Expected a name such as"),
    "behind the text": ([("data.right", 5, 7)], "has span 'data.right' at characters 5 to 7 of its text, which has 6"),
    "behind the query": ([("query.word", 0, 99)], "at characters 0 to 99 of its query, which has 20. Expected 0 ≤ start"),
    "empty": ([("data.right", 5, 5)], "has span 'data.right' at characters 5 to 5"),
    "overlapping": ([("data.left", 0, 4), ("data.right", 3, 6)], "spans 'data.right' and 'data.left' that overlap"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_span_that_is_no_part_of_its_text_is_refused(name: str) -> None:
    spans, message = BROKEN[name]

    with pytest.raises(InputError) as raised:
        replace(SUM, spans=tuple(spans))

    assert message in str(raised.value)


def test_parts_of_text_and_query_may_have_the_same_characters_and_pieces_one_name() -> None:
    spans = (("data.operand", 0, 2), ("data.operand", 5, 6), ("query.word", 0, 4))

    assert replace(SUM, spans=spans).spans == spans


def test_a_picture_without_cells_is_refused() -> None:
    with pytest.raises(InputError, match=r"Item 'sum' has \(2, 0\) cells; expected at least 1 row and 1 column"):
        replace(SUM, cells=(2, 0))


def test_a_counterfactual_may_have_to_be_alike() -> None:
    items = tuple(Item(f"i{n}", "x" * (1 + n % 3), None, "How many ?", str(n)) for n in range(60))
    task = Task("lengths", 1, items, tuple(str(n) for n in range(60)))

    found = task.contrasts("text", "discover", alike=lambda item, partner: len(item.text) == len(partner.text))  # type: ignore[arg-type]

    assert len(found) == 20
    assert all(contrast.clean.text == contrast.counterfactual.text for contrast in found)
    assert any(c.clean.text != c.counterfactual.text for c in task.contrasts("text", "discover"))
