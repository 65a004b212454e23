"""Swap: does a circuit still work with a part of the other panel's?"""

from collections.abc import Callable, Iterable
from typing import Any

from findings_page.record import Record
from findings_page.section import Section
from findings_page.table import above, average, below, interval, middle, number, table

SEGMENTS = ("data", "query", "generation")
PARTS = (*SEGMENTS, "whole")
NODES = ("as many", "carried")


def centres(record: Record, nodes: str, centre: Callable[[Iterable[Any]], str]) -> list[str]:
    """Of each part the mean, which the paper tells, or the median over pairs."""
    found = record.kept("swap").values()
    return [f"{part} {centre(kept[f'{part}, {nodes}']['normalised'][0] for kept in found)}" for part in PARTS]


def here(record: Record) -> str:
    found = list(record.kept("swap").values())
    values = {part: [kept[f"{part}, as many"]["normalised"] for kept in found] for part in PARTS}
    lower = sum(
        below(data, one[1])
        for data, one in zip(values["data"], values["generation"], strict=True)
        if one[1] is not None
    )
    unlike = sum(data[1] is not None and not above(data) for data in values["data"])
    most = {part: sum(above(one, 0.5) for one in values[part]) for part in PARTS}
    return (
        f"with all nodes carried, which is the paper's way, means: {', '.join(centres(record, 'carried', average))} (medians: "
        f"{', '.join(centres(record, 'carried', middle))}); with as many nodes as replaced, means: "
        f"{', '.join(centres(record, 'as many', average))} (medians: "
        f"{', '.join(centres(record, 'as many', middle))}). Carried data nodes are in at every data position, so that part is much "
        f"larger than the one it replaces, and random nodes are as many; its value may exceed 1. With as many as replaced, the "
        f"swapped data part does no better than random nodes (interval not above 0) in {unlike} of {len(found)} pairs, and surely "
        f"less well than the swapped generation part in {lower}. More than half of the effect is surely kept with the other panel's "
        f"query in {most['query']}, with its generation in {most['generation']}, with its data in {most['data']} of {len(found)}."
    )


def tables(record: Record) -> list[str]:
    parts = [f"{part}, {nodes}" for nodes in NODES for part in PARTS]
    rows = [[*of, *(interval(kept[part]["normalised"]) for part in parts)] for of, kept in record.kept("swap").items()]
    undefined = [
        f"{' '.join(of)}, {part} (F own {number(kept[part]['F'][0])}, swapped {number(kept[part]['F'][1])}, random "
        f"{number(kept[part]['F'][2])}): {kept[part]['undefined']}"
        for of, kept in record.kept("swap").items()
        for part in parts
        if kept[part]["undefined"]
    ]
    said = [f"Undefined: {'; '.join(undefined)}."] if undefined else []
    return [
        "(F swapped − F random)/(F own − F random), mean of both directions:",
        table(["model", "task", *parts], rows),
        *said,
    ]


SECTION = Section(
    "Can parts of the two circuits be interchanged?",
    ["swap"],
    "with the other panel's query the circuit keeps .83, with its generation .99, with its data about 0 of what its own keeps "
    "beyond random nodes (means over models and tasks).",
    "query .83, generation .99, data about 0",
    lambda record: (
        f"means, all nodes carried: {', '.join(centres(record, 'carried', average)[:3])}; as many as replaced: "
        f"{', '.join(centres(record, 'as many', average)[:3])}"
    ),
    here,
    tables,
)
