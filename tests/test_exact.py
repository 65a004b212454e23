"""Exact patching (methods §4): of one node, of sets, of samples; what attribution approximates."""

import pytest
import torch

from diptych.attribution.ap import ap
from diptych.attribution.exact import effects, everywhere, exact, set_effects
from diptych.batch import Batch
from diptych.errors import InputError, MismatchError
from diptych.grid import Circuit, Grid
from diptych.items import MODALITIES, Modality
from diptych.metrics import accuracy, logit_diff
from diptych.models.vlm import VLM
from prompts import batch
from test_attribution import double, nodes_like
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)


def strongest(vlm: VLM, some: Batch, share: float = 0.006) -> Circuit:
    return ap(vlm, some).scores.top(share)


def one_by_one(nodes: Circuit) -> list[Circuit]:
    """A circuit of each node alone, heads first."""
    found = []
    for kind, mask in enumerate(nodes):
        for place in mask.nonzero().tolist():
            parts = [torch.zeros_like(part) for part in nodes]
            parts[kind][tuple(place)] = True
            found.append(Grid(parts[0], parts[1], nodes.layout, nodes.model))
    return found


@every_model
@both_panels
def test_a_node_patched_from_its_layer_on_is_the_node_patched_in_a_whole_run(
    family: str, kernel: str, modality: Modality
) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)
    nodes = strongest(vlm, some)

    found = effects(vlm, some, nodes, batch_size=8)

    assert min(nodes.count()) > 0 and found.abs().max() > 1e-2
    torch.testing.assert_close(found, set_effects(vlm, some, one_by_one(nodes)), atol=1e-6, rtol=0)


def test_a_node_of_a_span_is_patched_at_all_of_its_tokens() -> None:
    vlm = double("llava")
    some = batch(vlm, "image", 2)
    layout = some.layout.pooled(["data", "query"])
    nodes = ap(vlm, some).scores.pool(layout).top(0.01)

    found = effects(vlm, some, nodes)

    assert layout.length < some.layout.length and found.abs().max() > 1e-2
    tokens = [node.expand(some.layout) for node in one_by_one(nodes)]
    torch.testing.assert_close(found, set_effects(vlm, some, tokens), atol=1e-6, rtol=0)
    assert exact(vlm, some, among=nodes).scores.layout == layout


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_effects_do_not_depend_on_how_many_nodes_share_a_run(batch_size: int) -> None:
    vlm = double("gemma3")
    some = batch(vlm, "image", 2)
    nodes = strongest(vlm, some)

    found, apart = effects(vlm, some, nodes, batch_size=batch_size), effects(vlm, some, nodes, batch_size=2)

    assert apart.abs().max() > 1e-2
    torch.testing.assert_close(found, apart, atol=1e-6, rtol=0)


def test_scores_are_mean_effects_in_absolute_value_unless_signed_and_zero_elsewhere() -> None:
    vlm = double("qwen2_vl")
    some = batch(vlm, "image", 3)
    nodes = strongest(vlm, some)
    found = effects(vlm, some, nodes)

    total, signed = (exact(vlm, some, among=nodes, reduction=r).scores for r in ("l1", "signed"))  # type: ignore[arg-type]

    for scores, expected in ((total, found.abs().mean(1)), (signed, found.mean(1))):
        listed = torch.cat([part[mask] for part, mask in zip(scores, nodes, strict=True)])
        torch.testing.assert_close(listed, expected)
        assert all(not part[~mask].any() for part, mask in zip(scores, nodes, strict=True))
    assert (found < 0).any() and (found > 0).any()


def test_all_nodes_but_the_prefix_are_patched_unless_told_otherwise() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "text", 1)
    every = everywhere(vlm, some)
    few = every.map(lambda mask: mask & (torch.arange(mask.shape[-1]) < 2))

    found = exact(vlm, some, among=few)

    assert every.count() == tuple(mask.numel() for mask in nodes_like(vlm, some))
    assert found.scores.heads[:, some.layout.prefix].abs().max() == 0
    assert found.scores.heads[0, some.layout.data].abs().max() > 0
    clean, other = (
        logit_diff(vlm.run(vlm.capture(side)), some.answers, some.counter_answers)
        for side in (some.clean, some.counterfactual)
    )
    torch.testing.assert_close(found.effect, (clean - other).detach())


def test_accuracy_can_be_patched_but_not_attributed() -> None:
    vlm = tiny("llava")
    some = batch(vlm, "image", 3)
    measure = accuracy(torch.cat([some.answers, some.counter_answers]).unique())
    every = everywhere(vlm, some)

    (found,) = set_effects(vlm, some, [every], metric=measure)

    assert set(found.tolist()) <= {-1.0, 0.0, 1.0}
    with pytest.raises(InputError, match="The metric has no gradient.* Use `exact`"):
        ap(vlm, some, metric=measure)


def test_no_nodes_have_no_effects() -> None:
    vlm = tiny("llava")
    some = batch(vlm, "image", 3)

    assert effects(vlm, some, nodes_like(vlm, some)).shape == (0, 3)


def test_nodes_of_another_model_and_unknown_reductions_are_refused() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "text", 1)
    nodes = nodes_like(vlm, some)

    with pytest.raises(MismatchError, match="belongs to model other, not to tiny/qwen2_vl"):
        effects(vlm, some, Grid(nodes.heads, nodes.neurons, nodes.layout, "other"))
    with pytest.raises(InputError, match="No reduction named 'l2'"):
        exact(vlm, some, reduction="l2")  # type: ignore[arg-type]
