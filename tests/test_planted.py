"""Positive controls: in a model with a planted circuit, every method finds it and nothing else (methods §4–§6)."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from diptych.attribution.exact import exact
from diptych.batch import Batch
from diptych.errors import MismatchError, UnsupportedModel
from diptych.faithfulness import bisect
from diptych.grid import Circuit, Scores
from diptych.interventions import ablate_outside, run_circuits
from diptych.items import Modality
from diptych.metrics import logit_diff
from diptych.models.check import prove
from diptych.models.encode import answer_tokens, encode
from diptych.models.load import load
from diptych.models.vlm import VLM
from diptych.planted import _silence, plant
from diptych.registry import find, names
from diptych.tasks.counting import counting
from prompts import batch
from test_attribution import double, nodes_like
from test_interventions import counterfactual_values
from tiny import FAMILIES, tiny

METHODS = [name for name in names("attribution") if name != "exact"]  # of all nodes at once; exact is tested on some
every_family = pytest.mark.parametrize("family", FAMILIES)
every_method = pytest.mark.parametrize("method", METHODS)


def seed_circuit(vlm: VLM, some: Batch) -> Circuit:
    """One head and a quarter of the neurons in each layer, at all positions."""
    empty = nodes_like(vlm, some)
    heads, neurons = empty.heads.clone(), empty.neurons.clone()
    for layer in range(len(heads)):
        heads[layer, :, (3 * layer + 1) % heads.shape[2]] = True
        neurons[layer, :, layer :: heads.shape[2]] = True
    return replace(empty, heads=heads, neurons=neurons)


def spots(vlm: VLM, some: Batch) -> Circuit:
    """The same nodes at every second position after the prefix, and at the last."""
    whole = seed_circuit(vlm, some)
    kept = torch.zeros(some.layout.length, dtype=torch.bool)
    kept[some.layout.data.start :: 2] = True
    kept[-1] = True
    return whole.map(lambda nodes: nodes & kept[:, None])


@cache
def planted(family: str, modality: Modality) -> tuple[VLM, Batch, Circuit]:
    original = double(family)
    some = batch(original, modality, 2)
    circuit = seed_circuit(original, some)
    vlm = plant(original, circuit)
    return vlm, some, replace(circuit, model=vlm.digest)


def inside_only(scores: Scores, circuit: Circuit) -> None:
    """Exactly zero outside, most nodes after the prefix not zero inside, and so ranked first."""
    for nodes, kept in zip(scores, circuit, strict=True):
        assert nodes[~kept].abs().max() == 0
        assert (nodes[:-1, scores.layout.data][kept[:-1, scores.layout.data]] != 0).float().mean() > 0.9
    live = [int(nodes.count_nonzero()) / nodes.numel() for nodes in scores]
    assert (scores.map(torch.abs).top(min(live)) & ~circuit).count() == (0, 0)


def metric(vlm: VLM, some: Batch, circuits: list[Circuit]) -> torch.Tensor:
    """The mean metric under each circuit, all else counterfactual."""
    _, values = counterfactual_values(vlm, some)
    found = run_circuits(vlm, vlm.capture(some.clean), circuits, values)
    return torch.stack([logit_diff(logits, some.answers, some.counter_answers).mean() for logits in found])


def faithfulness(vlm: VLM, some: Batch, ranking: Scores, size: float) -> float:
    at = metric(vlm, some, [ranking.top(size), ~ranking.top(0), ranking.top(0)])
    return float((at[0] - at[2]) / (at[1] - at[2]))


@every_family
@every_method
def test_nodes_that_write_nothing_score_exactly_zero_and_planted_ones_come_first(family: str, method: str) -> None:
    vlm, some, circuit = planted(family, "image")

    inside_only(find("attribution", method)(vlm, some).scores, circuit)


@every_family
@every_method
def test_nodes_that_are_held_score_exactly_zero_at_each_position(family: str, method: str) -> None:
    vlm = double(family)
    some = batch(vlm, "text", 2)
    circuit = spots(vlm, some)
    held = counterfactual_values(vlm, batch(vlm, "text", 1))[1]

    with ablate_outside(vlm, [circuit], held):
        scores = find("attribution", method)(vlm, some).scores

    inside_only(scores, circuit)


@every_family
def test_exact_patching_of_single_nodes_agrees(family: str) -> None:
    vlm, some, circuit = planted(family, "image")
    sample = (circuit.map(lambda nodes: nodes & (chosen(nodes, 1) | chosen(nodes, 2))).at("generation")) | (
        (~circuit).map(lambda nodes: nodes & chosen(nodes, 3)).at("generation")
    )

    scores = exact(vlm, some, among=sample).scores

    for nodes, inside, tried in zip(scores, circuit, sample, strict=True):
        assert int((tried & ~inside).sum()) > 1
        assert nodes[~inside].abs().max() <= 1e-12
        assert nodes[tried & inside].max() > 1e-4  # a head whose window ends before the data has no effect


@every_family
def test_patching_any_other_node_changes_nothing_and_patching_planted_ones_does(family: str) -> None:
    vlm, some, circuit = planted(family, "image")
    drawn = [(~circuit).map(lambda nodes, seed=seed: nodes & chosen(nodes, seed)) for seed in range(3)]
    planted_ones = [circuit.map(lambda nodes: nodes & chosen(nodes, 9))]

    whole = nodes_like(vlm, some)
    effects = metric(vlm, some, [~nodes for nodes in (~circuit, *drawn, *planted_ones)]) - metric(vlm, some, [~whole])

    assert all(one.count()[1] > 10 for one in drawn)
    assert effects[:-1].abs().max() <= 1e-12 < 1e-4 < effects[-1].abs()


def chosen(nodes: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.rand(nodes.shape, generator=torch.Generator().manual_seed(seed)) < 0.2


@every_family
def test_the_minimal_circuit_lies_inside_the_planted_one(family: str) -> None:
    vlm, some, circuit = planted(family, "image")
    scores = find("attribution", "ap_ig")(vlm, some).scores

    size = bisect(lambda tried: faithfulness(vlm, some, scores, tried) >= 0.8, 0.0, 1.0, 7)
    minimal = scores.top(size)

    assert 0 < size < 0.25 and minimal.count()[1] > 0
    assert faithfulness(vlm, some, scores, size) >= 0.8
    assert (minimal & ~circuit & scores.map(lambda nodes: nodes != 0)).count() == (0, 0)
    assert faithfulness(vlm, some, circuit.map(lambda nodes: nodes.float()), 0.25) == pytest.approx(1, abs=1e-9)


@every_family
def test_the_user_s_model_is_left_as_it_was(family: str) -> None:
    original = tiny(family)
    before = {name: value.clone() for name, value in original.model.state_dict().items()}
    some = batch(original, "text", 1)

    changed = plant(original, seed_circuit(original, some))

    assert all(torch.equal(value, before[name]) for name, value in original.model.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in changed.model.state_dict().items())
    assert changed.digest != original.digest and original.name in changed.name


def test_planting_all_nodes_changes_no_logit() -> None:
    original = tiny("gemma3")
    some = batch(original, "image", 2)

    copy = plant(original, ~nodes_like(original, some))

    assert torch.equal(copy.run(copy.capture(some.clean)), original.run(original.capture(some.clean)))


@every_family
def test_a_planted_model_is_read_rightly(family: str) -> None:
    original = tiny(family)
    vlm = plant(original, seed_circuit(original, batch(original, "image", 1)))

    assert prove(vlm).passed


@pytest.mark.parametrize("method", ["ap", "ap_ig", "relp"])
def test_a_planted_circuit_of_the_organism_is_found(method: str) -> None:
    original = load("organism/qwen2vl", verify=False)
    task = counting(per_split=12)
    some = encode(original, task.contrasts("image", "test")[:2], answer_tokens(original, task), batch_size=2).batches[0]
    circuit = seed_circuit(original, some)
    vlm = plant(original, circuit)

    inside_only(find("attribution", method)(vlm, some).scores, replace(circuit, model=vlm.digest))


def test_a_circuit_of_another_model_cannot_be_planted() -> None:
    vlm = tiny("llava")
    circuit = replace(nodes_like(vlm, batch(vlm, "text", 1)), model="other")

    with pytest.raises(MismatchError, match="belongs to model other, not to tiny/llava .* Make it for this model"):
        plant(vlm, circuit)


def test_nodes_before_anything_but_output_weights_cannot_be_silenced() -> None:
    vlm = double("qwen2_vl")
    site = replace(vlm.sites.neurons[0], module=torch.nn.LayerNorm(64))

    with pytest.raises(UnsupportedModel, match="neurons of layer 0 of m are the input of a LayerNorm; expected one of"):
        _silence(site, torch.ones(64, dtype=torch.bool), "m")
