"""Attribution laws (methods §4), in float64 where they are equalities, on three families and both kernels."""

import pytest
import torch

from diptych.attribution._integrate import Integral
from diptych.attribution._rules import midpoints, right_points
from diptych.attribution.ap import ap
from diptych.attribution.ap_ig import ap_ig
from diptych.attribution.exact import set_effects
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.grid import Grid
from diptych.items import MODALITIES, Modality
from diptych.metrics import logit_diff
from diptych.models.calls import Path
from diptych.models.encode import encode
from diptych.models.sites import Site
from diptych.models.vlm import VLM
from prompts import answers, batch, contrasts
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)


def double(family: str, kernel: str = "sdpa") -> VLM:
    return tiny(family, kernel, torch.float64)


def nodes_like(vlm: VLM, some: Batch) -> Grid:
    """The empty circuit of a batch's layout."""
    layers, length = len(vlm.layers), some.layout.length
    return Grid(
        torch.zeros(layers, length, vlm.sites.heads[0].count, dtype=torch.bool),
        torch.zeros(layers, length, vlm.sites.neurons[0].count, dtype=torch.bool),
        some.layout,
        vlm.digest,
    )


def moved(vlm: VLM, some: Batch, site: Site, position: int, node: int, step: float) -> torch.Tensor:
    """The metric when one node is moved by `step` of the way from its clean to its counterfactual value."""
    with torch.no_grad(), vlm.record() as recording:
        vlm.run(vlm.capture(some.counterfactual))
    other = recording.values[site]

    def move(live: torch.Tensor) -> torch.Tensor:
        changed = live.clone()
        changed[:, position, node] += step * (other - live)[:, position, node]
        return changed

    with torch.no_grad(), vlm.edit_inputs({site: move}):
        return logit_diff(vlm.run(vlm.capture(some.clean)), some.answers, some.counter_answers)


@every_model
@both_panels
def test_attribution_patching_is_the_derivative_of_exact_patching(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 1)
    scores = ap(vlm, some, reduction="signed").scores
    step = 3e-3  # Hugging Face's norms compute in float32: smaller steps drown in their rounding
    checked = 0
    for kind, sites in (("heads", vlm.sites.heads), ("neurons", vlm.sites.neurons)):
        nodes = getattr(scores, kind)
        for index in nodes.abs().flatten().topk(3).indices.tolist():
            layer, position, node = (int(i) for i in torch.unravel_index(torch.tensor(index), nodes.shape))
            ahead, behind = (float(moved(vlm, some, sites[layer], position, node, s)) for s in (step, -step))
            predicted = float(nodes[layer, position, node])
            assert abs(predicted) > 1e-3
            assert (ahead - behind) / (2 * step) == pytest.approx(predicted, rel=2e-2, abs=2e-3)
            checked += 1
    assert checked == 6


@every_model
@both_panels
def test_the_integral_becomes_complete_as_steps_grow(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)
    errors = []
    for steps in (1, 64):
        integral = Integral(vlm, some, logit_diff)
        integral.add(midpoints(steps), [0, 1])
        assert integral.effect.abs().min() > 1e-2
        errors.append(float((integral.inputs / integral.weights - integral.effect).abs().max()))
    assert errors[0] > 1e-3
    assert errors[1] < 2e-3 * max(1.0, float(integral.effect.abs().max()))


@every_model
@both_panels
def test_a_prompt_against_itself_scores_exactly_zero(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)
    same = Batch(some.contrasts, some.clean, some.clean, some.answers, some.counter_answers, some.layout)

    scores = ap_ig(vlm, same, steps=2).scores

    assert all(float(nodes.abs().max()) > 0 for nodes in ap_ig(vlm, some, steps=2).scores)
    assert all(float(nodes.abs().max()) == 0 for nodes in scores)


@every_model
@both_panels
def test_prefix_scores_are_exactly_zero_and_others_are_not(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)

    assert some.layout.prefix.stop > 0
    for nodes in ap_ig(vlm, some, steps=3).scores:
        assert float(nodes[:, some.layout.prefix].abs().max()) == 0
        assert float(nodes[:, some.layout.data].abs().max()) > 0


@every_model
@both_panels
def test_scores_do_not_depend_on_batch_size(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    together = ap_ig(vlm, batch(vlm, modality, 3), steps=3).scores
    singles = encode(vlm, contrasts(modality, 3), answers(vlm), batch_size=1).batches
    apart = [ap_ig(vlm, one, steps=3).scores for one in singles]

    assert len(apart) == 3
    for kind in ("heads", "neurons"):
        mean = torch.stack([getattr(scores, kind) for scores in apart]).mean(0)
        assert float(mean.abs().max()) > 1e-3
        torch.testing.assert_close(getattr(together, kind), mean, atol=1e-6, rtol=1e-5)  # float32 inside the norms


@both_panels
def test_the_sign_of_a_prompt_cancels_only_if_scores_are_signed(modality: Modality) -> None:
    vlm = double("qwen2_vl")
    (contrast,) = contrasts(modality, 1)
    one = encode(vlm, [contrast], answers(vlm)).batches[0]
    flipped = Batch(one.contrasts, one.clean, one.counterfactual, one.counter_answers, one.answers, one.layout)
    signed = [ap(vlm, some, reduction="signed").scores for some in (one, flipped)]
    magnitude = [ap(vlm, some, reduction="abs").scores for some in (one, flipped)]

    assert float(signed[0].neurons.abs().max()) > 1e-3
    torch.testing.assert_close(signed[0].neurons, -signed[1].neurons)
    torch.testing.assert_close(magnitude[0].neurons, signed[0].neurons.abs())
    torch.testing.assert_close(magnitude[0].neurons, magnitude[1].neurons)


def test_head_reductions_are_ordered_signed_within_abs_within_l1() -> None:
    vlm = double("llava")
    some = batch(vlm, "image", 1)
    signed, magnitude, total = (ap(vlm, some, reduction=r).scores.heads for r in ("signed", "abs", "l1"))  # type: ignore[arg-type]

    assert float(total.max()) > 1e-3
    torch.testing.assert_close(signed.abs(), magnitude)
    assert (total >= magnitude - 1e-12).all() and (total > magnitude + 1e-6).any()


def test_one_right_step_is_attribution_patching() -> None:
    vlm = double("gemma3")
    some = batch(vlm, "image", 2)

    assert ap_ig(vlm, some, rule="right", steps=1).scores.equal(ap(vlm, some).scores)


def test_scores_are_accumulated_in_float32_under_bfloat16() -> None:
    vlm = tiny("qwen2_vl", "sdpa", torch.bfloat16)
    integral = Integral(vlm, batch(vlm, "image", 2), logit_diff)
    integral.add(midpoints(2), [0, 1])

    assert integral.effect.dtype == torch.float32
    assert {total.dtype for total in integral.gradients.values()} == {torch.float32}
    assert max(float(total.abs().max()) for total in integral.gradients.values()) > 0


def test_refined_rules_keep_their_old_points() -> None:
    assert set(midpoints(5)) < set(midpoints(15))
    assert set(right_points(5)) < set(right_points(10))
    assert [float(p) for p in midpoints(2)] == [0.25, 0.75]
    assert [float(p) for p in right_points(2)] == [0.5, 1.0]


def test_refining_in_place_equals_computing_all_points_at_once() -> None:
    vlm = double("qwen2_vl")
    some = batch(vlm, "image", 2)

    refined = ap_ig(vlm, some, tolerance=0.0, cap=15)
    at_once = ap_ig(vlm, some, steps=15)

    assert refined.steps.tolist() == at_once.steps.tolist() == [15, 15]
    torch.testing.assert_close(refined.scores.neurons, at_once.scores.neurons)
    torch.testing.assert_close(refined.completeness, at_once.completeness)


def test_only_prompts_that_are_not_complete_are_refined() -> None:
    vlm = double("qwen2_vl")
    some = batch(vlm, "image", 3)
    five = ap_ig(vlm, some, steps=5).completeness
    between = float(five.sort().values[:2].mean())

    found = ap_ig(vlm, some, tolerance=between, cap=15)

    assert sorted(found.steps.tolist()) == [5, 15, 15]
    assert found.steps[five.argmin()] == 5
    singles = encode(vlm, contrasts("image", 3), answers(vlm), batch_size=1).batches
    alone = [ap_ig(vlm, one, steps=int(n)).scores.neurons for one, n in zip(singles, found.steps, strict=True)]
    torch.testing.assert_close(found.scores.neurons, torch.stack(alone).mean(0), atol=1e-6, rtol=1e-5)


@every_model
@both_panels
def test_patching_every_node_is_the_counterfactual_run(family: str, kernel: str, modality: Modality) -> None:
    vlm = double(family, kernel)
    some = batch(vlm, modality, 2)
    nothing = nodes_like(vlm, some)

    effects = set_effects(vlm, some, [nothing, ~nothing])
    with torch.no_grad():
        clean, other = (
            logit_diff(vlm.run(vlm.capture(inputs)), some.answers, some.counter_answers)
            for inputs in (some.clean, some.counterfactual)
        )

    assert (clean - other).abs().min() > 1e-2
    assert effects[0].abs().max() == 0
    torch.testing.assert_close(effects[1], other - clean, atol=1e-5, rtol=0)


def test_the_path_needs_gradients_of_no_parameter() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)
    path = Path.between(vlm.capture(some.clean), vlm.capture(some.counterfactual))
    call, entries = path.at(0.5)

    vlm.run(call).sum().backward()

    assert entries[0].grad is not None and entries[0].grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in vlm.model.parameters())


def test_unknown_rules_steps_and_reductions_are_refused() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)

    with pytest.raises(
        InputError, match="No integration rule named 'simpson'. Known: midpoint, right, left, trapezoid"
    ):
        ap_ig(vlm, some, rule="simpson")
    with pytest.raises(InputError, match="AP-IG takes 0 steps; expected at least 1"):
        ap_ig(vlm, some, steps=0)
    with pytest.raises(InputError, match="No reduction named 'l2'. Known: l1, abs, signed"):
        ap(vlm, some, reduction="l2")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="No metric named 'loss'. Known: logit_diff"):
        ap(vlm, some, metric="loss")
