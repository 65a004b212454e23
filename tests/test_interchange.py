"""Swaps measured: by hand, on models with a planted circuit, between identical panels, and end to end."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from diptych.compare import SEGMENTS
from diptych.experiments._interchange import Effects, Interchange
from diptych.experiments._measured import measure_circuits
from diptych.experiments.swap import AS_MANY, CARRIED, PARTS, Plan
from diptych.grid import Circuit, Scores
from diptych.models.load import load
from diptych.models.vlm import VLM
from diptych.registry import find
from diptych.result import Result
from diptych.run import Run
from diptych.swap import Donor, carry, carry_as_many
from prompts import answers, batch, contrasts
from test_attribution import double
from test_lengths_experiments import run as run
from test_planted import planted, seed_circuit
from tiny import FAMILIES

pytestmark = pytest.mark.xdist_group("interchange")  # one set of swaps for all tests of this file

QUICK: dict[str, Any] = {"threshold": 0.01, "discovery": {"method": "ap"}}
CLUSTERS = list("abcdefgh")


def direction(own: float, swapped: float, random: tuple[float, ...], scale: float = 2.0) -> Effects:
    """Eight prompts with m(model) = `scale` and m(empty) = 0, under circuits of the faithfulness given."""
    shares = {"own": (own,), "swapped": (swapped,), "random": random}
    cases = {name: np.outer(share, np.full(8, scale)) for name, share in shares.items()}
    return Effects(np.full(8, scale), np.zeros(8), cases, CLUSTERS)


def test_values_by_hand_of_one_direction_and_of_both() -> None:
    text, image = direction(0.9, 0.6, (0.0, 0.2)), direction(0.5, 0.4, (0.2, 0.4), scale=5.0)

    assert Interchange([text], 0).faithfulness("own").value == pytest.approx(0.9)
    assert Interchange([text], 0).normalised("swapped", "random").value == pytest.approx((0.6 - 0.1) / (0.9 - 0.1))
    both = Interchange([text, image], 0)
    assert both.faithfulness("swapped").value == pytest.approx(0.5)
    assert both.values("random").tolist() == pytest.approx([0.1, 0.3])
    assert both.normalised("swapped", "random").value == pytest.approx((0.5 - 0.2) / (0.7 - 0.2))
    assert (both.normalised("swapped", "random").n, both.normalised("swapped", "random").unit) == (16, "8 clusters")


def test_intervals_tell_how_much_random_circuits_differ() -> None:
    alike, apart = (Interchange([direction(0.9, 0.6, draws)], 0) for draws in ((0.1, 0.1), (0.0, 0.2)))

    assert alike.normalised("swapped", "random").high == pytest.approx(alike.normalised("swapped", "random").low)
    found = apart.normalised("swapped", "random")
    assert (found.low, found.high) == (pytest.approx(0.4 / 0.7), pytest.approx(0.6 / 0.9))  # both draws alike: 1 in 2


@pytest.mark.parametrize(
    ("random", "said"), [((0.0, 0.2), "[-0.1, 0.1]"), ((0.5, 0.7), "[-0.6, -0.4]")], ids=["as good", "worse"]
)
def test_an_own_circuit_no_better_than_random_nodes_has_no_normalised_value(
    random: tuple[float, float], said: str
) -> None:
    found = Interchange([direction(0.1, 0.6, random)], 0).normalised("swapped", "random")

    assert math.isnan(found.value) and math.isnan(found.low)
    assert f"interval of F_own − F_random, {said}, is not above 0" in found.reason


def test_a_model_without_an_effect_has_no_faithfulness() -> None:
    whole = direction(0.9, 0.6, (0.1,))
    nothing = replace(whole, model=np.array([1.0, -1.0] * 4))

    for found in (Interchange([whole, nothing], 0), Interchange([nothing], 0)):
        assert "denominator m(model) − m(empty)" in found.faithfulness("own").reason
        assert math.isnan(found.faithfulness("own").value) and math.isnan(found.normalised("swapped", "random").value)
        assert np.isnan(found.values("random")).all()


def test_one_cluster_has_no_interval() -> None:
    one = replace(direction(0.9, 0.6, (0.1,)), clusters=["a"] * 8)

    assert "one cluster" in Interchange([one], 0).normalised("swapped", "random").reason


def measured(vlm: VLM, plan: Plan, modality: str, panel: Any, tokens: Any = None) -> Effects:
    work = partial(measure_circuits, circuits=plan, metric="logit_diff", answers=tokens or answers(vlm), batch_size=8)
    return plan.effects([work(vlm, (0, panel))], [one.clean.cluster for one in panel])


def plan_of(into: Any, own: Circuit, given: Circuit, ranking: Scores, draws: int = 2) -> Plan:
    nodes: Mapping[str, Circuit] = {CARRIED: carry(given, own.layout), AS_MANY: carry_as_many(ranking, own)}
    return Plan(into, own, {name: Donor(circuit, draws, 0) for name, circuit in nodes.items()})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_circuit_planted_in_both_panels_can_be_swapped_whole_and_in_parts(family: str) -> None:
    vlm = planted(family, "image")[0]
    circuits = {m: seed_circuit(vlm, batch(vlm, m, 2)) for m in ("text", "image")}  # type: ignore[arg-type]
    effects = []
    for into, other in (("text", "image"), ("image", "text")):
        given = circuits[other]
        ranking = replace(given, heads=given.heads.double(), neurons=given.neurons.double())
        plan = plan_of(into, circuits[into], given, ranking)
        effects.append(measured(vlm, plan, into, contrasts(into, 2)))  # type: ignore[arg-type]

    for one in effects:
        assert (one.model - one.empty).__abs__().max() > 1e-3
        np.testing.assert_allclose(one.cases["own"][0], one.model, atol=1e-9)  # all else writes nothing
        for part in PARTS:
            assert (one.cases[f"{CARRIED} {part} other"] == one.cases["own"]).all()
            assert (one.cases[f"{AS_MANY} {part} other"] == one.cases["own"]).all()
        assert np.abs(one.cases[f"{CARRIED} whole random"] - one.cases["own"]).max() > 1e-3


def test_between_identical_panels_of_an_organism_swaps_keep_everything() -> None:
    from diptych.models.encode import answer_tokens, encode
    from lab.few_counting import few_counting

    vlm, task = load("organism/qwen2vl", verify=False), few_counting()
    panel, tokens = task.contrasts("text", "test")[:8], answer_tokens(vlm, task)
    some = encode(vlm, panel, tokens, batch_size=8).batches[0]
    scores = find("attribution", "ap")(vlm, some).scores
    own = scores.top(0.1)

    found = Interchange([measured(vlm, plan_of("text", own, own, scores), "text", panel, tokens)] * 2, 0)

    for nodes, part in (
        *((CARRIED, part) for part in ("query", "generation")),
        (AS_MANY, "query"),
        (AS_MANY, "generation"),
    ):
        value = found.normalised(f"{nodes} {part} other", f"{nodes} {part} random")
        assert (value.value, value.low, value.high) == (pytest.approx(1), pytest.approx(1), pytest.approx(1)), value
    carried = found.faithfulness(
        f"{CARRIED} data other"
    )  # more nodes than before: those of the data at all its positions
    assert carried.value != found.faithfulness("own").value and carried.value > 0.5


def test_circuits_are_measured_as_each_would_be_alone() -> None:
    vlm = double("gemma3")
    own, given = (seed_circuit(vlm, batch(vlm, m, 2)) for m in ("image", "text"))  # type: ignore[arg-type]
    plan = plan_of(
        "image",
        own,
        (~given).at("query") | given,
        replace(given, heads=given.heads.double(), neurons=given.neurons.double()),
    )
    panel = contrasts("image", 3)

    together, alone = (
        measure_circuits(vlm, (0, panel), circuits=circuits, metric="logit_diff", answers=answers(vlm), batch_size=size)
        for circuits, size in ((plan, 64), (plan, 1))
    )

    assert len(together["circuits"]) == len(list(plan())) == 1 + 2 * 4 * (1 + 2)
    assert together["circuits"].std(0).min() > 1e-6
    torch.testing.assert_close(together["circuits"], alone["circuits"], atol=1e-9, rtol=0)
    cases = plan.effects([together], list("abc")).cases
    assert {len(values) for values in cases.values()} == {1, 2}
    np.testing.assert_array_equal(np.concatenate(list(cases.values())), together["circuits"].numpy())


@pytest.fixture(scope="module")
def swapped(run: Run) -> Result:
    return run.get("swap", **QUICK, draws=3)


@pytest.fixture(scope="module")
def overlapping(run: Run) -> Result:
    return run.get("overlap", **QUICK, draws=50, resamples=6)


def test_a_swap_tells_every_part_both_sorts_of_nodes_and_all_directions(swapped: Result) -> None:
    found = [(row["part"], row["nodes"], row["prompts"]) for row in swapped.rows]

    assert found == [(p, n, d) for p in PARTS for n in (CARRIED, AS_MANY) for d in ("both", "text", "image")]
    assert {"n test", "dropped test"} <= {name.rpartition(" ")[0] for name in swapped.conditions}
    for row in swapped.rows:
        if not row["undefined because"]:
            own, kept, random = (float(row[f"F {name}"] or 0) for name in ("own", "swapped", "random"))
            assert row["normalised"] == pytest.approx((kept - random) / (own - random), abs=1e-6)
            assert float(row["low"] or 0) <= float(row["normalised"] or 0) <= float(row["high"] or 0)
        elif row["F own"] is None:
            assert row["F swapped"] is None and "denominator" in str(row["undefined because"])
        assert row["undefined because"] == "" or any(str(row["undefined because"]) in note for note in swapped.notes)


def test_random_circuits_of_a_swap_are_as_large_as_what_is_swapped_in(swapped: Result) -> None:
    for row in swapped.rows:
        if row["prompts"] != "both" and row["nodes"] == AS_MANY:
            for kind in ("heads", "neurons"):
                assert row[f"{kind} replaced"] == row[f"{kind} swapped in"]
    sizes = {row["neurons swapped in"] for row in swapped.rows if row["nodes"] == CARRIED}
    assert len(sizes) > 3


def test_an_overlap_tells_positions_both_ways_and_layers_add_up(run: Run, overlapping: Result) -> None:
    rows = {(row["segment"], row["positions"], row["kind"]): row for row in overlapping.rows}
    measured_ = [(s, "dropped" if s == "data" else "kept") for s in SEGMENTS]

    assert len(rows) == len(overlapping.rows) == 15
    assert {key[:2] for key in rows} == {*measured_, ("data", "kept"), ("query", "dropped")}
    shared = run.grids(overlapping)["layers.shared"].sum(1).tolist()
    ious = [rows[s, p, kind]["IoU"] for s, p in measured_ for kind in ("heads", "neurons")]
    assert shared == pytest.approx([math.nan if iou is None else iou for iou in ious], nan_ok=True)
    assert max(iou for iou in shared if not math.isnan(iou)) > 0
    for row in overlapping.rows:
        if row["kind"] != "both" and row["expected IoU"] is not None:
            assert row["mean IoU of draws"] == pytest.approx(row["expected IoU"], abs=0.05)
    assert [figure.title for figure in overlapping.figures][1:] == [f"Shared nodes by layer, {s}" for s in SEGMENTS]


def test_departures_of_the_reference_are_told_and_change_the_numbers(run: Run, overlapping: Result) -> None:
    asked = {"niou": "i_minus_2b", "baseline": "global"}
    paper = run.get("overlap", **QUICK, draws=50, resamples=6, **asked)

    assert {name: paper.conditions[name] for name in asked} == asked
    assert {name: overlapping.conditions[name] for name in asked} == {"niou": "normalised", "baseline": "matched"}
    assert any("IoU − 2·b" in note for note in paper.notes) and any(
        "one draw over all positions" in n for n in paper.notes
    )
    pairs = [pair for pair in zip(paper.rows, overlapping.rows, strict=True) if pair[0]["kind"] != "both"]
    for one, other in pairs:
        assert one["IoU"] == other["IoU"] and one["percentile in null"] == other["percentile in null"]
        if one["nIoU"] is not None:
            value = float(one["IoU"] or 0) - 2 * float(one["expected IoU"] or 0)
            assert one["nIoU"] == pytest.approx(min(max(value, 0.01), 1))
    assert sum(one["nIoU"] is not None for one, _ in pairs) > 3
    assert any(one["expected IoU"] != other["expected IoU"] for one, other in pairs)
