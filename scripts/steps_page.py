"""The tables of docs/guide/steps.md, of the record in docs/steps.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]
COSTS = ("midpoint 3", "midpoint 5", "midpoint 7", "midpoint 10", "midpoint 15", "midpoint 45", "right 5", "right 10")
REFINED = (
    *(f"midpoint 5→15 at {tolerance}" for tolerance in (0.02, 0.1, 0.4)),
    "midpoint 5→15→45 at 0.02",
    "midpoint 5→15 at 0.1 pooled",
    "right 5→10 at 0.1",
)
DEFAULT = "midpoint 5→15 at 0.1"


def render(record: Record) -> dict[str, str]:
    """Each table by the name of its place on the page."""
    return {"ways": ways(record), "equal cost": equal_cost(record), "sizes": sizes(record), "made": made(record)} | {
        "random": at_random(record)
    }


def ways(record: Record) -> str:
    told = record["overall"]["ways"]
    head = ["steps", "forwards + backwards", "correlation", "top 5 %", "error", "F at 1 %", "5 %", "20 %"]
    return table(head, [[name, *_way(told[name])] for name in (*COSTS, DEFAULT)])


def _way(one: Record) -> list[str]:
    cost = f"{one['forwards']:.1f} + {one['backwards']:.1f}"
    return [
        cost,
        f"{one['correlation']:.4f}",
        f"{one['top']:.3f}",
        f"{one['error']:.1%}",
        *(f"{f:.3f}" for f in one["F"]),
    ]


def equal_cost(record: Record) -> str:
    told, spent = record["overall"]["at equal cost"], record["overall"]["ways"]
    head = [
        "adaptive",
        "mean steps",
        "correlation",
        "top 5 %",
        "more / as much / less",
        "F at 5 %",
        "surely higher / lower",
    ]
    rows = []
    for name in REFINED:
        one = told[name]
        sure = f"{one['F surely higher'][1]} / {one['F surely lower'][1]}"
        signs = " / ".join(map(str, one["more, as much, less"]))
        steps, top = f"{spent[name]['steps']:.1f}", bounds(one["top"], 3)
        rows.append([name, steps, bounds(one["correlation"], 4), top, signs, bounds(one["F"][1], 3), sure])
    return table(head, rows)


def at_random(record: Record) -> str:
    told = record["overall"]["random prompts refined"][DEFAULT]
    return (
        f"By the error of .1 rather than as many prompts at random: correlation {bounds(told['correlation'], 4)}, top 5 % "
        f"{bounds(told['top'], 3)}.\n"
    )


def sizes(record: Record) -> str:
    head = [
        "organism",
        "panel",
        "minimal sizes",
        "bisection: F per prompt",
        "same",
        "race: F per prompt",
        "same",
        "most sizes off",
    ]
    groups = [(pair["model"].rpartition("/")[2], pair["panel"]) for pair in record["pairs"]]
    rows = []
    for model, panel in dict.fromkeys(groups):
        some = [p["minimal"] for p, group in zip(record["pairs"], groups, strict=True) if group == (model, panel)]
        rows.append([model, panel, *_searched(some)])
    return table(head, [*rows, ["all", "", *_searched([pair["minimal"] for pair in record["pairs"]])]])


def _searched(some: Sequence[Record]) -> list[str]:
    swept = [one["sweep"] for one in some]
    same = sum(one["bisection"]["off"] == 0 for one in some)
    off = np.array([one["race"]["off"] for one in some])
    return [
        f"{min(swept):.1%}–{max(swept):.1%}",
        f"{np.mean([one['bisection']['forwards'] for one in some]):.2f}",
        f"{same} of {len(some)}",
        f"{np.mean([one['race']['forwards'] for one in some]):.2f}",
        f"{np.mean(off == 0):.1%}",
        str(np.abs(off).max()),
    ]


def made(record: Record) -> str:
    told = record["made"]
    counts = {name: sorted({pair["n"][name] for pair in record["pairs"]}) for name in ("discover", "select", "sweep")}
    used = {name: str(some[0]) if len(some) == 1 else f"{some[0]}–{some[-1]}" for name, some in counts.items()}
    held = len(record["pairs"])
    lacking = f" Not measured yet: {', '.join(told['lacking'])}." if told["lacking"] else ""
    return (
        f"Made on {told['date']} with torch {told['torch']}, transformers {told['transformers']}, {told['dtype']}, "
        f"{told['attention']}:\n{held} of {held + len(told['lacking'])} pairs of organism × task and panel; "
        f"{used['discover']} contrasts of discover behind scores,\n{used['select']} of select behind F, {used['sweep']} of "
        f"select behind minimal circuits, all answered correctly.{lacking}\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bounds(found: Sequence[float], digits: int) -> str:
    value, low, high = (f"{one:+.{digits}f}" for one in found)
    return f"{value} [{low}, {high}]"
