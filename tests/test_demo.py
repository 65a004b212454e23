"""The demo as a user runs it: real processes, the shipped organism, a small task."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("demo")  # the demo is run once for all tests of this file

FEW = str(Path(__file__).parent / "lab" / "few_counting.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "160"}


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("-m", "diptych", "demo", "--task", FEW, "--out", "runs", folder=folder)


def test_the_demo_ends_with_the_path_of_its_report(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, process = demo

    assert process.returncode == 0, process.stderr
    page = (folder / process.stdout.strip().splitlines()[-1]).read_text(encoding="utf-8")
    for words in (
        "nIoU",
        "Faithfulness by circuit size, image",
        "Back-patching, text, window 1",
        "Patching effect of heads",
        "Scores of single prompts in both panels",
        "Attention cut from data to query",
        "part of the other panel",
    ):
        assert words in page


def test_every_stage_of_the_demo_shows_its_progress(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, process = demo
    stages = [line for line in process.stderr.splitlines() if " units, " in line]

    for experiment in (
        "accuracy",
        "discover",
        "faithfulness_curve",
        "back_patching",
        "diptych_view",
        "swap",
        "knockout",
    ):
        assert any(f"· {experiment}" in stage and " per second" in stage for stage in stages)


def test_a_second_demo_computes_nothing_and_makes_the_same_report(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, first = demo
    page = folder / first.stdout.strip().splitlines()[-1]
    before = page.read_bytes()

    second = run("-m", "diptych", "demo", "--task", FEW, "--out", "runs", folder=folder)

    assert second.returncode == 0
    assert " units, " not in second.stderr
    assert second.stdout == first.stdout
    assert page.read_bytes() == before


def test_the_organism_is_read_rightly_and_its_accuracies_are_told(tmp_path: Path) -> None:
    process = run("-m", "diptych", "check", "organism/qwen2vl", folder=tmp_path)

    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stderr == ""  # no bars of the libraries that load weights
    assert "resuming at a layer is the full forward" in process.stdout
    assert re.search(r"counting +arithmetic", process.stdout)
    assert re.search(r"\btext +0?\.?\d+ +0\.\d+", process.stdout) and re.search(
        r"\bimage +0\.\d+ +0\.\d+", process.stdout
    )
