"""Depth: what layers contribute to an overlap, and what random circuits would (methods §7)."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given

from diptych.compare import MEASURED, OTHERWISE, SEGMENTS, overlaps
from diptych.depth import depths
from diptych.grid import KINDS, Grid
from diptych.layout import Layout
from laws import LAWS, SEEDS, TEXT, circuit, layouts


@LAWS
@given(layouts(), layouts(), SEEDS)
def test_shared_nodes_of_all_layers_add_up_to_the_overlap(here: Layout, there: Layout, seed: int) -> None:
    a, b = circuit(here, seed), circuit(there, seed + 1)

    for positions in (MEASURED, OTHERWISE):
        found = depths(a, b, positions)

        assert [one.whole for one in found] == overlaps(a, b, positions)
        assert [one.shared.sum() for one in found] == pytest.approx([one.whole.iou for one in found], nan_ok=True)


def test_layers_by_hand() -> None:
    a, b = (torch.zeros(2, TEXT.length, 4, dtype=torch.bool) for _ in range(2))
    a[0, -1, :2] = b[0, -1, 1:3] = True  # one of two shared in layer 0
    a[1, -1, 3] = b[1, -1, 3] = b[1, -1, 0] = True  # one of one and two in layer 1

    found = depths(Grid(a, a, TEXT, "m"), Grid(b, b, TEXT, "m"))[2 * SEGMENTS.index("generation")]

    union = 3 + 2
    assert found.shared.tolist() == pytest.approx([1 / union, 1 / union])
    assert found.expected.tolist() == pytest.approx([2 * 2 / 4 / union, 1 * 2 / 4 / union])
    assert found.quantile(0.975).tolist() == pytest.approx([2 / union, 1 / union])


def test_random_circuits_share_as_much_in_each_layer_as_expected() -> None:
    chance = torch.Generator().manual_seed(0)
    shape, shares = (3, TEXT.length, 20), (torch.tensor([0.5, 0.2, 0.1]), torch.tensor([0.2, 0.4, 0.3]))
    drawn = []
    for _ in range(60):
        a, b = (torch.rand(shape, generator=chance) < share[:, None, None] for share in shares)
        drawn.append(depths(Grid(a, a, TEXT, "m"), Grid(b, b, TEXT, "m")))

    for index in range(len(SEGMENTS) * len(KINDS)):
        above = np.array([some[index].shared - some[index].expected for some in drawn])
        assert above.std() > 0
        assert (abs(above.mean(0)) <= 3.5 * above.std(0, ddof=1) / math.sqrt(len(above))).all()
        inside = [
            (some[index].quantile(0.025) <= some[index].shared) & (some[index].shared <= some[index].quantile(0.975))
            for some in drawn
        ]
        assert 0.92 < np.mean(inside) <= 1


def test_without_nodes_no_layer_is_known() -> None:
    nothing = torch.zeros(2, TEXT.length, 4, dtype=torch.bool)
    empty = Grid(nothing, nothing, TEXT, "m")

    assert np.isnan(depths(empty, empty)[0].shared).all()
