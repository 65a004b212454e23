"""Laws of the knockout: weights of cut edges, heads, and tokens that are generated (methods §12)."""

import pytest
import torch

import zoo
from diptych.errors import InputError, UnsupportedModel
from diptych.layout import Layout
from diptych.models.hooks import hooks
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET

pytestmark = QUIET
every_family = pytest.mark.parametrize("family", FAMILIES)
every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
HEADS = {0: [1], 2: [0, 3]}


@torch.no_grad()
def weights_of(vlm: VLM, call, opened) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    """The attention weights [batch, head, pos, pos] of every layer in a run under the eager kernel."""
    found: list[torch.Tensor] = []
    looks = [
        mixer.module.register_forward_hook(lambda _, args, out: found.append(out[1])) for mixer in vlm.sites.mixers
    ]
    with hooks(*looks), opened:
        vlm.run(call)
    return found


@every_family
def test_cut_weights_are_exactly_zero_and_the_rest_sum_to_one(family: str) -> None:
    vlm = tiny(family, "eager")
    some = batch(vlm, "image", 2)
    call, data, rest = vlm.capture(some.clean), some.layout.data, slice(some.layout.query.start, some.layout.length)

    cut = weights_of(vlm, call, vlm.knockout(rest, data, [0, 2]))
    whole = weights_of(vlm, call, vlm.knockout(rest, data, []))

    for layer, weights in enumerate(cut):
        assert (weights[:, :, rest, data].count_nonzero() == 0) == (layer in (0, 2))
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), atol=1e-6, rtol=0)
    assert all(weights[:, :, rest, data].max() > 1e-3 for weights in whole)
    assert torch.equal(cut[0][:, :, : rest.start], whole[0][:, :, : rest.start])


@every_family
def test_heads_are_cut_one_by_one_and_the_others_attend_as_before(family: str) -> None:
    vlm = tiny(family, "eager")
    some = batch(vlm, "image", 2)
    call, data, rest = vlm.capture(some.clean), some.layout.data, slice(some.layout.query.start, some.layout.length)

    cut = weights_of(vlm, call, vlm.knockout(rest, data, range(4), HEADS))
    whole = weights_of(vlm, call, vlm.knockout(rest, data, []))

    for layer, heads in HEADS.items():
        zero = [bool(cut[layer][:, head, rest, data].count_nonzero() == 0) for head in range(4)]
        assert zero == [head in heads for head in range(4)]
    others = [head for head in range(4) if head not in HEADS[0]]
    assert torch.equal(cut[0][:, others], whole[0][:, others])


@every_family
@torch.no_grad()
def test_both_kernels_cut_the_same_heads(family: str) -> None:
    found = []
    for kernel in KERNELS:
        vlm = tiny(family, kernel)
        some = batch(vlm, "image", 2)
        call, rest = vlm.capture(some.clean), slice(some.layout.query.start, some.layout.length)
        with vlm.knockout(rest, some.layout.data, range(4), HEADS):
            found.append(vlm.run(call))
        assert (found[-1] - vlm.run(call)).abs().max() > 1e-4

    torch.testing.assert_close(*found, atol=1e-4, rtol=0)


@torch.no_grad()
def written(vlm: VLM, cache: bool) -> tuple[torch.Tensor, Layout]:
    """Three tokens behind a prompt, greedily, and their logits; without a cache by whole forwards of a longer prompt."""
    some = batch(vlm, "image", 1)
    one = {name: vlm.place(value) for name, value in some.clean.items()}
    if cache:
        out = vlm.model.generate(
            **one,
            max_new_tokens=3,
            do_sample=False,
            eos_token_id=None,
            output_logits=True,
            return_dict_in_generate=True,
        )
        return torch.stack(out.logits, 1), some.layout
    logits = []
    for _ in range(3):
        logits.append(vlm.model(**one, use_cache=False).logits[:, -1])
        longer = {"input_ids": logits[-1].argmax(-1, keepdim=True)}
        longer |= {n: one[n].new_full((1, 1), n == "attention_mask") for n in ("attention_mask",) if n in one}
        longer |= {n: one[n].new_zeros(1, 1) for n in ("token_type_ids", "mm_token_type_ids") if n in one}
        one |= {name: torch.cat([one[name], value], 1) for name, value in longer.items()}
    return torch.stack(logits, 1), some.layout


@every_model
def test_new_tokens_are_cut_off_while_they_are_generated_from_the_cache(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    layout = batch(vlm, "image", 1).layout
    rest = slice(layout.query.start, None)

    with vlm.knockout(rest, layout.data, range(4)):
        cached, whole = written(vlm, cache=True)[0], written(vlm, cache=False)[0]
    with vlm.knockout(slice(rest.start, layout.length), layout.data, range(4)):
        prompt_only = written(vlm, cache=True)[0]

    torch.testing.assert_close(cached, whole, atol=1e-4, rtol=0)
    assert torch.equal(prompt_only[:, 0], cached[:, 0])
    assert (prompt_only[:, 1] - cached[:, 1]).abs().max() > 1e-4  # the second token sees the picture again


@every_model
@torch.no_grad()
def test_a_position_that_would_be_left_with_nothing_is_refused_and_one_with_something_is_not(
    family: str, kernel: str
) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image", 2)
    call, start, last = vlm.capture(some.clean), slice(0, some.layout.data.stop), some.layout.generation

    with (
        pytest.raises(InputError, match="position 0 of this call of layer 2 attends to nothing"),
        vlm.knockout(start, start, [2]),
    ):
        vlm.run(call)
    with vlm.knockout(last, last, [2]):  # it sees what is before it
        assert vlm.run(call).isfinite().all()


def test_a_head_that_is_not_there_is_refused() -> None:
    vlm = tiny("llava")

    with (
        pytest.raises(InputError, match="Layer 1 has no head 4; it has 4, counted from 0"),
        vlm.knockout(slice(4, 6), slice(0, 2), [1], {1: [4]}),
    ):
        pass


@torch.no_grad()
def test_cross_attention_is_cut_head_by_head_too_and_not_while_generating() -> None:
    vlm = zoo.tiny("mllama")
    some = batch(vlm, "image", 1)
    call, rest = vlm.capture(some.clean), slice(some.layout.query.start, some.layout.length)
    crossing = next(mixer.layer for mixer in vlm.sites.mixers if mixer.mixing == "cross attention")
    with vlm.knockout(rest, some.layout.data, [crossing], {crossing: [1]}), vlm.record() as recording:
        vlm.run(call)

    cut = [bool((values[:, rest] == 0).all()) for values in recording.activations().heads[crossing].unbind(2)]
    assert cut == [head == 1 for head in range(len(cut))]

    with (
        vlm.knockout(slice(rest.start, None), some.layout.data, [crossing]),
        pytest.raises(UnsupportedModel, match="meets 1 new positions of a prompt"),
    ):
        written(vlm, cache=True)
