"""`diptych check`: what a person sees of a model, its proof and its prompts, and the status the command ends with."""

import re
from pathlib import Path

import pytest

from commands import Command
from prompts import Noise

MODELS = ("random:qwen2_vl", "random:gemma3", "random:llava", "random:idefics3", "random:mistral3")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two pictures of noise; output is as wide as a page, and has no colour."""
    monkeypatch.setenv("COLUMNS", "140")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        Noise(path.name).open().save(path)
    return paths


def cells(printed: str) -> list[list[str]]:
    """The rows of all tables, cell by cell."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if line[:1] == "│"]


@pytest.mark.parametrize("model", MODELS)
def test_a_tiny_model_is_shown_with_its_proof_and_the_segments_of_both_panels(
    model: str, pictures: list[Path], command: Command
) -> None:
    said = command(
        "check", model, "--image", str(pictures[0]), "--text", "star 4 moons", "--query", "How many are there?"
    )

    rows = cells(said.out)
    found = {row[0]: row[1] for row in rows if len(row) == 2}
    assert said.status == 0
    assert found["heads"] == "4 per layer, width 16" and found["neurons"] == "96 per layer"
    assert found["layers"] == "4 of attention" and found["devices"] == "cpu" and found["attention"] in ("sdpa", "eager")
    assert int(found["image tokens"]) > 0 and "float32" in found["parameters"]
    lines = [row for row in rows if len(row) == 4 and row[1] in ("yes", "NO")]
    assert len(lines) >= 9 and all(row[1] == "yes" and re.match(r"[\d.]", row[2]) for row in lines)
    text, image = said.out.split("text prompt: ")[1].split("image prompt: ")
    data = [row[2] for row in cells(text) if row[1] == "data"]
    assert data == ["'star'", "'4'", "'moons'"]
    assert f"'<image>' × {found['image tokens']}" in image and " data " in image
    assert [row[2] for row in cells(image) if row[1] == "generation"] == ["'assistant'"]


def test_several_pictures_are_one_prompt(pictures: list[Path], command: Command) -> None:
    said = command("check", "random:llava", "--image", str(pictures[0]), "--image", str(pictures[1]))

    assert said.status == 0
    assert said.out.count("'<image>' × 16") == 2


def test_segments_are_coloured_on_a_terminal_that_has_colours(
    pictures: list[Path], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")

    said = command("check", "random:qwen2_vl", "--text", "4 moons", "--query", "How many?")

    assert "\x1b[38;2;230;159;0mdata" in said.out  # the data's colour in reports, #E69F00


def test_the_pixel_budget_and_the_system_prompt_are_shown(pictures: list[Path], command: Command) -> None:
    said = command("check", "organism/qwen2vl", "--pixels", "3136,50176", "--attention", "eager", "--dtype", "auto")

    found = {row[0]: row[1] for row in cells(said.out) if len(row) == 2}
    assert said.status == 0
    assert "shortest_edge 3136" in found["pixel budget"] and "longest_edge 50176" in found["pixel budget"]
    assert found["system prompt"] == "the template's own"
    assert found["attention"] == "eager" and found["parameters"].endswith("bfloat16")


def test_a_line_that_fails_ends_with_status_one(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych.models.vlm.last_position", lambda module, args: (args[0][:, :1],))

    said = command("check", "random:qwen2_vl")

    assert said.status == 1
    assert any(row[1] == "NO" for row in cells(said.out) if len(row) == 4)
    assert "random:qwen2_vl is not read rightly" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("random:qwen2_vl", "--image", "nowhere.png"), "Image 'nowhere.png' cannot be opened"),
        (("random:qwen2_vl", "--text", "4 <image> moons"), "holds '<image>', which is a special token"),
        (("random:qwen2_vl", "--pixels", "50176"), "--pixels is '50176'; expected the fewest and the most pixels"),
        (("random:qwen2_vl", "--pixels", "9,4"), "The pixel budget is 9 to 4"),
        (("random:qwen2_vl", "--system", "Answer 4"), "takes no system prompt: 'Answer 4'"),
        (("random:qwen2_vl", "--revision", "main"), "'random:qwen2_vl', which is a random model"),
        (("random:qwen2_vl", "--device-map", "auto"), "takes no device_map"),
        (("random:qwen2_vl", "--quantisation", "int3"), "No quantisation named 'int3'. Known: int8, nf4"),
        (("random:qwen9_vl",), "No architecture named 'qwen9_vl'"),
    ],
)
def test_bad_input_is_a_message_and_status_two(
    arguments: tuple[str, ...],
    message: str,
    command: Command,
) -> None:
    said = command("check", *arguments)

    assert said.status == 2
    assert message in said.err
    assert said.out == ""
