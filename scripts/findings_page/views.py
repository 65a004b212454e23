"""Views: what the circuit's heads read and write."""

from collections.abc import Mapping
from typing import Any

from findings_page.record import Record
from findings_page.section import Section
from findings_page.table import interval, middle, number, table

PANELS = ("text", "image")


def shares(record: Record, panel: str) -> list[float | None]:
    """What share of the logits the heads of the circuit write directly at the last position."""
    logits = [one[panel]["logits"] for one in record.panels("node_view").values() if panel in one]
    return [own / total if total else None for total, own, _ in logits if total is not None]


def alike(record: Record) -> tuple[int, int]:
    """In how many pairs the same head reads the data most in both panels."""
    found = [one for one in record.panels("node_view").values() if all("reader" in one.get(p, {}) for p in PANELS)]
    heads = [[(one[p]["reader"]["layer"], one[p]["reader"]["head"]) for p in PANELS] for one in found]
    return sum(text == image for text, image in heads), len(heads)


def here(record: Record) -> str:
    same, both = alike(record)
    written = " and ".join(f"{middle(shares(record, p), 0, 100)} % ({p})" for p in PANELS)
    return (
        f"the head behind the data that attends to it most, beyond an even spread, is the same one in both panels in {same} of "
        f"{both} pairs. The circuit's heads at the last position write {written} of the logits between answer and "
        f"counter-answer directly, in the median; other heads, neurons and the embedding write the rest. The head is chosen on "
        f"*select*, and what it attends to is told of *test*."
    )


def cell(kept: Mapping[str, Any]) -> list[str]:
    if "reader" not in kept:
        return ["–", "–", "–"]
    head = kept["reader"]
    total, own, _ = kept["logits"]
    return [
        f"{head['segment']} {head['layer']}.{head['head']}",
        f"{interval(kept['attention'])} ({number(kept['even'])})",
        f"{number(own, 1, sign='+')} of {number(total, 1, sign='+')}",
    ]


def tables(record: Record) -> list[str]:
    rows = [
        [*of, *(text for panel in PANELS for text in cell(one.get(panel, {})))]
        for of, one in record.panels("node_view").items()
    ]
    columns = [
        f"{panel}: {what}" for panel in PANELS for what in ("head", "attention to data (even)", "logits by its heads")
    ]
    return [
        "The head (segment, layer.head) that reads the data most, its attention there and what an even spread would give; "
        "and the logits that the circuit's heads write at the last position:",
        table(["model", "task", *columns], rows),
    ]


SECTION = Section(
    "What do the circuits' heads read and write?",
    ["node_view"],
    "no claim of theirs is tested here; it shows what the circuits are made of.",
    "–",
    lambda record: f"same main reader of the data in {alike(record)[0]} of {alike(record)[1]} pairs",
    here,
    tables,
)
