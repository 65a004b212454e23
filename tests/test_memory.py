"""Memory: batches shrink while they do not fit, the numbers stay, and the result says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from diptych.errors import InputError
from diptych.experiments._halving import Along, Halving
from diptych.experiments.discover import pooled
from diptych.models.memory import fitting, is_out_of_memory
from diptych.result import Result
from diptych.run import Run, Store
from diptych.tasks.counting import counting
from tiny import tiny

CASES: dict[str, dict[str, Any]] = {
    "accuracy": {},
    "discover": {"method": "ap", "folds": 2},
    "faithfulness_curve": {"sizes": (0.1, 1.0), "random_circuits": 1, "discovery": {"method": "ap", "folds": 2}},
    "back_patching": {"windows": (1,), "noise": 1, "rounds": 1},
    "cell_prediction": {"windows": (1,)},
}


@contextmanager
def room_for(prompts: int) -> Iterator[None]:
    """While open, the tiny model's first layer asks for a petabyte whenever more prompts come at once."""

    def ask(layer: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if len(args[0]) > prompts:
            torch.empty(10**15)

    handle = tiny("qwen2_vl").layers[0].register_forward_pre_hook(ask)
    try:
        yield
    finally:
        handle.remove()


@pytest.fixture(scope="module")
def open_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")

    def opened(store: Path) -> Run:
        return Run(
            str(folder),
            counting(per_split=20, style="shapes"),
            store=Store(store),
            load=lambda source: tiny("qwen2_vl"),
            batch_size=8,
        )

    return opened


@pytest.fixture(scope="module")
def unhurried(open_run: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    run = open_run(tmp_path_factory.mktemp("runs"))
    return {name: run.get(name, **parameters) for name, parameters in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_the_same_in_batches_that_shrank_and_the_result_says_so(
    name: str, open_run: Any, unhurried: dict[str, Result], tmp_path: Path
) -> None:
    with room_for(1):
        found = open_run(tmp_path).get(name, **CASES[name])

    expected = unhurried[name]
    assert "of them were done in parts, the smallest of 1." in found.notes[-1]
    assert not any("Memory" in note for note in expected.notes)
    assert found.identity["digest"] == expected.identity["digest"]
    assert len(found.rows) == len(expected.rows) > 0
    for row, other in zip(found.rows, expected.rows, strict=True):
        assert row.keys() == other.keys()
        for key, value in other.items():
            # one prompt's own ratio has a denominator of 0.01, of logits of 8
            within = 5e-3 if key.endswith("of ratios") else 1e-3
            close = pytest.approx(value, rel=within, abs=1e-4, nan_ok=True) if isinstance(value, float) else value
            assert row[key] == close


def test_the_scores_of_a_batch_that_shrank_are_those_of_the_whole(open_run: Any, tmp_path: Path) -> None:
    grids = []
    for prompts in (1, 8):
        run = open_run(tmp_path / str(prompts))
        with room_for(prompts):
            grids.append(run.grids(run.get("discover", **CASES["discover"])))

    assert grids[1]["heads"].abs().max() > 0.01
    for name in ("heads", "neurons", "prompts"):
        torch.testing.assert_close(grids[0][name], grids[1][name], rtol=1e-4, atol=1e-5)


def test_a_stored_unit_tells_again_that_it_shrank(open_run: Any, tmp_path: Path) -> None:
    with room_for(2):
        first = open_run(tmp_path).get("accuracy")
    (result,) = tmp_path.rglob("result.json")
    result.unlink()

    again = open_run(tmp_path).get("accuracy")

    assert "of them were done in parts, the smallest of 2." in first.notes[-1]
    assert again.notes == first.notes


def test_a_prompt_that_does_not_fit_alone_is_refused_with_what_to_do(open_run: Any, tmp_path: Path) -> None:
    # the first thing that is run is a capture, which stops before the layers
    with (
        room_for(0),
        pytest.raises(InputError, match="single prompt does not fit into memory: .*quantisation or pixel"),
    ):
        Halving(lambda vlm, payload: {"n": torch.empty(10**15)}, Along(0))(tiny("qwen2_vl"), (0, [1, 2, 3]))


def test_the_batch_is_halved_until_it_fits() -> None:
    tried = []

    def work(size: int) -> int:
        tried.append(size)
        if size > 2:
            torch.empty(10**15)
        return 7

    assert fitting(work, 11) == (7, 2)
    assert tried == [11, 6, 3, 2]


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def work(size: int) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        fitting(work, 4)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))


def test_tensors_of_a_failed_attempt_are_released_before_the_next() -> None:
    import weakref

    held: list[weakref.ref[torch.Tensor]] = []

    def work(size: int) -> bool:
        if size == 2:
            return held[0]() is None
        large = torch.zeros(3)
        held.append(weakref.ref(large))
        torch.empty(10**15)
        return False

    assert fitting(work, 4) == (True, 2)


def test_parts_of_different_sizes_are_weighted() -> None:
    def part(count: int, score: float) -> dict[str, torch.Tensor]:
        nodes = {kind: torch.full((1, 1, 2), score) for kind in ("heads", "neurons")}
        each = {name: torch.full((count,), score) for name in ("completeness", "steps")}
        shared = {"fold": torch.tensor(3), "there": torch.tensor([[2], [2]])}
        return nodes | each | shared | {"prompts": torch.tensor(count)}

    joined = pooled([part(3, 1.0), part(1, 5.0)])

    assert joined["heads"].flatten().tolist() == [2.0, 2.0]
    assert int(joined["prompts"]) == 4 and int(joined["fold"]) == 3
    assert joined["completeness"].tolist() == [1.0, 1.0, 1.0, 5.0]
