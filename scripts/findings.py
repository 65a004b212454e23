"""Write docs/findings.json and docs/findings.md, what diptych finds in the shipped organisms, from two studies' results.

python scripts/findings.py RUNS       from the results in RUNS; what is not there yet is run
python scripts/findings.py --page     write the page anew from the record
python scripts/findings.py --check    exit with status 1 if the record is not of the code, tasks and weights as they are
"""

import json
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from findings_kept import kept
from findings_made import made
from findings_page import render

from diptych.errors import DiptychError
from diptych.run import Driver, Store, Study, read_study
from diptych.run.outcomes import Planned

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
RECORD, PAGE = DOCS / "findings.json", DOCS / "findings.md"
FILES = ("findings.yaml", "findings-entities.yaml")
AGAIN = (
    "Run the studies again (`diptych study scripts/findings.yaml --runs runs/findings`, the same with "
    "`scripts/findings-entities.yaml`), then `python scripts/findings.py runs/findings`, and read what the page says now."
)

Entry = dict[str, Any]
Record = dict[str, Any]
IDENTITY = ("version", "uses", "revision", "task_digest", "parameters")


def studies() -> list[Study]:
    return [read_study(HERE / name) for name in FILES]


def plan(runs: Path) -> Iterator[Planned]:
    """Every cell of the studies, with the folder in which its result would be today."""
    for study in studies():
        yield from Driver(Store(runs)).plan(study)


def asked(planned: Planned) -> Entry:
    """A cell, and the identity that its result has today."""
    cell, folder = planned.cell, planned.folder
    if folder is None:
        raise SystemExit(f"{cell}: {planned.reason}")
    return {
        "model": cell.source.name,
        "task": cell.task.name,
        "experiment": cell.experiment.name,
        "given": cell.experiment.parameters,
        "digest": folder.path.name.rpartition("-")[2],
    }


def entry(planned: Planned) -> tuple[Entry, dict[str, Any]]:
    """What the record holds of a cell, and the conditions of its result."""
    told = asked(planned)
    print(said(told), flush=True)
    if planned.run is None:
        raise SystemExit(f"{planned.cell}: {planned.reason}")
    try:
        result = planned.run.get(told["experiment"], **told["given"])
    except DiptychError as error:  # a finding too: say, no circuit is faithful enough
        return told | {"refused": str(error)}, {}
    identity = {name: result.identity[name] for name in IDENTITY}
    return told | identity | {"summary": result.summary, "kept": kept(result)}, dict(result.conditions)


def record(runs: Path) -> Record:
    """One entry for each cell of the studies, and how they were made."""
    found = [entry(planned) for planned in plan(runs)]
    conditions = next(told for _, told in found if told)
    return {"made": made(runs, conditions, metadata.version("diptych")), "results": [one for one, _ in found]}


def today() -> list[Entry]:
    """Every cell of the studies with the identity that its result has today; nothing is computed or made."""
    return [asked(planned) for planned in plan(Path("runs"))]


def stale(told: Record, now: list[Entry]) -> list[str]:
    """The cells that the record lacks, of which it holds other results than today's, or that nothing asks for."""
    known = {said(one): one["digest"] for one in told["results"]}
    wrong = [said(one) for one in now if known.pop(said(one), "") != one["digest"]]
    return wrong + [f"not asked for: {cell}" for cell in known]


def said(one: Entry) -> str:
    """A cell's name."""
    given = ", ".join(f"{name}={value}" for name, value in one["given"].items())
    return f"{one['model']} · {one['task']} · {one['experiment']}" + (f" ({given})" if given else "")


def write(told: Record) -> None:
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in told["results"])
    RECORD.write_text(f'{{"made": {json.dumps(told["made"])},\n"results": [\n{lines}\n]}}\n', encoding="utf-8")


def main(arguments: list[str]) -> None:
    if arguments in (["--check"], ["--page"]):
        told = json.loads(RECORD.read_text(encoding="utf-8"))
        if arguments == ["--check"]:
            page = [] if PAGE.read_text(encoding="utf-8") == render(told) else ["docs/findings.md"]
            wrong = stale(told, today()) + page
            sys.exit("\n".join(["These are not as they would be now:", *wrong, AGAIN]) if wrong else None)
    else:
        told = record(Path(arguments[0]))
        write(told)
    PAGE.write_text(render(told), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
