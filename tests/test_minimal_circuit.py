"""The minimal circuit by a race: what a sweep of all sizes over all prompts finds, for a part of its runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diptych
from diptych.errors import InputError
from diptych.experiments._measured import Effects, measure_circuits, runs
from diptych.experiments.minimal_circuit import _Looks, looked
from diptych.models.memory import fitting
from diptych.racing import Standing
from diptych.result import Result
from diptych.run import Run, Store
from prompts import answers, batch, contrasts
from test_attribution import double, nodes_like
from tiny import FAMILIES

pytestmark = pytest.mark.xdist_group("minimal circuit")
SIZES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
ASKED: dict[str, Any] = {
    "modality": "text",
    "sizes": SIZES,
    "discovery": {"method": "ap", "folds": 2},
    "random_circuits": 2,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = Store(tmp_path_factory.mktemp("runs"))
    return Run("organism/qwen2vl", diptych.make_task("sentiment", per_split=40), store=store)


@pytest.fixture(scope="module")
def raced(run: Run) -> Result:
    return run.get("minimal_circuit", **ASKED)


@pytest.fixture(scope="module")
def swept(run: Run) -> Result:
    return run.get("faithfulness_curve", **ASKED, halvings=0, rediscoveries=2)


def test_a_race_finds_the_size_and_the_faithfulness_of_a_sweep_in_fewer_runs(raced: Result, swept: Result) -> None:
    size = raced.conditions["minimal size"]
    (ours,) = (row for row in raced.rows if row["size"] == size)
    (theirs,) = (row for row in swept.rows if row["size"] == size)

    assert size == swept.conditions["minimal size"] and size in SIZES[1:-1]
    for name in ("faithfulness", "low", "high", "n", "random lowest", "lowest scores first"):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-5)
    assert ours["faithfulness"] > 0.7  # type: ignore[operator]
    n = raced.conditions["n select"]
    looks = {row["prompts of select"] for row in raced.rows}
    assert max(looks) <= n and min(looks) < n  # type: ignore[operator, type-var]
    assert raced.conditions["forwards per prompt of select"] < 2 + len(SIZES) / 2  # type: ignore[operator]


def test_the_size_found_passes_and_the_next_smaller_one_was_run_and_fails(raced: Result) -> None:
    verdicts = {row["size"]: row["passes"] for row in raced.rows}
    size = raced.conditions["minimal size"]

    assert verdicts[size] is True and verdicts[SIZES[SIZES.index(size) - 1]] is False  # type: ignore[arg-type]
    assert [row["faithfulness"] is not None for row in raced.rows] == [row["size"] == size for row in raced.rows]
    assert len(raced.rows) <= 4 + 2


def test_what_was_run_on_all_prompts_has_the_faithfulness_of_the_sweep(run: Run, swept: Result) -> None:
    certain = run.get("minimal_circuit", **ASKED, look=100)
    n = certain.conditions["n select"]
    select = {row["size"]: row["on select"] for row in swept.rows}

    whole = [row for row in certain.rows if row["prompts of select"] == n]
    assert (
        len(whole) == len(certain.rows) >= 3 and certain.conditions["minimal size"] == swept.conditions["minimal size"]
    )
    for row in whole:
        assert row["on select"] == pytest.approx(select[row["size"]], abs=1e-5)


def test_a_race_that_was_interrupted_goes_on_to_the_same_result(run: Run, raced: Result, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    looks: list[str] = []
    other = Run("organism/qwen2vl", run.task, store=Store(tmp_path))
    own = Run.map

    def stopping(self: Run, work: Any, units: Any, *, name: str = "values") -> Any:
        looks.append(name)
        if name == "look 2" and looks.count(name) == 1:
            raise Stopped
        return own(self, work, units, name=name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "map", stopping)
        with pytest.raises(Stopped):
            other.get("minimal_circuit", **ASKED)
        again = other.get("minimal_circuit", **ASKED)

    assert looks.count("look 2") == 2 and again.rows == raced.rows and again.summary == raced.summary


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"sizes": (0.5, 0.1)}, "expected increasing fractions"),
        ({"risk": 1.0}, "risk is 1, so that no verdict would be in doubt; expected less"),
        ({"look": 1}, "look"),
    ],
)
def test_what_cannot_be_raced_is_refused(run: Run, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run.get("minimal_circuit", **{**ASKED, **parameters})


def test_a_metric_that_grows_towards_the_counterfactual_is_raced_as_others_are(run: Run) -> None:
    asked = ASKED | {"metric": "indirect_effect"}
    raced = run.get("minimal_circuit", **asked, look=100)
    swept = run.get("faithfulness_curve", **asked, halvings=0, rediscoveries=2)
    found = {row["size"]: row["on select"] for row in swept.rows}

    assert raced.conditions["minimal size"] == swept.conditions["minimal size"] in SIZES[1:-1]
    for row in raced.rows:
        assert row["on select"] == pytest.approx(found[row["size"]], abs=1e-5)
        assert row["passes"] is (row["on select"] >= 0.8)  # type: ignore[operator]


def test_the_smallest_size_asked_for_is_not_said_to_have_one_below_it(run: Run) -> None:
    found = run.get("minimal_circuit", **{**ASKED, "sizes": (0.5, 1.0)})

    assert found.conditions["minimal size"] == 0.5 and "the smallest size asked for" in found.summary


def test_an_effect_towards_the_counterfactual_chooses_no_size() -> None:
    looks = object.__new__(_Looks)
    looks.effects = {0.5: [(np.array([-2.0, 0.5]), np.array([-3.0, 1.0]), ["a", "b"])]}

    assert looks.against(0.5) == "the model's own effect is -1.00 on average, towards the counterfactual"
    looks.effects = {0.5: [(np.array([2.0]), np.array([3.0]), ["a"])]}
    assert looks.against(0.5) == ""


def test_no_size_that_passes_is_said(run: Run) -> None:
    found = run.get("minimal_circuit", **{**ASKED, "sizes": (0.001, 0.002)})

    assert found.conditions["minimal size"] is None and "no circuit of sentiment reaches" in found.summary
    assert all(row["passes"] is False and row["faithfulness"] is None for row in found.rows)


class Both(list[Any]):
    """Circuits that are given again and again."""

    def __call__(self) -> Any:
        return iter(self)


@pytest.mark.parametrize("family", FAMILIES)
def test_effects_are_those_of_circuits_measured_together(family: str) -> None:
    vlm = double(family)
    some = batch(vlm, "image")
    scores = nodes_like(vlm, some).map(lambda nodes: torch.rand(nodes.shape, generator=torch.manual_seed(1)))
    circuits = Both(scores.top(size) for size in (0.2, 0.6))
    payload = (0, contrasts("image"))
    how: dict[str, Any] = {"metric": "logit_diff", "answers": answers(vlm), "batch_size": 8}
    plain = measure_circuits(vlm, payload, circuits=circuits, **how)

    with torch.no_grad():
        effects = Effects(vlm, runs(vlm, payload, answers(vlm), 3), "logit_diff", 8)
        found = torch.stack([effects.of(circuit) for circuit in circuits])

    assert found.abs().min() > 1e-6
    torch.testing.assert_close(effects.total, plain["model"] - plain["empty"])
    torch.testing.assert_close(found, plain["circuits"] - plain["empty"])


def test_a_look_in_smaller_parts_measures_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = double("qwen2_vl")
    some = batch(vlm, "text")
    scores = nodes_like(vlm, some).map(lambda nodes: torch.rand(nodes.shape, generator=torch.manual_seed(1)))
    standing = Standing((0.4, 0.6, 0.8), 9, 0.01)
    how: dict[str, Any] = {"standing": standing, "known": (), "scores": scores, "threshold": 0.8}
    how |= {"metric": "logit_diff", "answers": answers(vlm), "batch_size": 8}

    whole = looked(vlm, [contrasts("text")], **how)
    monkeypatch.setattr("diptych.experiments.minimal_circuit.fitting", lambda work, size: fitting(work, 1))
    parts = looked(vlm, [contrasts("text")], **how)

    assert parts.pop("at_once").item() == 1 and set(parts) == set(whole) == {"total", "sizes", "kept"}
    assert whole["kept"].shape == (len(whole["sizes"]), 3) and whole["kept"].abs().min() > 1e-6
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name].numpy(), values.numpy(), atol=1e-9)
