"""Ablations other than counterfactual: what a node outside a circuit becomes is any set of values (methods §6)."""

import pytest
import torch

from diptych.activations import Activations
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.experiments._measured import replacement
from diptych.interventions import run_circuits
from diptych.layout import Layout
from diptych.means import Means
from diptych.models.vlm import VLM
from prompts import batch
from test_attribution import double, nodes_like
from test_interventions import counterfactual_values, node_by_node, random_circuit
from tiny import FAMILIES, tiny

every_family = pytest.mark.parametrize("family", FAMILIES)


@torch.no_grad()
def clean_values(vlm: VLM, some: Batch) -> Activations:
    with vlm.record() as recording:
        vlm.run(vlm.capture(some.clean))
    return recording.activations()


def column(*values: float) -> Activations:
    """One head and one neuron in one layer: a prompt of as many positions."""
    nodes = torch.tensor(values).view(1, -1, 1)
    return Activations((nodes[..., None],), (nodes,))


def test_the_mean_is_over_prompts_at_each_position() -> None:
    layout = Layout.of((1, 2), 4)

    found = (Means.of(column(1, 2, 3, 4), layout, layout) + Means.of(column(3, 2, 1, 8), layout, layout)).on(layout)

    assert found.heads[0].flatten().tolist() == found.neurons[0].flatten().tolist() == [2, 2, 2, 6]


def test_the_tokens_of_a_span_that_is_one_position_share_their_mean() -> None:
    short, long = Layout.of((1, 2), 4), Layout.of((1, 4), 6)
    pooled = short.pooled(["data"])

    means = Means.of(column(0, 9, 0, 0), short, pooled) + Means.of(column(0, 1, 1, 1, 0, 0), long, pooled)

    assert means.on(long).neurons[0].flatten().tolist() == [0, 3, 3, 3, 0, 0]  # four tokens, each weighing alike


@every_family
def test_means_do_not_depend_on_how_prompts_are_batched(family: str) -> None:
    vlm = double(family)
    some = batch(vlm, "image", 3)
    values = clean_values(vlm, some)
    layout = some.layout

    def part(rows: slice) -> Means:
        parts = (tuple(nodes[rows] for nodes in kind) for kind in (values.heads, values.neurons))
        return Means.of(Activations(*parts), layout, layout)

    whole, parts = part(slice(0, 3)).on(layout), (part(slice(0, 1)) + part(slice(1, 3))).on(layout)

    for ours, theirs, plain in zip(whole.neurons, parts.neurons, values.neurons, strict=True):
        assert ours.abs().max() > 1e-3
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
        torch.testing.assert_close(ours, plain.mean(0, keepdim=True), atol=1e-12, rtol=0)


@every_family
@pytest.mark.parametrize("ablation", ["zero", "mean", "counterfactual"])
def test_every_ablation_equals_a_loop_over_nodes_with_its_values(family: str, ablation: str) -> None:
    vlm = double(family)
    some = batch(vlm, "image", 2)
    _, other = counterfactual_values(vlm, some)
    values = clean_values(vlm, some)
    expected = {
        "zero": [torch.zeros_like(nodes) for nodes in (*values.heads, *values.neurons)],
        "mean": [nodes.mean(0, keepdim=True).expand_as(nodes) for nodes in (*values.heads, *values.neurons)],
        "counterfactual": [*other.heads, *other.neurons],
    }[ablation]
    layers = len(values.heads)
    outside = Activations(tuple(expected[:layers]), tuple(expected[layers:]))
    circuit = random_circuit(nodes_like(vlm, some), 0.6, seed=3)

    means = Means.of(values, some.layout, some.layout)
    found = run_circuits(
        vlm,
        vlm.capture(some.clean),
        [circuit, ~circuit],
        replacement(ablation, other, means, some.layout),  # type: ignore[arg-type]
    )

    by_hand = node_by_node(vlm, some, circuit, outside)
    assert (by_hand - vlm.run(vlm.capture(some.clean))).abs().max() > 1e-3
    assert (found[0] - found[1]).abs().max() > 1e-3
    torch.testing.assert_close(found[0], by_hand, atol=1e-5, rtol=0)  # float32 inside the norms


def test_the_mean_over_the_counterfactual_prompts_alone_is_counterfactual_ablation() -> None:
    vlm = double("llava")
    some = batch(vlm, "image", 1)
    _, other = counterfactual_values(vlm, some)
    circuit = random_circuit(nodes_like(vlm, some), 0.5, seed=1)
    means = Means.of(other, some.layout, some.layout)

    mean, counterfactual = (
        run_circuits(vlm, vlm.capture(some.clean), [circuit], replacement(name, other, means, some.layout))  # type: ignore[arg-type]
        for name in ("mean", "counterfactual")
    )

    assert (counterfactual - vlm.run(vlm.capture(some.clean))).abs().max() > 1e-3
    torch.testing.assert_close(mean, counterfactual, atol=1e-12, rtol=0)


def test_means_are_stored_and_read_back() -> None:
    vlm = tiny("gemma3")
    some = batch(vlm, "text", 2)
    means = Means.of(clean_values(vlm, some), some.layout, some.layout)

    again = Means.from_tensors(means.tensors(), some.layout)

    assert means.totals.neurons[0].abs().max() > 0
    assert all(map(torch.equal, again.totals.neurons, means.totals.neurons))
    assert all(map(torch.equal, again.on(some.layout).heads, means.on(some.layout).heads))


def test_a_position_that_was_never_seen_has_no_mean() -> None:
    layout = Layout.of((1, 2), 4)
    means = Means(column(0, 0, 0, 0), torch.tensor([1.0, 0, 1, 1]), layout)

    with pytest.raises(InputError, match="never seen, so they have no mean. Take the mean over more prompts"):
        means.on(layout)


def test_mean_ablation_without_means_is_refused() -> None:
    with pytest.raises(InputError, match="Mean ablation needs the means of the nodes"):
        replacement("mean", column(1, 2, 3, 4), None, Layout.of((1, 2), 4))
