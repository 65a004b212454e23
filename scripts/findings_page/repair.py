"""Repair: does back-patching help on prompts that the cell was not chosen on?"""

from diptych.gap_share import total_gap
from findings_page.record import LEVEL, Record, adjusted, name
from findings_page.section import Section
from findings_page.table import above, below, chance, interval, listed, middle, number, points, table

Pair = tuple[str, str]


def gained(record: Record) -> list[Pair]:
    """Pairs whose chosen cell surely gains on test, by its own interval."""
    return [of for of, kept in record.kept("back_patching").items() if above(kept["gain"])]


def beyond(record: Record) -> list[Pair]:
    """Those whose gain is also rarer than chance among all cells, by Holm's rule over the pairs."""
    p_values = adjusted({of: kept["null p"] for of, kept in record.kept("back_patching").items()})
    return [of for of in gained(record) if p_values.get(of, 1) <= LEVEL]


def over_null(record: Record) -> list[Pair]:
    """Those whose gain is above the null's 95th percentile among all cells."""
    found = record.kept("back_patching")
    return [of for of in gained(record) if (found[of]["null 95%"] or 0) < found[of]["gain"][0]]


def here(record: Record) -> str:
    found = record.kept("back_patching")
    lost = [of for of, kept in found.items() if below(kept["gain"])]
    gains, best = ([kept["gain"][0] for kept in found.values()], [kept["in-sample"] for kept in found.values()])
    chosen = [kept["gain on select"] for kept in found.values()]
    mean = sum(gains) / len(gains)
    sure = gained(record)
    judged = (
        f" (of these, {len(over_null(record))} exceed the null's 95th percentile and {len(beyond(record))} have p ≤ .05 among all "
        f"cells by Holm's rule over the pairs)"
        if sure
        else ""
    )
    return (
        f"the cell chosen on *select* changes accuracy on *test* by {points(mean)} points in the mean over {len(found)} pairs "
        f"(median {points_of(gains)}). Its interval lies above 0 in {len(sure)}: {listed(map(name, sure))}{judged}; below 0 in "
        f"{len(lost)}: {listed(map(name, lost))}. Chosen and reported on the same prompts, gains look better: the same cells show "
        f"{points(sum(chosen) / len(chosen))} on *select*, and the best cell on *test* itself {points(sum(best) / len(best))} there, "
        f"in the mean. {closed(record)} Where a patch changes no answer of 100, a true gain or loss of 3 points is not ruled out: it "
        f"shows none in 1 of 20 samples."
    )


def closed(record: Record) -> str:
    """The share of the gap that is closed, over all pairs, and as Paper A averages it."""
    pairs = {of: kept for of, kept in record.kept("back_patching").items() if kept["gap"][0] is not None}
    found = [(kept["gain"][0], kept["gap"][0]) for kept in pairs.values()]
    gains, gaps = (sum(values) for values in zip(*found, strict=True))
    low, high = total_gap([{"task": task} | named("gap", kept["gap"]) for (_, task), kept in pairs.items()])
    kept = [gain / gap for gain, gap in found if gap and 0 < gain / gap <= 1]
    told = f"{number(gains / gaps, 0, 100)} %" if low > 0 or high < 0 else "undefined, as the total gap may be 0"
    theirs = f"{number(sum(kept) / len(kept), 0, 100)} %" if kept else "undefined"
    return (
        f"Total gain over total gap, all pairs: {told}; averaged over ratios in (0, 1] alone, as in the paper: {theirs} ({len(kept)} "
        f"of {len(found)} pairs)."
    )


def named(name: str, bounds: list[float]) -> dict[str, float]:
    return dict(zip((name, f"{name}, low", f"{name}, high"), bounds, strict=True))


def points_of(values: list[float]) -> str:
    return middle(values, 1, 100, "+")


def tables(record: Record) -> list[str]:
    p_values = adjusted({of: kept["null p"] for of, kept in record.kept("back_patching").items()})
    rows, controls = [], []
    for of, kept in record.kept("back_patching").items():
        source, destination, window = kept["cell"]
        told = [points(kept["gain"]), points(kept["null 95%"]), chance(kept["null p"]), chance(p_values.get(of))]
        rows.append([*of, points(kept["gap"]), *told, points(kept["in-sample"]), f"{source} → {destination}, {window}"])
        share = interval(kept["share of gap"], 0, 100)
        controls.append([*of, share, *(points(kept[one]) for one in ("text", "wrong donor", "noise")), str(kept["n"])])
    columns = ["gap", "gain on test", "null, 95 %", "p among all cells", "p (Holm)", "best in-sample"]
    return [
        "Points of accuracy on *test*; gap: text minus image. Null, 95 %: what the chosen cell must gain for p ≤ .05 if no cell "
        "helped, – where it changes no answer. Cell: source → destination, window.",
        table(["model", "task", *columns, "cell"], rows),
        "The same cell: the share of the gap that it closes in %, on text, with another item's picture, and with noise of matched "
        "norm. The share is less than 0 where the cell widens the gap, – where the gap's interval (first table) holds 0 or some "
        "resamplings have no gap: of a gap of few prompts there is no share.",
        table(["model", "task", "share of gap, %", "on text", "wrong donor", "noise", "n"], controls),
    ]


SECTION = Section(
    "Does back-patching help?",
    ["back_patching"],
    "+4.6 points on average, closing 32 % of the gap, with the cell chosen and reported on the same prompts (on pure noise, "
    "such a choice shows +1.4 to +6 points) and the share averaged over ratios in (0, 1] only.",
    "+4.6 points, in-sample",
    lambda record: (
        f"surely in {len(gained(record))} of {record.count('back_patching')} pairs "
        f"({len(beyond(record))} after Holm); median "
        f"{points_of([kept['gain'][0] for kept in record.kept('back_patching').values()])} points"
    ),
    here,
    tables,
)
