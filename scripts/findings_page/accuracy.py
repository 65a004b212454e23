"""Accuracy: is a task answered worse from the image?"""

from findings_page.record import LEVEL, Record, adjusted
from findings_page.section import Section
from findings_page.table import chance, interval, middle, number, table


def gaps(record: Record) -> tuple[int, int]:
    """In how many pairs the image is surely answered worse, and surely better."""
    found = record.kept("accuracy").values()
    worse = sum(kept["image"][2] < kept["text"][1] for kept in found)
    return worse, sum(kept["image"][1] > kept["text"][2] for kept in found)


def apart(record: Record) -> int:
    """In how many pairs the panels surely differ on the same items, by Holm's rule over the pairs."""
    p_values = adjusted({of: kept["p"] for of, kept in record.kept("accuracy").items()})
    return sum(p <= LEVEL for p in p_values.values())


def here(record: Record) -> str:
    worse, better = gaps(record)
    found = record.kept("accuracy").values()
    differences = [kept["text"][0] - kept["image"][0] for kept in found]
    return (
        f"the image is answered worse, the two intervals apart, in {worse} of {record.count('accuracy')} pairs, and better in "
        f"{better}; to ask that intervals be apart is stricter than to test the difference on the same "
        f"items: McNemar's p is at most .05, by Holm's rule over the pairs, in {apart(record)}. Text minus image: median "
        f"{middle(differences, 1, 100, '+')} points, {number(min(differences), 1, 100, '+')} to "
        f"{number(max(differences), 1, 100, '+')}. Where there is no gap, there is nothing to repair."
    )


def tables(record: Record) -> list[str]:
    rows = [
        [
            *of,
            *(interval(kept[panel], 1, 100) for panel in ("text", "image")),
            chance(kept["p"]),
            number(kept["commonest"], 1, 100),
            str(kept["n"]["test"]),
        ]
        for of, kept in record.kept("accuracy").items()
    ]
    return [table(["model", "task", "text, % right", "image, % right", "McNemar p", "commonest answer, %", "n"], rows)]


SECTION = Section(
    "Is a task answered worse from the image?",
    ["accuracy"],
    "both start from a gap: models answer the same question worse if its data is an image.",
    "yes",
    lambda record: f"in {gaps(record)[0]} of {record.count('accuracy')} pairs",
    here,
    tables,
)
