"""Back-patching laws (methods §10)."""

from collections.abc import Sequence

import pytest
import torch

import zoo
from diptych.backpatch import Cell, back_patch, cells, loop, noise_like, patched
from diptych.errors import InputError
from diptych.interventions import overwrite, patch_residuals
from diptych.items import MODALITIES, Modality
from diptych.models.handed import edit_handed, record_handed
from diptych.models.hooks import hooks
from diptych.models.streams import edit_streams
from diptych.models.trace import trace
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)


@torch.no_grad()
def two_passes(
    vlm: VLM, call, positions: slice, cell: Cell, donors: Sequence[torch.Tensor] | None = None
) -> torch.Tensor:
    """The definition: record everything, then a whole second pass that overwrites as it goes."""
    if donors is None:
        with record_handed(vlm) as donors:
            vlm.run(call)
    values = {destination: donors[source] for source, destination in cell.pairs(len(vlm.layers))}
    with patch_residuals(vlm, positions, values):
        return vlm.run(call)


@QUIET
@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe"])
def test_so_they_do_where_features_are_added_between_layers(name: str) -> None:
    vlm = zoo.tiny(name)
    some = batch(vlm, "image", 1)
    call, data = vlm.capture(some.clean), some.layout.data

    for cell in [*cells(4, (1, 3)), Cell(1, 1, 1)]:
        ((_, logits),) = back_patch(vlm, call, data, [cell])
        assert torch.equal(logits, two_passes(vlm, call, data, cell)), cell
        assert torch.equal(logits, vlm.run(call)) == (cell == Cell(1, 1, 1))
    copy, cell = patched(vlm, Cell(1, 3, 2)), Cell(1, 3, 2)
    assert torch.equal(copy.run(copy.capture(some.clean)), two_passes(vlm, call, data, cell))


@QUIET
@torch.no_grad()
def test_a_layer_that_is_not_called_hands_on_what_it_would_have_been_given() -> None:
    vlm = zoo.tiny("mllama")  # runs no layer of cross attention on a text
    some = batch(vlm, "text", 1)
    call, data = vlm.capture(some.clean), some.layout.data
    with record_handed(vlm) as own, vlm.record_outputs() as outputs:
        vlm.run(call)

    found = dict(back_patch(vlm, call, data, cells(4, (1, 3))))

    assert sorted(outputs) == [0, 2] and torch.equal(own[0], own[1]) and torch.equal(own[2], own[3])
    for cell, logits in found.items():
        seen = [source for source, destination in cell.pairs(4) if destination < 2]  # the last of them enters layer 2
        with edit_streams(vlm, {2: lambda live, seen=seen: overwrite(live, data, own[seen[-1]])} if seen else {}):
            assert torch.equal(logits, vlm.run(call)), cell
    assert len({float(logits.sum()) for logits in found.values()}) == 2


def test_an_edit_of_what_a_layer_hands_on_comes_through_a_layer_that_is_not_called() -> None:
    vlm = zoo.tiny("mllama")  # layer 1 is not called on a text
    call = vlm.capture(batch(vlm, "text", 1).clean)
    plain = vlm.run(call)

    with edit_handed(vlm.layers, {0: lambda live: live + 1}):
        found = vlm.run(call)

    with edit_streams(vlm, {2: lambda live: live + 1}):
        assert torch.equal(found, vlm.run(call)) and not torch.equal(found, plain)


@every_model
@both_panels
def test_a_resumed_cell_equals_a_full_second_pass_to_the_bit(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, modality)
    call = vlm.capture(some.clean)
    plain = vlm.run(call)
    every = cells(4, (1, 3))

    found = dict(one for cell in every for one in back_patch(vlm, call, some.layout.data, [cell]))

    assert len(found) == len(every)
    for cell, logits in found.items():
        assert (logits - plain).abs().max() > 1e-4
        assert torch.equal(logits, two_passes(vlm, call, some.layout.data, cell)), cell


@every_model
@both_panels
def test_cells_that_end_in_the_same_pair_equal_full_second_passes(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, modality, 2)
    call, data = vlm.capture(some.clean), some.layout.data
    plain = vlm.run(call)

    found = dict(back_patch(vlm, call, data, cells(4), batch_size=4))

    own = trace(vlm, call, (data.start, data.stop))
    assert set(found) == set(cells(4)) and own.past is not None
    for cell, logits in found.items():
        assert (logits - plain).abs().max() > 1e-4
        off = (logits - two_passes(vlm, call, data, cell, own.residuals)).abs().max()
        assert off <= 1e-5 * plain.abs().max(), cell


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_in_float64_cells_that_end_in_the_same_pair_equal_full_second_passes_to_ten_digits(family: str) -> None:
    vlm = tiny(family, "sdpa", torch.float64)
    some = batch(vlm, "image", 1)
    call, data = vlm.capture(some.clean), some.layout.data
    with record_handed(vlm) as donors:
        vlm.run(vlm.capture(some.counterfactual))

    found = dict(back_patch(vlm, call, data, cells(4), sources=donors))

    for cell, logits in found.items():
        expected = two_passes(vlm, call, data, cell, donors)
        torch.testing.assert_close(logits, expected, atol=1e-10, rtol=1e-10)


def test_a_sweep_runs_the_patched_positions_once_for_all_cells_that_end_in_the_same_pair() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)
    call, data, length = vlm.capture(some.clean), some.layout.data, some.layout.length
    rows: list[int] = []
    above = vlm.sites.neurons[2].module
    assert above is not None

    def seen(which: list[Cell]) -> int:
        rows.clear()
        with hooks(above.register_forward_hook(lambda module, args, output: rows.append(output.shape[1]))):
            dict(back_patch(vlm, call, data, which))
        return sum(rows)

    ends_in_one = [Cell(1, 1, 2), Cell(0, 3, 1)]  # both end in the pair (2, 1)
    behind = length - data.stop
    tried = length - data.start + behind  # that later positions may be computed alone
    assert seen(ends_in_one) == length + tried + (data.stop - data.start) + 2 * behind
    assert seen([Cell(1, 1, 2), Cell(1, 1, 3)]) == 2 * length  # one batch of two cells, all positions


@pytest.mark.parametrize("family", FAMILIES)
def test_cells_in_one_batch_equal_cells_one_by_one(family: str) -> None:
    vlm = tiny(family, "sdpa", torch.float64)
    some = batch(vlm, "image", 2)
    call = vlm.capture(some.clean)

    apart = dict(back_patch(vlm, call, some.layout.data, cells(4), batch_size=1))
    together = dict(back_patch(vlm, call, some.layout.data, cells(4), batch_size=64))

    assert len(apart) == len(together) == len(cells(4)) and set(apart) == set(together) == set(cells(4))
    for cell in apart:
        torch.testing.assert_close(together[cell], apart[cell], atol=1e-5, rtol=0)  # float32 inside the norms


@every_model
def test_patching_a_layer_into_itself_is_the_identity_to_the_bit(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image")
    call = vlm.capture(some.clean)
    plain = vlm.run(call)
    identities = [Cell(layer, 1, layer) for layer in range(3)]

    for _, logits in back_patch(vlm, call, some.layout.data, identities, batch_size=1):
        assert plain.abs().max() > 0.1 and torch.equal(logits, plain)


def test_only_the_given_positions_of_the_destination_change() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)
    call = vlm.capture(some.clean)
    with torch.no_grad(), record_handed(vlm) as clean:
        vlm.run(call)
    with torch.no_grad(), record_handed(vlm) as patched, patch_residuals(vlm, some.layout.data, {1: clean[3]}):
        vlm.run(call)

    data = some.layout.data
    assert torch.equal(patched[0], clean[0])
    assert torch.equal(patched[1][:, data], clean[3][:, data]) and not torch.equal(clean[1][:, data], clean[3][:, data])
    assert torch.equal(patched[1][:, data.stop :], clean[1][:, data.stop :])


@QUIET
@torch.no_grad()
def test_features_that_are_added_between_layers_are_those_of_the_source() -> None:
    vlm = zoo.tiny("qwen3_vl")  # adds features of the picture behind layers 0, 1 and 2
    some = batch(vlm, "image", 1)
    call, data = vlm.capture(some.clean), some.layout.data
    read: list[torch.Tensor] = []

    def run(cell: Cell | None, layer: int) -> torch.Tensor:
        """What the layer's own first module reads at the data positions."""
        with hooks(vlm.layers[layer].input_layernorm.register_forward_pre_hook(lambda m, args: read.append(args[0]))):
            next(back_patch(vlm, call, data, [cell])) if cell else vlm.run(call)
        return read.pop()[:, data]

    for cell in cells(4, (1, 3)):
        for source, destination in cell.pairs(4):
            if source < 3:  # what leaves the last layer is read by none
                found, plain = run(cell, destination + 1), run(None, destination + 1)
                assert torch.equal(found, run(None, source + 1)) and not torch.equal(found, plain)


def test_the_picture_of_another_prompt_can_be_the_donor() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)
    call, other = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    with torch.no_grad(), record_handed(vlm) as donors:
        vlm.run(other)

    ((_, own),) = back_patch(vlm, call, some.layout.data, [Cell(0, 1, 2)])
    ((_, wrong),) = back_patch(vlm, call, some.layout.data, [Cell(0, 1, 2)], sources=donors)

    assert (own - wrong).abs().max() > 1e-3


def test_a_pair_with_an_end_out_of_range_is_dropped_whole() -> None:
    assert Cell(destination=0, window=3, source=2).pairs(4) == [(2, 0), (3, 1)]
    assert Cell(destination=1, window=3, source=3).pairs(4) == [(2, 0), (3, 1)]
    assert Cell(destination=1, window=5, source=2).pairs(4) == [(1, 0), (2, 1), (3, 2)]


def test_a_sweep_holds_every_source_above_every_destination_once() -> None:
    single = cells(4, (1,))
    assert [(c.source, c.destination) for c in single] == [(1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2)]
    interventions = [tuple(c.pairs(4)) for c in cells(4, (1, 3, 5))]
    assert len(set(interventions)) == len(interventions) > len(single)
    assert set(single) < set(cells(4, (5, 3, 1)))
    assert Cell(1, 3, 2) in cells(4) and Cell(0, 5, 1) not in cells(4)  # both are (1, 0), (2, 1), (3, 2)


@pytest.mark.parametrize("window", [0, 2, -1])
def test_windows_are_odd_and_positive(window: int) -> None:
    with pytest.raises(InputError, match=f"window is {window} layers; expected an odd number"):
        Cell(0, window, 1)


@torch.no_grad()
def whole_rounds(vlm: VLM, call, positions: slice, cell: Cell, rounds: int) -> list[torch.Tensor]:
    """The definition of the loop: every round is a whole run, patched from the residuals of the round before."""
    values: dict[int, torch.Tensor] = {}
    logits = []
    for _ in range(rounds + 1):
        with record_handed(vlm) as residuals, patch_residuals(vlm, positions, values):
            logits.append(vlm.run(call))
        values = {destination: residuals[source] for source, destination in cell.pairs(len(vlm.layers))}
    return logits[1:]


@every_model
@pytest.mark.parametrize("cell", [Cell(0, 1, 2), Cell(1, 3, 2)])
def test_rounds_of_a_loop_equal_whole_runs_to_the_bit(family: str, kernel: str, cell: Cell) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image")
    call = vlm.capture(some.clean)

    found = list(loop(vlm, call, some.layout.data, cell, 3))

    assert all(map(torch.equal, found, whole_rounds(vlm, call, some.layout.data, cell, 3)))
    ((_, once),) = back_patch(vlm, call, some.layout.data, [cell])
    assert torch.equal(found[0], once) and all((found[n] - found[n + 1]).abs().max() > 1e-4 for n in (0, 1))


@every_model
@pytest.mark.parametrize("cell", [Cell(0, 1, 2), Cell(1, 3, 2)])
def test_a_patched_model_runs_as_the_cell_does_to_the_bit(family: str, kernel: str, cell: Cell) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image")
    other = patched(vlm, cell)

    found = other.run(other.capture(some.clean))

    ((_, wanted),) = back_patch(vlm, vlm.capture(some.clean), some.layout.data, [cell])
    assert torch.equal(found, wanted) and other.digest not in (vlm.digest, patched(vlm, Cell(0, 1, 1)).digest)
    assert (found - vlm.run(vlm.capture(some.clean))).abs().max() > 1e-4


def test_noise_has_the_norm_of_what_it_stands_for_and_a_seed_per_prompt() -> None:
    residual = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 6)[:, None]

    noise = noise_like(residual, [4, 7, 4])

    torch.testing.assert_close(noise.norm(dim=-1), residual.norm(dim=-1))
    directions = noise / noise.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(directions[0], directions[2])
    assert (directions[0] - directions[1]).abs().max() > 0.1
    assert torch.equal(noise[1:2], noise_like(residual[1:2], [7]))
    cosines = torch.cosine_similarity(noise_like(torch.ones(1, 400, 64), [0]), torch.ones(1, 400, 64), dim=-1)
    assert abs(float(cosines.mean())) < 0.02
