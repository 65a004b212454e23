"""Cuts of attention in sets of layers: the sets, the segments, and resuming at the first of them (methods §12)."""

import pytest
import torch

from diptych.cuts import Cut, cut_off, default_window, layer_sets
from diptych.errors import InputError
from diptych.items import MODALITIES, Modality
from diptych.layout import Layout
from diptych.models.hooks import hooks
from diptych.models.trace import trace
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
SETS = [(2, 3), (0,), (1, 3), ()]


def test_a_sliding_window_holds_as_many_layers_below_as_above_and_ends_with_the_model() -> None:
    windows = layer_sets("sliding", 28, 9)

    assert len(windows) == 28 and windows[0] == (0, 1, 2, 3, 4) and windows[27] == (23, 24, 25, 26, 27)
    assert windows[10] == tuple(range(6, 15))
    assert layer_sets("sliding", 6, 4)[3] == (1, 2, 3, 4)  # range(max(0, l − k // 2), min(L, l + ceil(k / 2)))


def test_prefixes_suffixes_and_complements_are_what_they_are_called() -> None:
    assert layer_sets("prefix", 4, 1) == [(0,), (0, 1), (0, 1, 2), (0, 1, 2, 3)]
    assert layer_sets("suffix", 4, 1) == [(0, 1, 2, 3), (1, 2, 3), (2, 3), (3,)]
    for window, rest in zip(layer_sets("sliding", 7, 3), layer_sets("complement", 7, 3), strict=True):
        assert sorted(window + rest) == list(range(7))


@pytest.mark.parametrize(("layers", "window"), [(4, 1), (6, 3), (8, 3), (12, 5), (24, 9), (28, 9), (48, 9)])
def test_windows_are_nine_layers_wide_and_narrower_in_shallow_models(layers: int, window: int) -> None:
    assert default_window(layers) == window


def test_a_cut_names_segments_of_a_prompt() -> None:
    layout = Layout.of((2, 5), 9)

    assert Cut.named("data:query+generation").slices(layout) == (slice(5, 9), slice(2, 5))
    assert Cut.named("query:generation").slices(layout) == (slice(8, 9), slice(5, 8))
    assert Cut.named("query:query").slices(layout) == (slice(5, 8), slice(5, 8))
    assert str(Cut.named("data:query+generation")) == "data to query and generation"


@pytest.mark.parametrize(
    "name", ["data", "data:", "picture:query", "query:data", "prefix:data+generation", "data:answer"]
)
def test_a_cut_of_no_segments_or_against_their_order_is_refused(name: str) -> None:
    with pytest.raises(
        InputError, match=f"A cut cannot be '{name.replace('+', '.')}'. Expected where information comes"
    ):
        Cut.named(name)


@every_model
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_resumed_cuts_equal_full_passes(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, modality, 2)
    call, plain = vlm.capture(some.clean), vlm.run(vlm.capture(some.clean))

    for name in ("data:query+generation", "data:generation", "query:generation"):
        places = Cut.named(name).slices(some.layout)
        found = list(cut_off(vlm, call, places, SETS))
        for layers, logits in zip(SETS, found, strict=True):
            with vlm.knockout(*places, layers):
                assert (logits - vlm.run(call)).abs().max() <= 1e-5 * plain.abs().max(), (name, layers)
        changed = [bool((logits - plain).abs().max() > 1e-4) for logits in found]
        assert torch.equal(found[3], plain) and not changed[3]
        assert all(changed[:3]) or (family == "gemma3" and any(changed))  # a sliding window may not reach so far


@torch.no_grad()
def test_a_cut_runs_only_the_positions_that_it_changes() -> None:
    vlm = tiny("gemma3")
    some = batch(vlm, "image", 1)
    call, places = vlm.capture(some.clean), Cut.named("query:generation").slices(some.layout)
    own = trace(vlm, call, (places[0].start,))
    rows: list[int] = []
    above = vlm.sites.neurons[3].module
    assert above is not None and own.past is not None

    with hooks(above.register_forward_hook(lambda module, args, output: rows.append(output.shape[1]))):
        list(cut_off(vlm, call, places, SETS, own=own))

    assert rows == [1, 1, 1]  # the empty set is the plain run
