"""Size: how many nodes does the smallest faithful circuit hold?"""

from findings_page.record import Record
from findings_page.section import Section
from findings_page.table import average, below, interval, middle, number, table


def larger(record: Record) -> tuple[int, int]:
    """In how many pairs the image circuit is the larger one, of those in which both have a size."""
    sizes = [
        [one[panel]["size"] for panel in ("text", "image")] for one in record.panels("faithfulness_curve").values()
    ]
    both = [(text, image) for text, image in sizes if None not in (text, image)]
    return sum(image > text for text, image in both), len(both)


def centres(record: Record) -> list[list[str]]:
    """Means, which the paper tells, and medians of the text's and the image's sizes, in % of the nodes."""
    curves = record.panels("faithfulness_curve").values()
    sizes = [[one[panel]["size"] for one in curves] for panel in ("text", "image")]
    return [[centre(some, 1, 100) for some in sizes] for centre in (average, middle)]


def short(record: Record) -> str:
    means, medians = (f"{text} % and {image} %" for text, image in centres(record))
    more, both = larger(record)
    return f"means {means}, medians {medians}; the image's larger in {more} of {both} pairs"


def here(record: Record) -> str:
    curves = record.panels("faithfulness_curve").values()
    means, medians = (
        f"{text} % of the nodes from text and {image} % from the image" for text, image in centres(record)
    )
    more, both = larger(record)
    found = [one[panel] for one in curves for panel in ("text", "image") if one[panel]["size"] is not None]
    missed = sum(below(kept["F"], kept["threshold"]) for kept in found)
    return (
        f"on average {means}; median {medians}; the image circuit is the larger one in {more} of "
        f"{both} pairs. The size is chosen on *select*: on *test*, the faithfulness of {missed} of {len(found)} circuits is "
        f"surely below the {found[0]['threshold']:.2f} that was asked for."
    )


def tables(record: Record) -> list[str]:
    rows = []
    for of, panels in record.panels("faithfulness_curve").items():
        cells = []
        for panel in ("text", "image"):
            kept = panels[panel]
            cells += [number(kept["size"], 1, 100), interval(kept.get("F")), number(kept.get("random"))]
        rows.append([*of, *cells])
    columns = [f"{panel}: {what}" for panel in ("text", "image") for what in ("% of nodes", "F on test", "F, random")]
    return [table(["model", "task", *columns], rows)]


SECTION = Section(
    "How large are the circuits?",
    ["faithfulness_curve"],
    "*Same Task, Different Circuits* found minimal circuits (faithfulness .80) of 5.3 % of the nodes from text and 13.1 % from "
    "images on average.",
    "5.3 % from text, 13.1 % from images",
    short,
    here,
    tables,
)
