"""What the record of the findings keeps of each experiment's result, besides its summary."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from diptych.compare import MEASURED
from diptych.result import Result

Kept = dict[str, Any]


def of_accuracy(result: Result) -> Kept:
    """Accuracy on test by panel, McNemar's p between them if they answer the same items, and how many each split has."""
    test = {row["panel"]: bounds(row, "accuracy") for row in result.rows if row["split"] == "test"}
    sizes = {row["split"]: row["n"] for row in result.rows if row["panel"] == "image"}
    p = [float(note.partition("McNemar p = ")[2].rstrip(".")) for note in result.notes if "McNemar p = " in note]
    return {**test, "n": sizes, "commonest": result.rows[-1]["commonest answer"], "p": p[0] if p else None}


def of_curve(result: Result) -> Kept:
    """The minimal circuit of a panel and its faithfulness on test."""
    size, told = result.conditions["minimal size"], result.conditions
    kept = {"panel": result.rows[0]["panel"], "size": size, "threshold": told["threshold"]}
    for row in result.rows:
        if row["size"] == size:
            kept |= {"F": bounds(row, "faithfulness"), "random": row["random circuits"]}
    return kept


def of_overlap(result: Result) -> Kept:
    """Of each segment nIoU and what it is to be held against; mean of heads and neurons."""
    columns = {
        "highest possible": "highest possible nIoU",
        "share of the possible": "share of the possible",
        "of ceiling": "of ceiling",
        "null 95%": "null 95%",
    }
    return {
        str(row["segment"]): {"nIoU": bounds(row, "nIoU"), **{name: row[column] for name, column in columns.items()}}
        for row in result.rows
        if row["kind"] == "both" and row["positions"] == MEASURED[str(row["segment"])]
    }


def of_swap(result: Result) -> Kept:
    """Of each part and sort of nodes the normalised value of both directions, and the raw F behind it."""
    return {
        f"{row['part']}, {row['nodes']}": {
            "normalised": bounds(row, "normalised"),
            "F": [row[f"F {which}"] for which in ("own", "swapped", "random")],
            "undefined": row["undefined because"],
        }
        for row in result.rows
        if row["prompts"] == "both"
    }


def of_similarity(result: Result) -> Kept:
    """The layer at which an item's panels are most alike, against other pairs."""
    told = result.conditions
    special = [row for row in result.rows if row["measure"] == "own less other pairs, centred"]
    layer = [told[f"closest layer{end}"] for end in ("", ", low", ", high")]
    p = told["p, closer than other pairs at any layer"]
    return {
        "layer": layer,
        "layers": len(special),
        "difference": bounds(special[int(float(str(layer[0])))], "value"),
    } | {"p": p}


def of_lens(result: Result) -> Kept:
    """The layer from which on the answer is surely likelier than the counterfactual's, at the last position."""
    rows = [row for row in result.rows if row["reading"] == "answer at the last position"]
    panels = {panel: [row for row in rows if row["panel"] == panel] for panel in ("text", "image")}
    return {"layers": len(panels["text"])} | {panel: sure_from(some) for panel, some in panels.items()}


def sure_from(rows: Sequence[Any]) -> int | None:
    """The first row from which on the difference is surely above 0."""
    unsure = [place for place, row in enumerate(rows) if not (row["difference low"] or 0) > 0]
    first = max(unsure, default=-1) + 1
    return first if first < len(rows) else None


def of_view(result: Result) -> Kept:
    """The head behind the data that on *select* attends to it most beyond an even spread, and what heads write at the last
    position."""
    told = [
        result.conditions.get(name) for name in ("logits", "logits of the circuit's heads", "logits of other heads")
    ]
    kept: Kept = {"panel": result.identity["parameters"]["modality"], "logits": told}
    name = result.conditions.get("reads the data most on select")
    for row in result.rows:
        if (
            row["number"] == "attention to data"
            and f"{row['segment']}: layer {row['layer']}, head {row['head']}" == name
        ):
            kept["reader"] = {name: row[name] for name in ("segment", "layer", "head")}
            kept |= {"attention": bounds(row, "value"), "even": row["if spread evenly"]}
    return kept


def of_back_patching(result: Result) -> Kept:
    """The cell chosen on select, on test; the best on test itself; and the controls."""
    rows = {row["cell"]: row for row in result.rows if row["panel"] == "image"}
    chosen, best = rows["chosen on select"], rows["best on test (in-sample)"]
    text = [row for row in result.rows if row["cell"] == "image's cell, on text"]
    kept: Kept = {
        "cell": [chosen[name] for name in ("source", "destination", "window")],
        "gain": bounds(chosen, "gain"),
    }
    kept |= {name: chosen[name] for name in ("null 95%", "null p", "gain on select", "n")}
    kept |= {name: [chosen.get(f"{name}{end}") for end in ENDS] for name in ("gap", "share of gap")}
    kept |= {"in-sample": best["gain"], "wrong donor": bounds(rows["wrong donor"], "gain")}
    noise = next(row for name, row in rows.items() if str(name).startswith("noise"))
    return kept | {"noise": bounds(noise, "gain"), "text": bounds(text[0], "gain") if text else None}


def of_prediction(result: Result) -> Kept:
    """Gain, regret and cost of each way to choose a cell."""
    ways = [row for row in result.rows if "forwards" in row]
    return {
        ("shortlist" if str(row["way"]).startswith("best of") else str(row["way"])): {
            "gain": bounds(row, "gain"),
            "regret": [row[f"regret{end}"] for end in ENDS],
            "forwards": row["forwards"],
        }
        for row in ways
    }


def of_guided(result: Result) -> Kept:
    """The whole patch, the circuit's part of it against random parts, and the overlap before and after."""
    rows = {str(row["cell"]): row for row in result.rows}
    kept: Kept = {"whole": bounds(rows["nodes: all"], "gain"), "draws": result.conditions["draws"]}
    for way in ("data positions", "nodes"):
        part = rows[f"{way}: circuit"]
        if "undefined" in part:
            kept[way] = {"undefined": part["undefined"]}
            continue
        drawn = rows[f"{way}: random"]
        kept[way] = {"circuit": bounds(part, "gain"), "p": part["p"]} | {
            "random": [drawn[name] for name in ("gain", "draws, 2.5%", "draws, 97.5%")],
            "others": rows[f"{way}: others"]["gain"],
        }
    changes = {name.removeprefix("overlap in "): row for name, row in rows.items() if name.startswith("overlap in ")}
    return kept | {
        "overlap": {
            segment: [row["nIoU before"], row["nIoU after"], [row[f"change{end}"] for end in ENDS]]
            for segment, row in changes.items()
        }
    }


def of_layers(result: Result) -> Kept:
    """Every layer that a result tells, and lags between panels, with interval and n; if undefined, why."""
    told = result.conditions
    kept: Kept = {}
    for name in (name for name in told if f"{name}, low" in told):
        why = [
            note.partition("): ")[2].rstrip(".") for note in result.notes if note.startswith(f"The {name} is undefined")
        ]
        kept[name] = {
            "layer": [told[f"{name}{end}"] for end in ENDS],
            "n": _count(name, told),
            "undefined": "".join(why[:1]),
        }
    return kept


def _count(name: str, told: Any) -> Any:
    """The prompts behind a layer; None for a lag, which has those of both panels."""
    if name.endswith(LAG):
        return None
    panel = "text" if name.endswith("text") else "image"
    return next(told[n] for n in (f"n test {panel}", f"n {panel}", "n test") if n in told)


def of_entities(result: Result) -> Kept:
    """How many entities are named from pictures, and the gap in what is answered about them."""
    rows = {(row["family"], row["of"]): row for row in result.rows}
    said = rows["entities", "identified"]
    gaps = {name: bounds(rows["entities", name], "gap") for name in ("all", "known by name", "answer untold")}
    named = [result.conditions[name] for name in ("entities identified", "entities")]
    return {"named": named, "questions": said["questions"], "text": said["text"], "image": said["image"]} | {
        "gap": bounds(said, "gap"),
        "p": said["Wilcoxon p"],
        "gaps": gaps,
    }


ENDS = ("", ", low", ", high")
LAG = "image minus text"
KEPT: dict[str, Callable[[Result], Kept]] = {
    "accuracy": of_accuracy,
    "faithfulness_curve": of_curve,
    "overlap": of_overlap,
    "swap": of_swap,
    "similarity": of_similarity,
    "logit_lens": of_lens,
    "node_view": of_view,
    "back_patching": of_back_patching,
    "cell_prediction": of_prediction,
    "guided_back_patching": of_guided,
    "entity_gap": of_entities,
    **dict.fromkeys(("knockout", "cross_patch", "freeze", "identify", "visual_integration"), of_layers),
}


def kept(result: Result) -> Kept:
    """What the record keeps of a result, with four digits."""
    found: Kept = rounded(KEPT[str(result.identity["experiment"])](result))
    return found


def bounds(row: Any, name: str) -> list[Any]:
    return [row[name], row["low"], row["high"]]


def rounded(value: Any) -> Any:
    """Four significant digits, of all numbers inside; what is not finite is None."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value
