"""Named parts of an item: which characters of its text or query are an operand, an entity, a question word. No torch."""

from collections.abc import Mapping, Sequence

from diptych.errors import InputError

NamedRange = tuple[str, int, int]
"""Name (`data.operand`: of the text; `query.word`: of the query), first character, and the one behind the last."""

PARTS = {"data": "text", "query": "query"}
"""What a name begins with → the field of an item whose characters it means."""


def require_ranges(item_id: str, ranges: Sequence[NamedRange], texts: Mapping[str, str | None]) -> None:
    """Raise `InputError` unless each range has a full name, lies in its text and overlaps no other."""
    for name, start, stop in ranges:
        segment, _, part = name.partition(".")
        if segment not in PARTS or not part:
            raise InputError(
                f"Item '{item_id}' names a span '{name}'. Expected a name such as 'data.operand', a part of the text, or "
                f"'query.word', a part of the query."
            )
        text = texts[PARTS[segment]] or ""
        if not 0 <= start < stop <= len(text):
            raise InputError(
                f"Item '{item_id}' has span '{name}' at characters {start} to {stop} of its {PARTS[segment]}, which has "
                f"{len(text)}. Expected 0 ≤ start < stop ≤ {len(text)}."
            )
    for (name, start, stop), (other, first, last) in _pairs(ranges):
        if name.split(".")[0] == other.split(".")[0] and start < last and first < stop:
            raise InputError(f"Item '{item_id}' has spans '{name}' and '{other}' that overlap. Name each part once.")


def _pairs(ranges: Sequence[NamedRange]) -> list[tuple[NamedRange, NamedRange]]:
    return [(a, b) for index, a in enumerate(ranges) for b in ranges[:index]]
