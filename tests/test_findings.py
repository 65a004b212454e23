"""The page of findings is of the code, the tasks and the weights as they are, and says what its record holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from findings import AGAIN, stale, today
from findings_page import render

ROOT = Path(__file__).parent.parent
RECORD = json.loads((ROOT / "docs" / "findings.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def now() -> list[dict[str, Any]]:
    return today()


def test_the_findings_are_of_the_code_the_tasks_and_the_weights_as_they_are(now: list[dict[str, Any]]) -> None:
    wrong = stale(RECORD, now)

    assert not wrong, "\n".join(["Not as they would be now:", *wrong, AGAIN])


def test_a_finding_of_another_version_or_weights_and_one_that_lacks_are_stale(now: list[dict[str, Any]]) -> None:
    older, *rest, _ = RECORD["results"]

    wrong = stale({**RECORD, "results": [{**older, "digest": "0" * 12}, *rest]}, now)

    assert len(wrong) == 2 and older["experiment"] in wrong[0] and "entity_gap" in wrong[1]


def test_the_page_says_what_the_record_holds_and_nothing_else() -> None:
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")

    assert page == render(RECORD), "run `python scripts/findings.py --page`, then read what changed"
    assert all(f"| {model} | " in page for model in ("qwen2vl", "llava", "gemma3"))
