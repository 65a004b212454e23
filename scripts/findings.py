"""Write docs/findings.md, what diptych finds in the shipped organisms, from the results of the two studies beside this file.

python scripts/findings.py RUNS       read the results in RUNS; write docs/findings.json and docs/findings.md
python scripts/findings.py --check    exit with status 1 if the record is not of the code, tasks and weights as they are
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from findings_text import render

from diptych.result import Result
from diptych.run import Store
from diptych.run.experiment import Experiment
from diptych.run.source import ModelSource
from diptych.run.study_file import read_study
from diptych.tasks import small_task

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
RECORD, PAGE = DOCS / "findings.json", DOCS / "findings.md"
STUDIES = [read_study(HERE / name) for name in ("findings.yaml", "findings-entities.yaml")]

Row = dict[str, Any]


def of_panels(result: Result) -> Row:
    """Accuracy on test by panel."""
    rows = {row["panel"]: row for row in result.rows if row["split"] == "test"}
    return {panel: bounds(row, "accuracy") for panel, row in rows.items()} | {"n": rows["image"]["n"]}


def of_curve(result: Result) -> Row:
    size = result.conditions["minimal size"]
    found = [row for row in result.rows if row["size"] == size]
    return {"panel": result.rows[0]["panel"], "size": size} | ({"F": bounds(found[0], "faithfulness")} if found else {})


def of_overlap(result: Result) -> Row:
    both = [row for row in result.rows if row["kind"] == "both" and row["low"] is not None]
    return {str(row["segment"]): [*bounds(row, "nIoU"), row["of ceiling"]] for row in both}


def of_swap(result: Result) -> Row:
    both = [row for row in result.rows if row["prompts"] == "both"]
    return {f"{row['part']}, {row['nodes']}": bounds(row, "normalised") for row in both}


def of_similarity(result: Result) -> Row:
    found = [row for row in result.rows if row["measure"] == "own less other pairs, centred"]
    top = max(found, key=lambda row: row["value"])
    p = result.conditions["p, closer than other pairs at any layer"]
    return {"layer": top["layer"], "layers": len(found), "difference": bounds(top, "value"), "p": p}


def of_back_patching(result: Result) -> Row:
    rows = {row["cell"]: row for row in result.rows if row["panel"] == "image"}
    chosen, best = rows["chosen on select"], rows["best on test (in-sample)"]
    text = [row["gain"] for row in result.rows if row["cell"] == "image's cell, on text"]
    cell = [chosen[name] for name in ("source", "destination", "window")]
    return {"cell": cell, "gain": bounds(chosen, "gain"), "null 95%": best["null 95%"], "in-sample": best["gain"]} | {
        "gap": chosen.get("gap"),
        "share": chosen.get("share of gap"),
        "wrong donor": rows["wrong donor"]["gain"],
        "text": text,
    }


def of_prediction(result: Result) -> Row:
    return {str(row["way"]): [row["regret"], row.get("forwards")] for row in result.rows}


def of_guided(result: Result) -> Row:
    rows = {row["cell"]: row for row in result.rows}
    return {"whole": bounds(rows["nodes: all"], "gain")} | {
        way: [
            rows[f"{way}: circuit"]["gain"],
            rows[f"{way}: random"]["gain"],
            rows[f"{way}: circuit"]["percentile in random"],
        ]
        for way in ("data positions", "nodes")
    }


def of_layers(result: Result) -> Row:
    """Every layer that a result tells, with its interval."""
    told = result.conditions
    names = [name for name in told if f"{name}, low" in told]
    return {name: [told[name], told[f"{name}, low"], told[f"{name}, high"]] for name in names}


def of_entities(result: Result) -> Row:
    rows = {(row["family"], row["of"]): row for row in result.rows}
    said = rows["entities", "identified"]
    return {"entities": result.conditions["entities"], "identified": result.conditions["entities identified"]} | {
        "text": said["text"],
        "image": said["image"],
        "gap": bounds(said, "gap"),
        "p": said["Wilcoxon p"],
    }


KEPT = {
    "accuracy": of_panels,
    "faithfulness_curve": of_curve,
    "overlap": of_overlap,
    "swap": of_swap,
    "similarity": of_similarity,
    "back_patching": of_back_patching,
    "cell_prediction": of_prediction,
    "guided_back_patching": of_guided,
    "entity_gap": of_entities,
    **dict.fromkeys(("knockout", "cross_patch", "freeze", "identify", "visual_integration"), of_layers),
}
"""What the record keeps of each experiment, besides the summary."""


def bounds(row: Row, name: str) -> list[Any]:
    return [row[name], row["low"], row["high"]]


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def asked() -> Iterator[tuple[str, str, str, Row]]:
    """Model, task, experiment and its parameters, of every cell of the studies."""
    for study in STUDIES:
        for cell in study.cells():
            yield cell.source.name, cell.task.name, cell.experiment.name, dict(cell.experiment.parameters)


def record(runs: Path) -> list[Row]:
    """One entry for each result that the studies ask for; raises `SystemExit` if one lacks."""
    stored = list(Store(runs).results())
    entries = []
    for model, task, experiment, parameters in asked():
        found = [one for one in stored if answers(one, model, task, experiment, parameters)]
        if not found:
            sys.exit(f"No result of {experiment} {parameters} for {model} on {task} in {runs}. Run the two studies.")
        kept = KEPT[experiment](found[0]) if experiment in KEPT else {}
        entry = {"model": model, "task": task, "experiment": experiment, "parameters": parameters}
        entries.append(entry | current(model, task, experiment) | {"summary": found[0].summary, "kept": rounded(kept)})
    return entries


def answers(result: Result, model: str, task: str, experiment: str, parameters: Row) -> bool:
    """Whether a result is the asked one, of the code, task and weights as they are."""
    identity = result.identity
    same = {"model": model, "task": task, "experiment": experiment}
    if any(identity[name] != value for name, value in same.items()):
        return False
    wanted = Experiment.find(experiment).bind(parameters)[1]
    now = current(model, task, experiment)
    return identity["parameters"] == wanted and now == {
        "version": identity["version"],
        "revision": identity["revision"],
        "task_digest": identity["task_digest"],
    }


def current(model: str, task: str, experiment: str) -> Row:
    """What a result must be of."""
    version = Experiment.find(experiment).version
    return {"version": version, "revision": ModelSource(model).fingerprint, "task_digest": digest(task)}


@cache
def digest(task: str) -> str:
    return small_task(task).digest()


def stale(entries: list[Row]) -> list[str]:
    """What the record lacks, or holds of other code, tasks or weights."""
    told = {(e["model"], e["task"], e["experiment"], json.dumps(e["parameters"])): e for e in entries}
    wrong = []
    for model, task, experiment, parameters in asked():
        entry = told.get((model, task, experiment, json.dumps(parameters)), {})
        now = current(model, task, experiment)
        if {name: entry.get(name) for name in now} != now:
            wrong.append(f"{model} {task} {experiment} {parameters}")
    return wrong


def main(arguments: list[str]) -> None:
    if arguments == ["--check"]:
        entries = json.loads(RECORD.read_text(encoding="utf-8"))
        wrong = stale(entries) + (["docs/findings.md"] if PAGE.read_text(encoding="utf-8") != render(entries) else [])
        sys.exit("\n".join(["These are not as they would be now:", *wrong]) if wrong else None)
    entries = record(Path(arguments[0]))
    RECORD.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n", encoding="utf-8")
    PAGE.write_text(render(entries), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
