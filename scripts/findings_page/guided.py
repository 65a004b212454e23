"""Guided back-patching: does the repair go through the image circuit?"""

from collections.abc import Mapping
from typing import Any

from findings_page.record import Record, name
from findings_page.section import Section
from findings_page.table import above, below, chance, interval, listed, number, points, table

WAYS = ("data positions", "nodes")
SEGMENTS = ("data", "query", "generation")
EACH = 0.025
"""For either of the two ways; together 5 %."""
Pair = tuple[str, str]


def repaired(record: Record) -> dict[Pair, Mapping[str, Any]]:
    return {of: kept for of, kept in record.kept("guided_back_patching").items() if above(kept["whole"])}


def through(record: Record) -> list[Pair]:
    """Repaired pairs in which the circuit's part surely gains, and more than random parts do."""
    return [
        of
        for of, kept in repaired(record).items()
        if any("p" in kept[way] and kept[way]["p"] <= EACH and above(kept[way]["circuit"]) for way in WAYS)
    ]


def changed(record: Record, segment: str) -> tuple[int, int, int]:
    """In how many pairs the overlap with the text circuit surely rises, and surely falls, in a segment, and is defined."""
    found = [kept["overlap"].get(segment) for kept in record.kept("guided_back_patching").values()]
    changes = [one[2] for one in found if one is not None]
    return sum(map(above, changes)), sum(map(below, changes)), sum(one[0] is not None for one in changes)


def here(record: Record) -> str:
    some, total = repaired(record), record.count("guided_back_patching")
    asked = (
        f"In these, it is shown to go through the circuit (its part surely gains, and more than random parts of equal size, p ≤ "
        f"{EACH} for either way) in {len(through(record))} ({listed(map(name, through(record)))})."
        if some
        else "So there is no repair to trace to a circuit, and the parts below are told for completeness."
    )
    counts = {segment: changed(record, segment) for segment in SEGMENTS}
    moves = [f"{segment} {up} up and {down} down of {known}" for segment, (up, down, known) in counts.items()]
    return (
        f"the whole patch surely gains in {len(some)} of {total} pairs ({listed(map(name, some))}). {asked} With the patch in "
        f"place, the overlap of the image circuit with the text circuit changes surely in: {', '.join(moves)} defined. A "
        f"change of the overlap is no gain or loss by itself."
    )


def part(kept: Mapping[str, Any]) -> list[str]:
    if "undefined" in kept:
        return ["–", "–", "–"]
    value, low, high = kept["random"]
    return [points(kept["circuit"]), f"{points(value)} ({points(low)} to {points(high)})", chance(kept["p"])]


def tables(record: Record) -> list[str]:
    found = record.kept("guided_back_patching")
    rows = [[*of, points(kept["whole"]), *part(kept[WAYS[0]]), *part(kept[WAYS[1]])] for of, kept in found.items()]
    columns = [f"{way}: {what}" for way in WAYS for what in ("the circuit's", "random", "p")]
    changes = [[*of, *(moved(kept["overlap"].get(segment)) for segment in SEGMENTS)] for of, kept in found.items()]
    reasons = {
        f"{name(of)}: {kept[way]['undefined']}"
        for of, kept in found.items()
        for way in WAYS
        if "undefined" in kept[way]
    }
    draws = next(iter(found.values()))["draws"] if found else 0
    return [
        f"Gain on *test* in points with the whole patch, with the circuit's part alone, and with random parts (mean, 95 % of "
        f"{draws} draws; the smallest p is {1 / (1 + draws):.2g}):",
        table(["model", "task", "whole patch", *columns], rows),
        *(f"Undefined: {reason}." for reason in sorted(reasons)),
        "nIoU with the text circuit before → after, and its change; heads or neurons of which a circuit holds all or none, "
        "without or with the patch, are left out of both, so that the value before may differ from the overlap told above, and "
        "a dash means that neither is left:",
        table(["model", "task", *SEGMENTS], changes),
    ]


def moved(values: list[Any] | None) -> str:
    if values is None:
        return "–"
    before, after, change = values
    arrow = " → ".join(number(one) for one in (before, after))
    return f"{arrow} ({interval(change, 2, sign='+')})"


SECTION = Section(
    "Does the repair go through the circuit?",
    ["guided_back_patching"],
    "the question is new: readers found the intervention unconnected to the circuits.",
    "–",
    lambda record: f"{len(repaired(record))} sure repairs, {len(through(record))} of them through the circuit",
    here,
    tables,
)
