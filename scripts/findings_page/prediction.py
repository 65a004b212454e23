"""Prediction: can a good cell be found without a sweep?"""

from findings_page.record import Record
from findings_page.section import Section
from findings_page.table import above, interval, middle, number, points, table

WAYS = ("first order", "shortlist")


def regrets(record: Record, way: str) -> list[float]:
    return [kept[way]["regret"][0] for kept in record.kept("cell_prediction").values()]


def costs(record: Record, way: str) -> str:
    return middle((kept[way]["forwards"] for kept in record.kept("cell_prediction").values()), 1)


def here(record: Record) -> str:
    found = record.kept("cell_prediction").values()
    helped = sum(above(kept["sweep of all cells"]["gain"]) for kept in found)
    worse = {way: sum(above(kept[way]["regret"]) for kept in found) for way in WAYS}
    medians = {way: middle(regrets(record, way), 1, 100) for way in WAYS}
    return (
        f"one backward pass ({costs(record, 'first order')} forwards per prompt against {costs(record, 'sweep of all cells')} of "
        f"the sweep, medians) misses {medians['first order']} points in the median and is surely worse than the sweep in "
        f"{worse['first order']} of {len(found)} pairs; with its five best cells tried ({costs(record, 'shortlist')} forwards) "
        f"{medians['shortlist']} points and {worse['shortlist']}. The sweep's own cell surely "
        f"gains in {helped} of them; where it does not, a regret says little."
    )


def tables(record: Record) -> list[str]:
    rows = []
    for of, kept in record.kept("cell_prediction").items():
        cells = [points(kept["sweep of all cells"]["gain"])]
        for way in WAYS:
            cells += [interval(kept[way]["regret"], 1, 100), number(kept[way]["forwards"], 1)]
        rows.append([*of, *cells])
    columns = ["gain of the sweep's cell", "regret of first order", "forwards", "regret of best of five", "forwards"]
    return [table(["model", "task", *columns], rows)]


SECTION = Section(
    "Can a good cell be predicted?",
    ["cell_prediction"],
    "the question is new: they sweep all cells.",
    "–",
    lambda record: (
        f"regret, median: {middle(regrets(record, 'first order'), 1, 100)} points by one backward pass, "
        f"{middle(regrets(record, 'shortlist'), 1, 100)} with five cells tried"
    ),
    here,
    tables,
)
