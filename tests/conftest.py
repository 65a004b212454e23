"""What all tests share: no network, one thread, and a small task."""

import os

# before torch and huggingface_hub are imported: they read these once
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import sys
from pathlib import Path

import pytest

from commands import Command, Said
from diptych.items import Item, Task
from pages import addresses, browser, drawn, visit  # noqa: F401 (fixtures)


@pytest.fixture
def small_task() -> Task:
    """Three text items of one group."""
    items = tuple(Item(id=f"i{n}", text="x " * n, image=None, query="How many x?", answer=str(n)) for n in (1, 2, 3))
    return Task("crosses", 1, items, ("1", "2", "3"))


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder that is found as a model; nothing in it can be loaded."""
    folder = tmp_path / "tiny-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `diptych arguments...` in this process; `columns`: width of the terminal."""
    from diptych.cli import main

    def run(*arguments: str, columns: int | None = None) -> Said:
        if columns is not None:
            monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["diptych", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return Said(end.value.code, printed.out, printed.err)

    return run
