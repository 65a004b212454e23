"""What sets of nodes write: parts of the residual stream that add up to its change (methods §10)."""

from dataclasses import replace

import pytest
import torch

from diptych.errors import MismatchError
from diptych.grid import Circuit
from diptych.models.vlm import VLM
from diptych.written import Plain, written
from prompts import batch
from test_attribution import double, nodes_like
from test_interventions import random_circuit
from tiny import FAMILIES, tiny

every_family = pytest.mark.parametrize("family", FAMILIES)


def plain_run(vlm: VLM) -> tuple[Plain, Circuit]:
    some = batch(vlm, "image", 2)
    return Plain.of(vlm, vlm.capture(some.clean)), nodes_like(vlm, some)


@every_family
def test_all_nodes_together_write_the_change_of_the_stream(family: str) -> None:
    vlm = double(family)
    plain, empty = plain_run(vlm)

    everything, nothing = written(vlm, plain, [~empty, empty], 0, 2)

    change = plain.residuals[2] - plain.residuals[0]
    torch.testing.assert_close(everything, change, atol=1e-9, rtol=0)
    assert float(change.abs().max()) > 0.1 and float(nothing.abs().max()) == 0


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
def test_disjoint_sets_write_what_their_union_writes(family: str) -> None:
    vlm = double(family)
    plain, empty = plain_run(vlm)
    one = random_circuit(empty, 0.3, 1)
    other = random_circuit(empty, 0.3, 2) & ~one

    first, second, both = written(vlm, plain, [one, other, one | other], 1, 3)

    torch.testing.assert_close(first + second, both, atol=1e-9, rtol=0)
    assert min(float(part.abs().max()) for part in (first, second)) > 0.01


def test_one_head_writes_its_value_times_its_weights_at_its_position() -> None:
    vlm = double("qwen2_vl")
    plain, empty = plain_run(vlm)
    heads = empty.heads.clone()
    heads[2, 5, 1] = True

    (found,) = written(vlm, plain, [replace(empty, heads=heads)], 0, 3)

    weights = vlm.sites.heads[2].module.weight[:, 16:32]  # of head 1, which is 16 wide
    torch.testing.assert_close(found[:, 5], plain.nodes.heads[2][:, 5, 1] @ weights.T, atol=1e-9, rtol=0)
    assert float(found[:, :5].abs().max()) == float(found[:, 6:].abs().max()) == 0 < float(found[:, 5].abs().max())


def test_a_circuit_of_another_model_writes_nothing_here() -> None:
    vlm = tiny("llava")
    plain, empty = plain_run(vlm)

    with pytest.raises(MismatchError, match="belongs to model other"):
        written(vlm, plain, [replace(empty, model="other")], 0, 1)
