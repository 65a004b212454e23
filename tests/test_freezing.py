"""Laws of freezing: exactly the stated inputs are held (methods §11)."""

from collections.abc import Callable, Sequence

import pytest
import torch

import zoo
from diptych.delayed import delay
from diptych.freezing import freeze, holding
from diptych.items import MODALITIES, Modality
from diptych.models.calls import DecoderCall
from diptych.models.encode import encode_item
from diptych.models.hooks import hooks
from diptych.models.streams import edit_streams
from diptych.models.trace import trace
from diptych.models.vlm import VLM
from prompts import batch, item
from test_crosspatch import ROUNDING, off, streams
from test_trace import ALONE, WHOLE
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])


@torch.no_grad()
def clean(vlm: VLM, modality: Modality = "image") -> tuple[DecoderCall, slice, list[torch.Tensor]]:
    some = batch(vlm, modality, 2)
    call = vlm.capture(some.clean)
    return call, some.layout.data, streams(vlm, call)


def whole(
    vlm: VLM, call: DecoderCall, places: slice, own: Sequence[torch.Tensor], start: int, until: int
) -> torch.Tensor:
    """The definition: one run of all positions in all layers."""
    with edit_streams(vlm, {layer: holding(places, own[start]) for layer in range(start + 1, until + 1)}):
        return vlm.run(call)


@every_model
@torch.no_grad()
def test_exactly_the_stated_inputs_are_held(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, data, own = clean(vlm)
    met: dict[int, list[torch.Tensor]] = {layer: [] for layer in range(4)}
    norms = [layer.input_layernorm for layer in vlm.layers]  # what they are given is behind all edits
    looks = [
        norm.register_forward_pre_hook(lambda _, args, at=at: met[at].append(args[0])) for at, norm in enumerate(norms)
    ]
    frozen = freeze(vlm, call, data, [2, 0], until=2)
    next(frozen)  # the plain run

    met.update({layer: [] for layer in met})
    with hooks(*looks):
        next(frozen)

    assert {layer: len(seen) for layer, seen in met.items()} == {0: 0, 1: 2, 2: 2, 3: 2}  # held, then what follows
    assert all(torch.equal(met[layer][0], own[0][:, data]) for layer in (1, 2))
    assert not torch.equal(own[1][:, data], own[0][:, data]) and not torch.equal(met[3][0], own[0][:, data])
    assert torch.equal(met[1][1], own[1][:, data.stop :]) and not torch.equal(met[2][1], own[2][:, data.stop :])


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("modality", MODALITIES)
@every_model
@torch.no_grad()
def test_freezing_behind_kept_keys_equals_full_passes(
    family: str, kernel: str, modality: Modality, dtype: torch.dtype
) -> None:
    vlm = tiny(family, kernel, dtype)
    call, data, own = clean(vlm, modality)
    # Hugging Face's eager attention takes its softmax in float32 whatever the model's dtype
    rounding = ROUNDING[dtype if kernel == "sdpa" else torch.float32]

    for until in (1, 2, 3):
        found = dict(freeze(vlm, call, data, range(4), until=until))
        for start, logits in found.items():
            assert off(logits, whole(vlm, call, data, own, start, until)) <= rounding, (start, until)
    assert off(found[0], found[1]) > 1e-4 and off(found[1], vlm.run(call)) > 1e-4


@QUIET
@pytest.mark.parametrize("name", [*ALONE, "muse_spark", "paligemma", "qwen3_5", "dots3_note"])
@torch.no_grad()
def test_other_models_are_frozen_as_in_full_passes_and_whole_where_they_must_be(name: str) -> None:
    vlm = zoo.tiny(name)
    call, data, own = clean(vlm)

    for until in (2, 3):
        found = dict(freeze(vlm, call, data, range(3), until=until))
        for start, logits in found.items():
            assert off(logits, whole(vlm, call, data, own, start, until)) <= 1e-6, (start, until)
    assert off(found[0], vlm.run(call)) > 1e-4
    assert (trace(vlm, call, (data.start, data.stop)).past is None) == (name in WHOLE)


@every_model
@torch.no_grad()
def test_a_model_with_a_planted_delay_is_frozen_as_in_full_passes(family: str, kernel: str) -> None:
    vlm = delay(tiny(family, kernel), 2, [encode_item(tiny(family), item(n), "image").inputs for n in (50, 51)])
    call, data, own = clean(vlm)

    for until in (1, 2, 3):
        for start, logits in freeze(vlm, call, data, range(3), until=until):
            assert off(logits, whole(vlm, call, data, own, start, until)) <= 1e-6, (start, until)
    assert off(logits, vlm.run(call)) > 1e-4


def test_below_the_last_layer_held_only_keys_and_values_of_the_held_positions_are_computed() -> None:
    vlm = tiny("qwen2_vl")
    call, data, _ = clean(vlm)
    rows: dict[int, list[int]] = {layer: [] for layer in range(4)}

    def count(layer: int) -> Callable[..., None]:
        return lambda module, args, output: rows[layer].append(output.shape[1])

    counted = [module.register_forward_hook(count(site.layer)) for site in vlm.sites.neurons if (module := site.module)]
    frozen = freeze(vlm, call, data, [2, 0], until=2)
    next(frozen)  # the plain run
    rows.update({layer: [] for layer in rows})

    with hooks(*counted):
        next(frozen)

    follows = call.input_ids.shape[1] - data.stop
    assert rows == {0: [], 1: [follows], 2: [data.stop - data.start, follows], 3: [follows]}


@torch.no_grad()
def test_positions_up_to_the_last_one_are_held_in_whole_runs() -> None:
    vlm = tiny("llava")
    call, data, own = clean(vlm)
    last = slice(data.start, None)

    found = dict(freeze(vlm, call, last, range(3), until=3))

    assert all(torch.equal(logits, whole(vlm, call, last, own, start, 3)) for start, logits in found.items())
    assert off(found[0], vlm.run(call)) > 1e-2


@every_model
def test_nothing_is_held_from_the_last_layer_on(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, data, _ = clean(vlm)

    found = dict(freeze(vlm, call, data, [2, 3], until=2))

    assert all(torch.equal(logits, vlm.run(call)) for logits in found.values())
