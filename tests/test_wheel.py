"""The wheel: it holds every file that the package reads when it runs, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is not installed: pip install 'diptych[dev]'")

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "diptych"


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without an environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.iterdir()
    return zipfile.ZipFile(wheel)


def test_the_wheel_holds_the_whole_package(held: zipfile.ZipFile) -> None:
    files = {name for name in held.namelist() if not name.startswith("diptych-")}
    ours = {f"diptych/{path.relative_to(SOURCE).as_posix()}" for path in SOURCE.rglob("*") if path.is_file()}

    assert files == {name for name in ours if "__pycache__" not in name}


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "data/flags/flags.png",
        "data/emoji/emoji.png",
        "data/font/glyphs.png",
        "data/facts/countries.json",
        "data/contact_sheet/DejaVuSans.ttf",
        "data/organisms/qwen2vl/model.safetensors",
        "data/organisms/gemma3/model.safetensors",
        "data/organisms/llava/model.safetensors",
        "report/vendor/plotly-cartesian.min.js",
        "report/page.html.jinja",
        "report/style.css",
        "contact_sheet.html.jinja",
    ],
)
def test_what_is_read_at_run_time_is_shipped_as_it_is(name: str, held: zipfile.ZipFile) -> None:
    assert held.read(f"diptych/{name}") == (SOURCE / name).read_bytes()


def test_every_folder_of_data_says_its_licence_and_where_it_comes_from(held: zipfile.ZipFile) -> None:
    data = {Path(name).parent for name in held.namelist() if name.startswith("diptych/data/")}

    for folder in data:
        beside = [Path(name).name for name in held.namelist() if Path(name).parent == folder]
        assert any(name.startswith("LICENCE") for name in beside), folder
        assert any(name.startswith(("SOURCES", "README")) for name in beside), folder


def test_the_command_and_the_licence_are_declared(held: zipfile.ZipFile) -> None:
    (folder,) = {name.split("/")[0] for name in held.namelist() if name.startswith("diptych-")}

    assert b"diptych = diptych.cli:main" in held.read(f"{folder}/entry_points.txt")
    assert b"License-Expression: Apache-2.0" in held.read(f"{folder}/METADATA")
