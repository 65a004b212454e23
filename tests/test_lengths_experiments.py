"""Experiments on prompts of different lengths and pictures of different sizes: each prompt counts as it would alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diptych.attribution.ap import ap
from diptych.backpatch import back_patch, cells
from diptych.experiments._folds import FoldScores
from diptych.experiments._survey import Survey, clusters
from diptych.experiments._sweep import sweep
from diptych.interventions import run_circuits
from diptych.items import Item, Task
from diptych.metrics import correct, logit_diff
from diptych.models.encode import collate, encode, encode_item
from diptych.run import Run, Store
from prompts import answers
from sized import item, sized


def logits_of(items: list[Item], panel: str) -> torch.Tensor:
    """Last-position logits of each item's prompt: every third item has one shape."""
    prompts = [encode_item(sized(), one, panel) for one in items]  # type: ignore[arg-type]
    found = torch.empty(len(items), 160)
    for kind in range(3):
        found[kind::3] = sized().run(sized().capture(collate(prompts[kind::3])))
    return found


@torch.no_grad()
def free_form(count: int = 144) -> Task:
    """Names of three lengths and pictures of three sizes; the model says the answer from both panels.

    The two answers are those that the model gives about equally often at each length and size.
    """
    words = range(100)
    tokens = torch.tensor([answers(sized()).tokens[str(word)] for word in words])
    logits = torch.stack([logits_of([item(n) for n in range(count)], panel) for panel in ("text", "image")])
    pairs = logits[..., tokens[:, None]] - logits[..., tokens[None]]  # [panel, item, word, word]
    shares = (pairs > 0).double().unflatten(1, (-1, 3)).mean(1)  # [panel, shape, word, word]
    a, b = divmod(int((shares - 0.5).abs().amax((0, 1)).argmin()), len(words))
    said = (pairs[..., a, b] > 0).tolist()
    items = [replace(item(n), answer=str(a if x else b)) for n, (x, y) in enumerate(zip(*said, strict=True)) if x == y]
    return Task("free_form", 1, tuple(items), (str(a), str(b)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")
    store = Store(tmp_path_factory.mktemp("runs"))
    return Run(str(folder), free_form(), store=store, load=lambda source: sized(), batch_size=7)


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("positions", ["aligned", "token"])
def test_discovery_pools_all_lengths_unless_it_is_asked_for_tokens(run: Run, modality: str, positions: str) -> None:
    result = run.get("discover", modality=modality, positions=positions, method="ap")
    items = len(run.task.split("discover"))
    used, dropped = int(result.conditions["n discover"] or 0), str(result.conditions["dropped discover"])

    assert ("rarer layout" in dropped, "wrongly" in dropped) == (positions == "token", False)
    assert (used < items / 2) == (positions == "token")
    assert result.conditions["pooled spans"] == {"aligned": "data", "token": "none"}[positions]
    assert (len(FoldScores.of(run, result).layout.places["data"]) == 1) == (positions == "aligned")


@pytest.mark.parametrize("modality", ["text", "image"])
def test_discovered_scores_are_the_mean_over_prompts_of_each_prompt_s_pooled_scores(run: Run, modality: str) -> None:
    result = run.get("discover", modality=modality, positions="span", method="ap")
    found = FoldScores.of(run, result)
    chosen = Survey.of(run).contrasts(modality, "discover", seed=0, positions="span")  # type: ignore[arg-type]

    singles = [
        ap(sized(), batch).scores.pool(found.layout)
        for contrast in chosen.used
        for batch in encode(sized(), [contrast], answers(sized())).batches
    ]

    expected = sum(singles[1:], singles[0]) * (1 / len(singles))
    assert (
        len(singles) == result.conditions["n discover"]
        and len({str(c.clean.text).count(" ") for c in chosen.used}) == 3
    )  # type: ignore[union-attr]
    assert found.layout.labels == [span for span, *_ in json.loads(str(result.conditions["layout"]))]
    for a, b in zip(found.mean(), expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_counterfactuals_have_their_item_s_length_and_are_the_same_in_both_panels(run: Run, modality: str) -> None:
    chosen = Survey.of(run).contrasts(modality, "test", seed=0, positions="aligned")  # type: ignore[arg-type]

    assert len(chosen.used) > 8
    for contrast in chosen.used:
        for panel in ("text", "image"):
            shapes = [encode_item(sized(), one, panel).shape for one in (contrast.clean, contrast.counterfactual)]  # type: ignore[arg-type]
            assert shapes[0] == shapes[1]


@pytest.mark.parametrize("modality", ["text", "image"])
def test_the_curve_over_lengths_begins_empty_and_ends_full(run: Run, modality: str) -> None:
    discovery = {"method": "ap"}
    result = run.get("faithfulness_curve", modality=modality, sizes=(0.3, 1.0), discovery=discovery, random_circuits=1)

    assert float(result.rows[-1]["faithfulness"] or 0) == pytest.approx(1)
    assert float(result.rows[0]["faithfulness"] or 0) != pytest.approx(1)
    assert (result.rows[0]["n"], result.conditions["pooled spans"]) == (result.conditions["n test"], "data")
    assert "rarer" not in str(result.conditions["dropped test"])


def test_the_curve_measures_each_prompt_as_it_would_alone(run: Run, tmp_path: Path) -> None:
    sizes = (0.05, 0.3, 1.0)
    asked = {"modality": "text", "sizes": sizes, "discovery": {"method": "ap"}, "random_circuits": 1}
    result = run.get("faithfulness_curve", **asked)
    scores = FoldScores.of(run, run.get("discover", modality="text", method="ap")).mean()
    chosen = Survey.of(run).contrasts("text", "test", seed=0, positions="aligned")

    effects = []
    for contrast in chosen.used:
        (batch,) = encode(sized(), [contrast], answers(sized())).batches
        call = sized().capture(batch.clean)
        with sized().record() as recording, torch.no_grad():
            empty = sized().run(sized().capture(batch.counterfactual))
        kept = run_circuits(sized(), call, [scores.top(s).expand(batch.layout) for s in sizes], recording.activations())
        values = [float(logit_diff(one, batch.answers, batch.counter_answers)) for one in [*kept, empty]]
        effects.append(values)

    found = np.array(effects)
    expected = (found[:, :-1] - found[:, -1:]).sum(0) / (found[:, -2] - found[:, -1]).sum()
    assert [row["faithfulness"] for row in result.rows] == pytest.approx(expected.tolist(), abs=1e-3)


def test_overlap_compares_panels_of_many_lengths(run: Run) -> None:
    asked = {"threshold": 0.01, "discovery": {"method": "ap"}, "draws": 20, "resamples": 4}
    result = run.get("overlap", **asked)

    assert {row["segment"] for row in result.rows} == {"data", "query", "generation"}
    assert result.conditions["pooled spans text"] == result.conditions["pooled spans image"] == "data"


def test_intervals_resample_the_prompts_that_the_units_hold(run: Run) -> None:
    chosen = Survey.of(run).contrasts("text", "test", seed=0, positions="aligned")
    units = chosen.units(7)

    assert clusters(units) == [contrast.clean.cluster for unit in units for contrast in unit.payload[1]]
    assert sorted(clusters(units)) == sorted(contrast.clean.cluster for contrast in chosen.used)
    assert clusters(units) != [contrast.clean.cluster for contrast in chosen.used]  # grouped by length
    assert {len(unit.payload[1]) for unit in units} > {7}


@pytest.mark.parametrize("modality", ["text", "image"])
def test_back_patching_patches_the_data_of_each_prompt_as_alone(run: Run, modality: str) -> None:
    survey = Survey.of(run)
    units = survey.items(modality, "test").units(7)  # type: ignore[arg-type]
    asked = {"modality": modality, "windows": (1,), "answers": survey.answers, "batch_size": 7}

    found = torch.cat([sweep(sized(), unit.payload, **asked)["patched"] for unit in units], 1)  # type: ignore[arg-type]

    alone = []
    for one in (one for unit in units for one in unit.payload[1]):
        prompt = encode_item(sized(), one, modality)  # type: ignore[arg-type]
        patched = back_patch(sized(), sized().capture(prompt.inputs), prompt.layout.data, cells(4, (1,)))
        logits = torch.cat([some for _, some in patched])
        alone.append(correct(logits, survey.answers.of([one] * len(logits)), survey.answers.choices))
    assert torch.equal(found, torch.stack(alone, 1))
    assert 0 < float(found.mean()) < 1


def test_back_patching_uses_every_prompt_whatever_its_length(run: Run) -> None:
    result = run.get("back_patching", windows=(1,))

    assert {row["n"] for row in result.rows} == {len(run.task.split("test"))}
    assert {result.conditions[f"dropped {split} {m}"] for split in ("select", "test") for m in ("text", "image")} == {"none"}  # fmt: skip
