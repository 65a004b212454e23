"""Write docs/steps.json and the tables of docs/guide/steps.md: how many steps AP-IG needs, how many sizes a minimal circuit.

python scripts/steps_study.py RUNS         from the numbers in RUNS; what is not there yet is measured (20 minutes of one core)
python scripts/steps_study.py RUNS --held  from the numbers in RUNS alone; the page says which pairs are lacking
python scripts/steps_study.py --page       write the tables anew from the record
python scripts/steps_study.py --check      exit with status 1 if the record is not of the code, tasks and weights as they are
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from code_digest import code_digest
from findings_kept import rounded
from steps_measured import CONTRASTS, MODELS, MOST, PANELS, SIZES, SWEEP, TASKS, TOP, measure
from steps_page import render
from steps_told import ORDERS, THRESHOLD, Told, overall, told

from diptych.errors import InputError
from diptych.files import write_text
from diptych.run.source import ModelSource, load_model
from diptych.tasks import small_task

DOCS = Path(__file__).parent.parent / "docs"
RECORD, PAGE = DOCS / "steps.json", DOCS / "guide" / "steps.md"
FOLLOWED = ("attribution.ap_ig", "attribution._rules", "faithfulness", "racing", "steps_measured", "steps_told")
"""Modules whose functions are part of the code's digest, as far as they are used; how a rule's runs are made is not."""
MEASURED = (("steps_measured", "measure"), ("diptych.attribution.ap_ig", "ap_ig"))
TOLD = (("steps_told", "told"), ("steps_told", "overall"))
AGAIN = "Run `python scripts/steps_study.py runs/steps`, and read what docs/guide/steps.md says now."


def asked() -> Iterator[Told]:
    """Every organism, task and panel, with the digests of what its numbers are made from."""
    for model, task, panel in product(MODELS, TASKS, PANELS):
        made = {"weights": ModelSource(model).fingerprint, "task digest": _task(task), "code": code()}
        yield {"model": model, "task": task, "panel": panel} | made


@cache
def _task(name: str) -> str:
    return small_task(name).digest()


@cache
def code() -> str:
    return code_digest(MEASURED, FOLLOWED)


@cache
def told_by() -> str:
    return code_digest(TOLD, FOLLOWED)


def place(pair: Told, runs: Path) -> Path:
    """The file that holds the numbers of a pair."""
    about = [pair["model"].rpartition("/")[2], *(pair[k] for k in ("task", "panel", "weights", "task digest", "code"))]
    return runs / f"{'-'.join(about)}.npz"


def numbers(pair: Told, runs: Path) -> dict[str, Any]:
    """Those of a pair, measured and kept if no file holds them."""
    kept = place(pair, runs)
    if not kept.is_file():
        print(kept.stem, flush=True)
        found = measure(load_model(ModelSource(pair["model"])), pair["task"], pair["panel"])
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **found)
    with np.load(kept) as held:
        return dict(held)


def record(runs: Path, wanted: list[Told]) -> Told:
    """One entry for each of the pairs wanted, and what all of them tell."""
    pairs = [pair | told(numbers(pair, runs)) for pair in wanted]
    made = {"written by": "python scripts/steps_study.py", "told by": told_by()}
    made |= {name: metadata.version(name) for name in ("diptych", "torch", "transformers", "numpy")}
    made |= {"dtype": "float32", "attention": "sdpa", "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    made |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "contrast seed": 0, "metric": "logit_diff", "reduction": "l1"}
    made |= {
        "contrasts": CONTRASTS,
        "contrasts of the sweep, at most": MOST,
        "sizes": SIZES,
        "sweep": SWEEP,
        "top": TOP,
    }
    made |= {"threshold": THRESHOLD, "orders of prompts in races": ORDERS}
    made |= {"lacking": [said(pair) for pair in asked() if pair not in wanted]}
    return rounded({"made": made, "overall": overall(pairs), "pairs": pairs})


def said(pair: Told) -> str:
    """A pair's name."""
    return f"{pair['model'].rpartition('/')[2]} · {pair['task']} · {pair['panel']}"


def stale(record: Told) -> list[str]:
    """What the record holds of other code, tasks or weights than today's, or lacks without saying so."""
    known = {said(pair): pair for pair in record["pairs"]}
    wrong = [
        said(one)
        for one in asked()
        if said(one) not in record["made"]["lacking"] and not one.items() <= known.get(said(one), {}).items()
    ]
    return wrong + (["the comparisons"] if record["made"]["told by"] != told_by() else [])


def write(record: Told) -> None:
    pairs = ",\n".join(json.dumps(pair, ensure_ascii=False) for pair in record["pairs"])
    head = {name: record[name] for name in ("made", "overall")}
    write_text(RECORD, f'{json.dumps(head, ensure_ascii=False)[:-1]},\n"pairs": [\n{pairs}\n]}}\n')


def read() -> Told:
    return json.loads(RECORD.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if arguments == ["--check"]:
        wrong = stale(read()) + ([] if PAGE.read_text(encoding="utf-8") == paged() else [str(PAGE)])
        sys.exit("\n".join(["Not as they would be now:", *wrong, AGAIN]) if wrong else None)
    if arguments != ["--page"]:
        runs = Path(arguments[0])
        write(record(runs, [pair for pair in asked() if "--held" not in arguments or place(pair, runs).is_file()]))
    write_text(PAGE, paged())


def paged() -> str:
    """The page with the record's tables in it."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in render(read()).items():
        before, opened, rest = page.partition(f"<!-- {name} -->\n")
        _, closed, behind = rest.partition(f"<!-- end of {name} -->")
        if not closed:
            raise InputError(f"{PAGE} has no place for the table '{name}'. Add `<!-- {name} -->` and its end.")
        page = before + opened + table + closed + behind
    return page


if __name__ == "__main__":
    main(sys.argv[1:])
