"""Faithfulness laws (methods §6): ablation outside a circuit, on three families and both kernels."""

import pytest
import torch

from diptych.activations import Activations
from diptych.batch import Batch
from diptych.errors import MismatchError
from diptych.grid import Circuit, Grid
from diptych.interventions import ablate_outside, run_circuits
from diptych.items import MODALITIES, Modality
from diptych.models.vlm import VLM
from prompts import batch
from test_attribution import double, nodes_like
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)


def random_circuit(like: Grid, share: float, seed: int) -> Circuit:
    generator = torch.Generator().manual_seed(seed)
    return like.map(lambda nodes: torch.rand(nodes.shape, generator=generator) < share)


@torch.no_grad()
def counterfactual_values(vlm: VLM, some: Batch) -> tuple[torch.Tensor, Activations]:
    with vlm.record() as recording:
        logits = vlm.run(vlm.capture(some.counterfactual))
    return logits, recording.activations()


@torch.no_grad()
def node_by_node(vlm: VLM, some: Batch, circuit: Circuit, values: Activations) -> torch.Tensor:
    """The same ablation written as a loop over single nodes."""

    def replace(site, kept, other):
        def edit(live: torch.Tensor) -> torch.Tensor:
            changed = live.clone()
            for position, node in (~kept).nonzero().tolist():
                changed[:, position, node] = other[:, position, node]
            return changed

        return edit

    edits = {s: replace(s, circuit.heads[s.layer], values.heads[s.layer]) for s in vlm.sites.heads}
    edits |= {s: replace(s, circuit.neurons[s.layer], values.neurons[s.layer]) for s in vlm.sites.neurons}
    with vlm.edit_inputs(edits):
        return vlm.run(vlm.capture(some.clean))


@every_model
@both_panels
def test_the_full_circuit_is_the_clean_run_to_the_bit(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, modality)
    other, values = counterfactual_values(vlm, some)
    clean = vlm.run(vlm.capture(some.clean))

    (found,) = run_circuits(vlm, vlm.capture(some.clean), [~nodes_like(vlm, some)], values)

    assert (clean - other).abs().max() > 1e-2
    assert torch.equal(found, clean)


@every_model
@both_panels
def test_the_empty_circuit_is_the_counterfactual_run(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality)
    other, values = counterfactual_values(vlm, some)

    (found,) = run_circuits(vlm, vlm.capture(some.clean), [nodes_like(vlm, some)], values)

    assert (other - vlm.run(vlm.capture(some.clean))).abs().max() > 1e-2
    torch.testing.assert_close(found, other, atol=1e-9, rtol=0)


@every_model
@both_panels
def test_ablating_by_mask_equals_a_loop_over_nodes(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)
    other, values = counterfactual_values(vlm, some)
    circuit = random_circuit(nodes_like(vlm, some), 0.6, seed=3)

    (found,) = run_circuits(vlm, vlm.capture(some.clean), [circuit], values)

    assert (found - other).abs().max() > 1e-3
    torch.testing.assert_close(found, node_by_node(vlm, some, circuit, values), atol=1e-9, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_circuits_in_one_batch_equal_circuits_one_by_one(family: str, batch_size: int) -> None:
    vlm = double(family)
    some = batch(vlm, "image", 2)
    _, values = counterfactual_values(vlm, some)
    call, like = vlm.capture(some.clean), nodes_like(vlm, some)
    circuits = [random_circuit(like, share, seed) for seed, share in enumerate((0.2, 0.5, 0.8, 0.9, 0.95))]

    together = run_circuits(vlm, call, circuits, values, batch_size=batch_size)
    apart = torch.cat([run_circuits(vlm, call, [circuit], values) for circuit in circuits])

    assert (apart[0] - apart[1]).abs().max() > 1e-3
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)  # float32 inside the norms


def test_one_node_outside_the_circuit_is_replaced_and_all_others_live() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "text", 1)
    _, values = counterfactual_values(vlm, some)
    like = nodes_like(vlm, some)
    heads = like.heads.clone()
    heads[1, some.layout.data.start, 2] = True
    circuit = ~Grid(heads, like.neurons, some.layout, vlm.digest)

    with torch.no_grad(), ablate_outside(vlm, [circuit], values), vlm.record() as recording:
        vlm.run(vlm.capture(some.clean))
    with torch.no_grad(), vlm.record() as clean:
        vlm.run(vlm.capture(some.clean))

    found, before = recording.activations().heads, clean.activations().heads
    changed = (found[1] != before[1]).any(-1)[0].nonzero().tolist()
    assert changed == [[some.layout.data.start, 2]]
    assert torch.equal(found[0], before[0])
    assert torch.equal(found[1][0, some.layout.data.start, 2], values.heads[1][0, some.layout.data.start, 2])


def test_a_circuit_of_another_model_is_refused() -> None:
    vlm, other = tiny("qwen2_vl"), tiny("llava")
    some = batch(vlm, "text")
    _, values = counterfactual_values(vlm, some)
    circuit = Grid(*nodes_like(vlm, some), some.layout, other.digest)

    with pytest.raises(MismatchError, match="belongs to model tiny-llava-0, not to tiny/qwen2_vl"):
        run_circuits(vlm, vlm.capture(some.clean), [circuit], values)
