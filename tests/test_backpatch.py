"""Back-patching laws (methods §10)."""

import pytest
import torch

from diptych.backpatch import Cell, back_patch, cells, loop, noise_like, patched
from diptych.errors import InputError
from diptych.interventions import patch_residuals
from diptych.items import MODALITIES, Modality
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])
both_panels = pytest.mark.parametrize("modality", MODALITIES)


@torch.no_grad()
def two_passes(vlm: VLM, call, positions: slice, cell: Cell) -> torch.Tensor:
    """The definition: record everything, then a whole second pass that overwrites as it goes."""
    with vlm.record_residuals() as residuals:
        vlm.run(call)
    values = {destination: residuals[source] for source, destination in cell.pairs(len(vlm.layers))}
    with patch_residuals(vlm, positions, values):
        return vlm.run(call)


@every_model
@both_panels
def test_resumed_cells_equal_a_full_second_pass_to_the_bit(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, modality)
    call = vlm.capture(some.clean)
    plain = vlm.run(call)
    every = cells(4, (1, 3))

    found = dict(back_patch(vlm, call, some.layout.data, every, batch_size=1))

    assert len(found) == len(every)
    for cell, logits in found.items():
        assert (logits - plain).abs().max() > 1e-4
        assert torch.equal(logits, two_passes(vlm, call, some.layout.data, cell)), cell


@pytest.mark.parametrize("family", FAMILIES)
def test_cells_in_one_batch_equal_cells_one_by_one(family: str) -> None:
    vlm = tiny(family, "sdpa", torch.float64)
    some = batch(vlm, "image", 2)
    call = vlm.capture(some.clean)

    apart = dict(back_patch(vlm, call, some.layout.data, cells(4), batch_size=1))
    together = dict(back_patch(vlm, call, some.layout.data, cells(4), batch_size=64))

    assert list(apart) == list(together) == sorted(cells(4))
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
    with torch.no_grad(), vlm.record_residuals() as clean:
        vlm.run(call)
    with torch.no_grad(), patch_residuals(vlm, some.layout.data, {1: clean[3]}), vlm.record_residuals() as patched:
        vlm.run(call)

    data = some.layout.data
    assert torch.equal(patched[0], clean[0])
    assert torch.equal(patched[1][:, data], clean[3][:, data]) and not torch.equal(clean[1][:, data], clean[3][:, data])
    assert torch.equal(patched[1][:, data.stop :], clean[1][:, data.stop :])


def test_the_picture_of_another_prompt_can_be_the_donor() -> None:
    vlm = tiny("qwen2_vl")
    some = batch(vlm, "image", 1)
    call, other = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    with torch.no_grad(), vlm.record_residuals() as donors:
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
        with patch_residuals(vlm, positions, values), vlm.record_residuals() as residuals:
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
