"""The example of a user's own data runs as its description says."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "my_data.py"


def test_the_example_writes_a_task_and_its_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path)])

    runpy.run_path(str(EXAMPLE), run_name="__main__")

    first, page, picture = capsys.readouterr().out.splitlines()
    assert first.startswith("dots: 60 items, answers 1, 2, 3, 4, digest ")
    assert Path(page).is_file() and Path(picture).is_file()
