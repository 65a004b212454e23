"""Overlap: do the circuits of text and image hold the same nodes?"""

from findings_page.record import Record, name
from findings_page.section import Section
from findings_page.table import above, interval, middle, number, table

SEGMENTS = ("data", "query", "generation")


def counts(record: Record) -> dict[str, int]:
    found = record.kept("overlap").values()
    shares = [[kept[segment]["share of the possible"] for segment in SEGMENTS] for kept in found]
    told = [row for row in shares if None not in row]
    plain = [[kept[segment]["nIoU"][0] for segment in SEGMENTS] for kept in found]
    return {
        "chance": sum(kept["data"]["nIoU"][1] is not None and not above(kept["data"]["nIoU"]) for kept in found),
        "least": sum(row[0] < min(row[1:]) for row in told),
        "told": len(told),
        "ordered": sum(values == sorted(values) for values in plain if None not in values),
    }


def listed_medians(record: Record, column: str) -> str:
    found = record.kept("overlap").values()
    values = {segment: [kept[segment][column] for kept in found] for segment in SEGMENTS}
    return ", ".join(f"{s} {middle(v[0] if isinstance(v, list) else v for v in some)}" for s, some in values.items())


def here(record: Record) -> str:
    told, total = counts(record), record.count("overlap")
    plain, shares, ceilings = (
        listed_medians(record, column) for column in ("nIoU", "share of the possible", "of ceiling")
    )
    return (
        f"of circuits found on *discover*, median nIoU: {plain}. The two circuits differ in size, so nIoU "
        f"cannot reach 1: as a share of the highest possible, the "
        f"medians are {shares}; as a share of the ceiling, which circuits found twice from one panel set, "
        f"{ceilings}. Read the shares, not the nIoU, before calling circuits disjoint. The data circuits overlap no "
        f"more than random ones (interval not above 0) in {told['chance']} of {total} pairs; data overlaps least of the three, "
        f"as a share of the possible, in {told['least']} of the {told['told']} pairs in which all three are defined. "
        f"The paper's order, data below query below generation, holds for nIoU in {told['ordered']}."
    )


def tables(record: Record) -> list[str]:
    rows, shares = [], []
    for of, kept in record.kept("overlap").items():
        parts = [kept[segment] for segment in SEGMENTS]
        rows.append([*of, *(f"{interval(p['nIoU'])} of {number(p['highest possible'])}" for p in parts)])
        shares.append([*of])
        for part in parts:
            shares[-1] += [number(part["share of the possible"]), number(part["of ceiling"]), number(part["null 95%"])]
    what = ("share of possible", "of ceiling", "nIoU of random, 95 %")
    return [
        "nIoU (0: random circuits of the same sizes, 1: identical), mean of heads and neurons, *of* the highest possible:",
        table(["model", "task", *SEGMENTS], rows),
        "The share of the possible; the share of the ceiling, which circuits found twice from halves of one panel's prompts "
        "set; and what random circuits stay below in 95 % of draws:",
        table(["model", "task", *(f"{segment}: {one}" for segment in SEGMENTS for one in what)], shares),
        *undefined(record),
    ]


def undefined(record: Record) -> list[str]:
    """What has no nIoU, and why."""
    found = record.kept("overlap").items()
    names = [f"{name(of)} ({s})" for of, kept in found for s in SEGMENTS if kept[s]["nIoU"][0] is None]
    why = "a circuit holds all nodes of both kinds there, or none, so that the overlap follows from the sizes alone"
    return [f"Undefined, {why}: {', '.join(names)}."] if names else []


def short(record: Record) -> str:
    told = counts(record)
    return (
        f"share of the possible: {listed_medians(record, 'share of the possible')} (medians); data like random in "
        f"{told['chance']} of {record.count('overlap')} pairs, least of the three in {told['least']} of {told['told']}"
    )


SECTION = Section(
    "Do the circuits of text and image hold the same nodes?",
    ["overlap"],
    "the data circuits are disjoint, query and generation overlap partly: published means .045 (data), .127 (query), .387 "
    "(generation), of a score that the released code gets wrong (IoU − 2·b; `docs/paper-compat.md`), so only their order "
    "can be compared.",
    "data .045, query .127, generation .387",
    short,
    here,
    tables,
)
