"""What a swap tells: its rows, sentences and figures."""

import math
from collections.abc import Mapping, Sequence

from diptych.experiments._interchange import Interchange
from diptych.experiments._text import fixed, interval
from diptych.figures import Bars, Figure, Heatmap, Series
from diptych.grid import KINDS
from diptych.result import Row, numbers
from diptych.swap import OWN

BOTH = "both"
COUNTS = Mapping[str, Mapping[tuple[str, str], tuple[int, int]]]
SOURCES = (
    ("text", "F swapped", "text ← image"),
    ("text", "F random", "text ← random"),
    ("image", "F swapped", "image ← text"),
    ("image", "F random", "image ← random"),
)
"""Columns of the map of F: the prompts' panel, the column of the table, and its name."""


def row(into: str, part: str, nodes: str, found: Interchange, counts: COUNTS) -> Row:
    """One part, swapped in one direction or in both."""
    swapped, random = f"{nodes} {part} other", f"{nodes} {part} random"
    own, kept = found.faithfulness(OWN), found.faithfulness(swapped)
    drawn, share = found.values(random), found.normalised(swapped, random)
    sizes = _sizes(counts[into], part, nodes) if into in counts else dict.fromkeys(_columns(), None)
    return {
        "part": part,
        "prompts": into,
        "nodes": nodes,
        "normalised": share.value,
        "low": share.low,
        "high": share.high,
        "F own": own.value,
        "own low": own.low,
        "own high": own.high,
        "F swapped": kept.value,
        "swapped low": kept.low,
        "swapped high": kept.high,
        "F random": float(drawn.mean()),
        "random lowest": float(drawn.min()),
        "random highest": float(drawn.max()),
        "percentile in random": float((drawn < kept.value).mean()) if kept.reason == "" else math.nan,
        "n": share.n,
        **sizes,
        "undefined because": share.reason,
    }


def _columns() -> list[str]:
    return [f"{kind} {which}" for which in ("replaced", "swapped in") for kind in KINDS]


def _sizes(counts: Mapping[tuple[str, str], tuple[int, int]], part: str, nodes: str) -> dict[str, int]:
    return dict(zip(_columns(), [*counts[OWN, part], *counts[nodes, part]], strict=True))


def summary(task: str, rows: Sequence[Row]) -> str:
    """The normalised value of every part, both directions: of as many nodes as replaced, then of all nodes carried."""
    pairs = zip(_both(rows, "as many"), _both(rows, "carried"), strict=True)
    said = "; ".join(f"{equal['part']} {_share(equal)}, all carried {_share(all_)}" for equal, all_ in pairs)
    return (
        f"With one part of its circuit replaced by as many nodes of the other panel's, or by all of them carried, the "
        f"model keeps of {task} (0: random nodes, 1: its own, mean of both directions): {said}."
    )


def _share(row: Row) -> str:
    if row["undefined because"]:
        return f"undefined (F {fixed(row['F swapped'])}, own {fixed(row['F own'])}, random {fixed(row['F random'])})"
    return f"{fixed(row['normalised'])} {interval(row)}"


def notes(rows: Sequence[Row]) -> list[str]:
    """What is compared, and why a value is undefined."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if why := row["undefined because"]:
            reasons.setdefault(str(why), []).append(f"{row['part']} ({row['nodes']}, prompts: {row['prompts']})")
    return [
        "A data node of the other panel is in at all data positions, so the part carried over may be much larger than the "
        "part it replaces: compare with the rows of as many nodes, and with the random circuits of the same size.",
        "A value is divided by F_own − F_random of the part: where random nodes do nearly as well as the panel's own, it "
        "is large and uncertain, so read the raw F beside it.",
        "The two directions are measured on different prompts: those that the model answers rightly from each panel.",
        *(f"Undefined: {', '.join(names)}: {reason}." for reason, names in reasons.items()),
    ]


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Normalised values, the map of raw F, and each direction beside its random circuits."""
    return [_normalised(rows), _map(rows), *(_direction(rows, into) for into in ("text", "image"))]


def _both(rows: Sequence[Row], nodes: str, into: str = BOTH) -> list[Row]:
    return [row for row in rows if (row["prompts"], row["nodes"]) == (into, nodes)]


def _normalised(rows: Sequence[Row]) -> Bars:
    names = {"as many": "as many as replaced", "carried": "all nodes carried"}
    return Bars(
        title="What a circuit keeps with a part of the other panel's",
        caption="(F swapped − F random)/(F own − F random), both directions averaged first. Lines on bars: 95% intervals; "
        "a part without a bar is undefined, see the notes.",
        x_title="part swapped",
        y_title="normalised faithfulness",
        categories=[str(row["part"]) for row in _both(rows, "carried")],
        series=[
            Series(name, *(numbers(_both(rows, nodes), column) for column in ("normalised", "low", "high")))
            for nodes, name in names.items()
        ],
        levels=[(1.0, "own circuit"), (0.0, "random nodes")],
    )


def _map(rows: Sequence[Row]) -> Heatmap:
    """Raw F of the fourteen combinations and of whole circuits."""
    parts = [row["part"] for row in _both(rows, "carried")]
    values = [[_both(rows, "carried", into)[y][column] for into, column, _ in SOURCES] for y in range(len(parts))]
    own = [_both(rows, "carried", into)[0]["F own"] if column == "F swapped" else None for into, column, _ in SOURCES]
    return Heatmap(
        title="Faithfulness of every combination",
        caption="F on test prompts of a panel whose circuit has the part named from the other panel, all nodes carried, or "
        "random (mean over draws); with nothing swapped, the panel's own circuit.",
        x_title="prompts, source of the part",
        y_title="part swapped",
        value_title="F",
        x=[name for *_, name in SOURCES],
        y=["nothing", *map(str, parts)],
        values=[[_number(value) for value in line] for line in (own, *values)],
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _direction(rows: Sequence[Row], into: str) -> Bars:
    carried, as_many = (_both(rows, nodes, into) for nodes in ("carried", "as many"))

    def drawn(name: str, some: Sequence[Row]) -> Series:
        return Series(name, *(numbers(some, column) for column in ("F random", "random lowest", "random highest")))

    def kept(name: str, some: Sequence[Row]) -> Series:
        return Series(name, *(numbers(some, column) for column in ("F swapped", "swapped low", "swapped high")))

    return Bars(
        title=f"Faithfulness on {into} prompts",
        caption="F on test with one part swapped. Lines on bars: 95% intervals, of random nodes the range of all draws.",
        x_title="part swapped",
        y_title="faithfulness",
        categories=[str(row["part"]) for row in carried],
        series=[
            kept("from the other panel", carried),
            drawn("random, as many as that", carried),
            kept("the other panel's, as many as replaced", as_many),
            drawn("random, as many as replaced", as_many),
        ],
        levels=[
            (own, "own circuit") for own in numbers(carried[:1], "F own") if own is not None and math.isfinite(own)
        ],
    )
