"""Similarity: at which layer are states of the picture closest to those of its own words?"""

from findings_page.record import LEVEL, Record, adjusted
from findings_page.section import Section
from findings_page.table import chance, interval, middle, number, table

Pair = tuple[str, str]


def sure(record: Record) -> dict[Pair, float]:
    """The depth of the peak, from 0 to 1, of the pairs that have one (Holm's p over all pairs)."""
    found = record.kept("similarity")
    p_values = adjusted({of: kept["p"] for of, kept in found.items()})
    return {of: kept["layer"][0] / (kept["layers"] - 1) for of, kept in found.items() if p_values[of] <= LEVEL}


def late(record: Record) -> int:
    """How many of these peaks lie in the second half of the layers."""
    return sum(depth >= 0.5 for depth in sure(record).values())


def here(record: Record) -> str:
    peaks = sure(record)
    return (
        f"in {len(peaks)} of {record.count('similarity')} pairs an item's own picture and words are surely closer than those of "
        f"different items at some layer (p ≤ .05 by Holm's rule over the pairs). Of these, the layer of the highest similarity "
        f"lies in the second half of the network in {late(record)}; median depth {middle(peaks.values())} (0: first layer, 1: "
        f"last). A peak without such a p value is not counted, since it may be noise."
    )


def tables(record: Record) -> list[str]:
    p_values = adjusted({of: kept["p"] for of, kept in record.kept("similarity").items()})
    lens = record.kept("logit_lens")
    rows = []
    for of, kept in record.kept("similarity").items():
        read = [said(lens.get(of, {}).get(panel)) for panel in ("text", "image")]
        peak = f"{interval(kept['layer'], 0)} of 0–{kept['layers'] - 1}"
        rows.append([*of, peak, interval(kept["difference"], 3, sign="+"), chance(p_values[of]), *read])
    columns = ["closest after layer", "own less other pairs, centred cosine", "p (Holm), any layer"]
    columns += ["text: answer read from layer", "image: answer read from layer"]
    return [
        table(["model", "task", *columns], rows),
        "Read: from this layer on the logit lens at the last position gives the answer a surely higher probability than the "
        "counterfactual's (`logit_lens`).",
    ]


def said(layer: int | None) -> str:
    return "at none" if layer is None else number(layer, 0)


SECTION = Section(
    "At which layer do picture and words look alike?",
    ["similarity", "logit_lens"],
    "image representations align with those of the text, but only in late layers, too late to be used.",
    "late",
    lambda record: f"second half of the layers in {late(record)} of {len(sure(record))} pairs with a sure peak",
    here,
    tables,
)
