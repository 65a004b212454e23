"""The example of a repaired `generate` runs as its description says, with its own cell and with one from a file."""

import runpy
import sys
from pathlib import Path

import pytest

from diptych import BackPatch

EXAMPLE = Path(__file__).parent.parent / "examples" / "repair_generate.py"


@pytest.mark.parametrize("saved", [False, True])
def test_the_example_prints_plain_and_patched_answers(
    saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = BackPatch(3, 1, 3, architecture="gemma3", layers=8)
    given = ["organism/gemma3", str(patch.save_pretrained(tmp_path))] if saved else []
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *given])

    runpy.run_path(str(EXAMPLE), run_name="__main__")

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and all(line.startswith("right: ") for line in lines)
    assert any(
        line.split("plain:")[1].split("patched:")[0].strip() != line.split("patched:")[1].strip() for line in lines
    )
