"""Entities: are questions about a named entity answered worse from its picture?"""

from findings_page.record import LEVEL, Record, adjusted
from findings_page.section import Section
from findings_page.table import above, chance, listed, number, points, table


def sure(record: Record) -> list[str]:
    """Models whose gap is surely above 0, by interval and by Holm's p."""
    found = record.kept("entity_gap")
    p_values = adjusted({of: kept["p"] for of, kept in found.items()})
    return [of[0] for of, kept in found.items() if above(kept["gap"]) and p_values.get(of, 1) <= LEVEL]


def here(record: Record) -> str:
    found = record.kept("entity_gap").values()
    gaps = listed(points(kept["gap"]) for kept in found)
    return (
        f"the gap is surely above 0 (interval, and p ≤ .05 by Holm's rule over the models) in {len(sure(record))} of "
        f"{record.count('entity_gap')} models ({listed(sure(record))}); in points: {gaps}. The flow of the same questions, by "
        f"layer, is that of `factual_recall` in the section before."
    )


def tables(record: Record) -> list[str]:
    rows = []
    for (model, _), kept in record.kept("entity_gap").items():
        named, entities = kept["named"]
        shares = [number(kept[panel], 1, 100) for panel in ("text", "image")]
        controls = [points(kept["gaps"][one]) for one in ("all", "known by name", "answer untold")]
        rows.append([model, f"{named} of {entities}", *shares, points(kept["gap"]), chance(kept["p"]), *controls])
    columns = ["countries named from the flag", "by name, %", "by flag, %", "gap, points", "Wilcoxon p"]
    columns += ["gap, all countries", "of what is known by name", "of answers that stand in no question"]
    return [table(["model", *columns], rows)]


SECTION = Section(
    "Is less known of an entity that is seen than of one that is named?",
    ["entity_gap"],
    "gaps of 4.3 to 17.7 points between questions by name and by picture, over entities that the model names from the picture.",
    "4.3 to 17.7 points",
    lambda record: (
        f"surely in {len(sure(record))} of {record.count('entity_gap')} models: "
        + listed(points(kept["gap"]) for kept in record.kept("entity_gap").values())
    ),
    here,
    tables,
)
