"""Node view of trained organisms, end to end: what it says of heads agrees with the model's own run."""

import math
import re
from dataclasses import replace
from functools import cache

import pytest
import torch

from diptych.experiments._survey import Survey
from diptych.layout import SEGMENTS
from diptych.metrics import logit_diff
from diptych.models.encode import encode
from diptych.models.load import load
from diptych.models.vlm import VLM
from diptych.result import Result
from diptych.run import Run, Store
from lab.few_counting import few_counting
from test_node_view import with_minimal_circuit

SIZE = 0.05
NUMBER = r"([+-]\d+\.\d+|0\.00)"


@cache
def organism(name: str) -> VLM:
    return load(name, verify=False)


@pytest.fixture(scope="module", params=["organism/qwen2vl", "organism/gemma3"])
def viewed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Result]:
    folder = tmp_path_factory.mktemp("runs")
    whole = few_counting()
    pictures = replace(whole, items=tuple(replace(item, text=None) for item in whole.items))
    run = Run(request.param, pictures, store=Store(folder), load=lambda source: organism(request.param))
    with_minimal_circuit(run, SIZE, discovery={"method": "ap"})
    return run, run.get("node_view", heads=2, examples=1, discovery={"method": "ap"})


def test_each_head_s_attention_is_spread_over_the_four_segments(viewed: tuple[Run, Result]) -> None:
    _, result = viewed
    heads = {(row["segment"], row["layer"], row["head"]) for row in result.rows}

    assert {segment for segment, *_ in heads} == set(SEGMENTS[1:])
    for name in heads:
        rows = [row for row in result.rows if (row["segment"], row["layer"], row["head"]) == name]
        for column in ("value", "if spread evenly"):
            mass = [float(row[column] or 0) for row in rows if str(row["number"]).startswith("attention to")]
            assert len(mass) == len(SEGMENTS) and min(mass) >= 0
            assert math.fsum(mass) == pytest.approx(1, abs=1e-4)


def test_what_all_parts_write_is_the_model_s_own_logit_difference(viewed: tuple[Run, Result]) -> None:
    run, result = viewed
    vlm, survey = organism(str(result.identity["model"])), Survey.of(run)
    used = survey.contrasts("image", "test", seed=0, positions="aligned").used
    differences = []
    for some in encode(vlm, list(used), survey.answers, batch_size=8).batches:
        with torch.no_grad():
            logits = vlm.run(vlm.capture(some.clean))
        differences.append(logit_diff(logits, some.answers, some.counter_answers, logits))
    own = float(torch.cat(differences).mean())

    (told,) = re.findall(rf"of the {NUMBER} logits between answer and counter-answer", result.summary)
    (note,) = (one for one in result.notes if one.startswith("Direct contributions"))
    heads, neurons, embedding, rest = map(float, re.findall(rf"(?:heads|neurons|embedding|nodes\)) {NUMBER}", note))

    assert result.conditions["n test"] == len(used) > 5 and abs(own) > 1
    assert float(told) == pytest.approx(own, abs=0.006)
    assert heads + neurons + embedding == pytest.approx(own, abs=0.02) and rest == pytest.approx(0, abs=0.006)
    assert min(abs(heads), abs(neurons)) > 0.1
