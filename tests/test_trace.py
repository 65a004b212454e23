"""The trace of a run: later positions computed alone, where a model allows it (decision 0024)."""

import pytest
import torch

from diptych.backpatch import back_patch, cells
from diptych.cuts import Cut, cut_off
from diptych.models.check import _prompt, swept
from diptych.models.handed import record_handed
from diptych.models.past import alone
from diptych.models.trace import trace
from prompts import batch
from test_backpatch import two_passes
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET, fresh

ALONE = ["qwen3_vl", "llama4", "kimi_k25", "chameleon", "idefics3"]  # deep stack, chunks, latent keys, tuples, plain
WHOLE = {
    "paligemma": "earlier positions look at later ones",
    "qwen3_5": "moves information by recurrence",
    "mllama": "moves information by cross attention",
    "gemma4": "given what layers below it did beside the stream",
    "dots3_note": "list index out of range",
}


@pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
def test_the_trace_of_a_run_is_the_plain_run_to_the_bit(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image", 2)
    call, data = vlm.capture(some.clean), some.layout.data

    plain, found = trace(vlm, call), trace(vlm, call, (data.start, data.stop))

    assert plain.past is None and found.past is not None
    assert torch.equal(found.logits, plain.logits) and torch.equal(found.logits, vlm.run(call))
    assert all(map(torch.equal, found.residuals, plain.residuals))
    assert {keys.shape[2] for keys, _ in found.past.layers.values()} == {some.layout.length}


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_every_position_may_be_the_first_that_is_computed(family: str) -> None:
    vlm = tiny(family, "sdpa", torch.float64)
    some = batch(vlm, "text", 2)
    call, length = vlm.capture(some.clean), some.layout.length
    own = trace(vlm, call, range(length))

    assert own.past is not None
    for start in range(length):
        with alone(vlm, own.past.until(start), slice(start, length)) as past, record_handed(vlm) as residuals:
            logits = vlm.run(call)
        torch.testing.assert_close(logits, own.logits, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(residuals[-1][:, start:], own.residuals[-1][:, start:], atol=1e-10, rtol=1e-10)
        assert all(torch.allclose(past.layers[n][1], own.past.layers[n][1], atol=1e-10) for n in range(4))


def test_a_past_of_another_run_changes_what_later_positions_see() -> None:
    vlm = tiny("llava")
    some = batch(vlm, "image", 1)
    call, stop = vlm.capture(some.clean), some.layout.data.stop
    other = trace(vlm, vlm.capture(some.counterfactual), (stop,))

    assert other.past is not None
    with alone(vlm, other.past.until(stop), slice(stop, some.layout.length)):
        logits = vlm.run(call)

    torch.testing.assert_close(logits, other.logits, atol=1e-4, rtol=0)
    assert (logits - vlm.run(call)).abs().max() > 1e-3


def test_positions_that_look_at_later_ones_have_no_past() -> None:
    vlm = tiny("gemma3")  # positions of one picture look at each other
    some = batch(vlm, "image", 1)
    call, data = vlm.capture(some.clean), some.layout.data

    inside = trace(vlm, call, (data.start, data.start + 1))

    assert inside.past is None and "In layer 0 of tiny/gemma3 earlier positions look at later ones" in inside.why
    assert torch.equal(inside.logits, vlm.run(call))


@QUIET
@torch.no_grad()
@pytest.mark.parametrize("name", [*ALONE, *WHOLE])
def test_sweeps_equal_full_passes_on_all_positions_where_later_ones_cannot_be_computed_alone(name: str) -> None:
    vlm = fresh(name)
    prompt = _prompt(vlm, "red")
    call, data = vlm.capture(prompt.inputs), prompt.layout.data
    own = trace(vlm, call, (data.start, data.stop))

    found = dict(back_patch(vlm, call, data, cells(4)))

    assert own.why == "" if name in ALONE else WHOLE[name] in own.why and own.why in swept(vlm)
    assert (own.past is not None) == (name in ALONE)
    for cell in cells(4)[::3]:
        off = (found[cell] - two_passes(vlm, call, data, cell, own.residuals)).abs()
        assert off.max() <= 1e-5 * own.logits.abs()[own.logits > -1e30].max(), cell


@QUIET
@torch.no_grad()
@pytest.mark.parametrize("name", [*ALONE, "paligemma", "gemma4"])
def test_cuts_equal_full_passes_on_all_positions_where_later_ones_cannot_be_computed_alone(name: str) -> None:
    vlm = fresh(name)
    prompt = _prompt(vlm, "red")
    call, places = vlm.capture(prompt.inputs), Cut.named("data:query+generation").slices(prompt.layout)

    (found,) = cut_off(vlm, call, places, [(1, 3)])

    with vlm.knockout(*places, (1, 3)):
        expected = vlm.run(call)
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected[expected > -1e30].abs().max()), rtol=0)
    assert (found - vlm.run(call)).abs().max() > 1e-4
