"""The authors' numbers on three tiny families, computed again under both attention kernels (methods §14)."""

from pathlib import Path

import pytest

from diptych.paper_compat import PaperCompat
from diptych.swap import FOURTEEN
from parity.circuits import combination
from parity.golden import Golden, sets
from parity.quantity import Quantity
from parity.table import PARTS, parity
from tiny import KERNELS

REFERENCE = Path(__file__).parent / "reference"
FAMILIES = ("gemma3", "pixtral", "qwen2vl")


def only(family: str, kernel: str = "sdpa") -> Golden:
    (golden,) = sets(REFERENCE / family, kernel)
    return golden


def under(golden: Golden, compat: PaperCompat, part: int, start: str) -> Quantity:
    """The first quantity of a part whose name starts so, with other departures."""
    with compat.opened(golden.vlm):
        return next(found for found in PARTS[part].quantities(golden) if found.name.startswith(start))


def test_all_three_families_are_compared() -> None:
    assert [golden.folder.parent.name for golden in sets(REFERENCE)] == list(FAMILIES)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_authors_numbers_are_reproduced_with_their_departures(family: str, kernel: str) -> None:
    golden = only(family, kernel)
    found = list(parity(golden))

    assert golden.vlm.attention == kernel
    assert len(found) > 30
    for quantity in found:
        assert quantity.values and quantity.largest > 1e-3, f"{quantity.name} compares zeros with zeros"
        assert quantity.passed, quantity


def test_without_one_dimensional_positions_the_logits_of_qwen2_vl_are_others() -> None:
    found = under(only("qwen2vl"), PaperCompat(), 0, "logits")

    assert not found.passed and found.difference > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_combinations_of_a_swap_are_the_authors_fourteen(family: str) -> None:
    theirs = [combination(key, case["prompts"]) for key, case in only(family).json("interchange").items()]

    assert set(theirs) == set(FOURTEEN) and len(theirs) == len(FOURTEEN) == 14
