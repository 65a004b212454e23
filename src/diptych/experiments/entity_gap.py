"""Entity gap: are questions about entities that the model recognises answered worse from pictures than from names?"""

from collections.abc import Sequence

from diptych.experiments._asked import Asked, ask, facts
from diptych.experiments._gap_rows import rows_of
from diptych.experiments._parameters import Count, EntityMatcher, Seed
from diptych.experiments._text import fixed, from_tensor, interval, to_lines
from diptych.figures import Bars, Dumbbells, Series
from diptych.items import MODALITIES, Split
from diptych.matching import accepted_answers
from diptych.result import Row, numbers
from diptych.run import Finding, Run
from diptych.statistics import Estimate, share

VERSION = 3
INTERVAL = "95% bootstrap over entities, 2000 draws, one more entity at each bound; of gaps score tests; of the identified share "
USES = ()
SHOWN = 12
"""Types and questions in a figure: those of the most entities."""
EXAMPLES = 3
"""Answers in the note on what the picture loses."""


def entity_gap(
    run: Run, *, match: EntityMatcher = "alias", split: Split = "test", max_new_tokens: Count = 16, seed: Seed = 0
) -> Finding:
    """Accuracy per entity from its name and from its picture, over entities whose picture the model can name.

    Answers are written greedily and compared, without their prompts, by `match`: `alias` (equal once normalised),
    `exact`, or `popvqa` (that of Cohen et al.). Gap: text − image, its mean over entities.
    """
    asked, dropped = ask(run, split, max_new_tokens)
    named = {one.item.cluster: one.identified(match) for one in asked}
    identified = share(list(named.values()))
    rows = rows_of(asked, match, seed)
    drops = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none"
    return Finding(
        summary=_summary(run.task.name, rows[0], identified),
        rows=rows,
        conditions=from_tensor(facts(run)["facts"])
        | {f"n {split}": len(asked), f"dropped {split}": drops, "split": split, "seed": seed, "matcher": match}
        | {"entities": len(named), "entities identified": sum(named.values())}
        | {"decoding": f"greedy, at most {max_new_tokens} new tokens"}
        | {"interval": f"{INTERVAL}{identified.method}"},
        figures=[_accuracies(rows), _gaps(rows)],
        notes=_notes(asked, match),
        grids={"written": to_lines([_plain(one, match) for one in asked])},
    )


def _summary(task: str, row: Row, identified: Estimate) -> str:
    limits = interval({"low": identified.low, "high": identified.high}, 1, factor=100)
    seen = (
        f"The model names {fixed(identified.value, 1, factor=100)}% {limits} of {identified.n} entities from pictures"
    )
    if row["gap"] is None:
        return f"{seen}, so {task} tells nothing of a gap."
    text, image = (fixed(row[panel], 1, factor=100) for panel in MODALITIES)
    difference = f"{fixed(row['gap'], 1, factor=100, sign='+')} points {interval(row, 1, factor=100, sign='+')}"
    return (
        f"{seen}; of these {row['entities']}, {task} is answered correctly {text}% by name and {image}% by picture: a gap "
        f"of {difference}, Wilcoxon p = {row['Wilcoxon p']:.2g}."
    )


def _notes(asked: Sequence[Asked], match: str) -> list[str]:
    known = [one for one in asked if one.identified(match)]
    lost = [one for one in known if one.right("text", match) > one.right("image", match)]
    gained = [one for one in known if one.right("text", match) < one.right("image", match)]
    told = ", ".join(f"{sum(one.echoes(panel, match) for one in known)} from {panel}" for panel in MODALITIES)
    short = sum(one.short for one in asked)
    notes = [
        f"Identified entities: {len(lost)} of {len(known)} questions are right by name alone, {len(gained)} by picture alone.",
        f"Right answers whose words stand in their own question, so that repeating it may have been enough: {told}.",
    ]
    if lost:
        shown = "; ".join(f"{one.item.id}: {one.text!r} by name, {one.image!r} by picture" for one in lost[:EXAMPLES])
        notes.append(f"Right by name alone, for instance: {shown}.")
    if short:
        notes.append(
            f"Questions of which all answers are words of less than four characters, which the matcher popvqa never matches: "
            f"{short}."
        )
    return notes


def _plain(one: Asked, match: str) -> dict[str, object]:
    """What was written to a question, for readers who want to see it."""
    return {
        "id": one.item.id,
        "entity": one.item.cluster,
        "named": one.named,
        "identified": one.identified(match),
        "accepted": list(accepted_answers(one.item)),
        **{panel: one.written(panel) for panel in MODALITIES},
        **{f"{panel} right": one.right(panel, match) for panel in MODALITIES},
    }


def _accuracies(rows: Sequence[Row]) -> Dumbbells:
    shown = [row for row in rows if row["of"] in ("identified", "all")] + _parts(rows)
    series = [
        Series(panel, *(numbers(shown, name) for name in (panel, f"{panel} low", f"{panel} high")))
        for panel in MODALITIES
    ]
    return Dumbbells(
        title="Right answers by name and by picture",
        caption="Mean over entities of the share of their questions that is answered right, written freely; types and "
        "questions are those of identified entities, at most the 12 with the most. Lines are 95% intervals over entities.",
        x_title="questions",
        y_title="right answers",
        categories=[str(row["of"]) for row in shown],
        series=series,
    )


def _gaps(rows: Sequence[Row]) -> Bars:
    shown = [row for row in rows if row["family"] == "entities"] + _parts(rows)
    return Bars(
        title="Gap between name and picture",
        caption="Right answers by name minus those by picture, in points: of the identified entities; of all; of the questions "
        "about identified ones that are answered right by name; of those whose answer does not stand in the question. "
        "Bars are 95% intervals over entities.",
        x_title="questions",
        y_title="points",
        categories=[str(row["of"]) for row in shown],
        series=[Series("text − image", *(_points(shown, name) for name in ("gap", "low", "high")))],
        levels=[(0, "no gap")],
    )


def _parts(rows: Sequence[Row]) -> list[Row]:
    """The types and questions of the most entities, in the order of the rows."""
    parts = [row for row in rows if row["family"] in ("type", "question")]
    largest = sorted(parts, key=lambda row: -int(row["entities"] or 0))[:SHOWN]
    return [row for row in parts if row in largest]


def _points(rows: Sequence[Row], name: str) -> list[float | int | None]:
    return [None if value is None else 100 * value for value in numbers(rows, name)]
