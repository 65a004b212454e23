"""`diptych repair`: the cell that the experiment chose is written, with what it gains and whether that beats chance."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import Command
from diptych import BackPatch
from diptych.cli_repair import verdict
from diptych.experiments._chosen import chosen_patch
from diptych.models.encode import encode_item
from diptych.models.load import load
from diptych.result import Result
from diptych.run import Run, Store
from diptych.tasks import make_task
from tiny import tiny


def test_a_patch_is_chosen_written_and_judged(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = ("--task", "counting", "--set", "style=shapes", "--set", "per_split=12")

    said = command("repair", "random:qwen2_vl", *task, "-p", "windows=1", "--out", "mine")

    assert said.status == 0
    summary, path, last = said.out.strip().split("\n")[-3:]
    assert summary.startswith("counting · back_patching: ") and path == "mine/backpatch.json"
    patch = BackPatch.from_pretrained("mine")
    assert last == verdict(patch) and f"Layer {patch.src} into {patch.dst}, window 1: " in last
    shapes = make_task("counting", style="shapes", per_split=12)
    result = Run("random:qwen2_vl", shapes, store=Store(Path("runs"))).get("back_patching", windows=(1,))
    row = next(row for row in result.rows if row["panel"] == "image" and row["cell"] == "chosen on select")
    assert (patch.src, patch.dst, patch.window) == (row["source"], row["destination"], row["window"])
    assert (patch.architecture, patch.layers, patch.conditions["n"]) == ("qwen2_vl", 4, 12)
    told = {name: patch.conditions[name] for name in ("gain", "low", "high", "McNemar p")}
    assert told == {name: row[name] for name in told}
    vlm = load("random:qwen2_vl", verify=False)
    call_of = vlm.capture(encode_item(vlm, shapes.split("test")[0], "image").inputs)
    plain = vlm.run(call_of)
    with patch.apply(vlm.model):
        assert not torch.equal(vlm.run(call_of), plain)


def result_of(**told: Any) -> Result:
    """A back_patching result whose image cell gains so much; the text panel's row is another."""
    row: dict[str, Any] = {"panel": "image", "cell": "chosen on select", "source": 3, "destination": 1, "window": 1}
    row |= {"n": 40, "accuracy": 0.5, "patched": 0.7, "gain": 0.2, "low": 0.1, "high": 0.3, "McNemar p": 0.01}
    row |= {"gain on select": 0.25, "null 95%": 0.15, "null p": 0.02} | told
    best = {"panel": "image", "cell": "best on test (in-sample)", "null 95%": 0.01, "null p": 0.001}
    other = dict(row, panel="text", source=2, gain=0.9, low=0.8)
    names = ("model", "revision", "model_digest", "dtype", "selected on", "seed", "interval", "null")
    identity = {"model": "m", "experiment": "back_patching", "task": "counting", "task_digest": "abc", "digest": "def"}
    return Result(identity, "It gains.", [other, row, dict(best, panel="text"), best], dict.fromkeys(names, "x"))


@pytest.mark.parametrize(
    ("told", "beats"),
    [
        ({}, True),
        ({"null 95%": 0.2}, False),
        ({"null 95%": None}, False),
        ({"low": 0.0}, False),
        ({"low": None, "high": None}, False),
        ({"gain": -0.2, "low": -0.3}, False),
    ],
)
def test_a_gain_beats_the_null_if_its_interval_is_above_0_and_it_is_above_what_its_cell_must_gain(
    told: dict[str, Any], beats: bool, tmp_path: Path
) -> None:
    patch = chosen_patch(tiny("llava"), result_of(**told))

    again = BackPatch.from_pretrained(patch.save_pretrained(tmp_path))

    assert (patch.src, patch.dst, patch.window, patch.architecture, patch.layers) == (3, 1, 1, "llava", 4)
    assert again == patch and patch.conditions["beats the null"] is beats
    assert ("It beats the null." in verdict(patch)) is beats
    assert ("It does NOT beat the null" in verdict(patch)) is not beats
    hint = "It does NOT beat the null, but its interval is above 0, of a cell chosen on other items: a hint"
    assert (hint in verdict(patch)) == (not beats and told in ({"null 95%": 0.2}, {"null 95%": None}))


def test_the_verdict_names_the_gain_its_interval_and_what_chance_would_give() -> None:
    patch = replace(chosen_patch(tiny("llava"), result_of()), window=3)

    assert verdict(patch) == (
        "Layer 3 into 1, window 3: +20.0 points [+10.0, +30.0] on test (n = 40); p ≤ .05 among all cells takes more than "
        "+15.0. It beats the null."
    )
