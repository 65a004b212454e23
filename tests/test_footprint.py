"""Footprint: the formula of what attribution holds, against the tensors that are alive."""

from dataclasses import replace

import pytest
import torch

from diptych.attribution._directions import Memory
from diptych.attribution._integrate import points_at_once
from diptych.attribution.ap_ig import ap_ig
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.footprint import Footprint
from diptych.items import Contrast, Item
from diptych.layout import Layout
from memory import PeakMemory
from tiny import tiny

LONG = 200
SIZES = Footprint(40, 5120, 32, 4096, 1024, 14336, 2 * 5120, 2)
"""Pixtral-12B's in bfloat16."""


def words(prompts: int) -> Batch:
    """Prompts of 200 random words, with counterfactuals of others."""
    clean, other = (torch.randint(50, 150, (prompts, LONG), generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    items = [Item(name, "words", None, "query", name) for name in ("yes", "no")]
    inputs = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in (clean, other)]
    answers = torch.full((prompts,), 50), torch.full((prompts,), 51)
    return Batch((Contrast("text", *items),) * prompts, *inputs, *answers, Layout.of((50, 100), LONG))


@pytest.mark.parametrize("memory", ["high", "low"])
@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])  # the tiny Gemma has a mask of positions × positions
def test_what_is_held_at_most_is_what_the_formula_says(family: str, prompts: int, memory: Memory) -> None:
    vlm, batch = tiny(family), words(prompts)
    vlm.capture(batch.clean)  # learns once how calls are stacked

    with PeakMemory() as used:
        ap_ig(vlm, batch, steps=2, memory=memory)

    assert used.peak == pytest.approx(Footprint.of(vlm).peak(LONG, prompts, memory=memory), rel=0.15)


def test_a_large_model_needs_what_its_layers_hold() -> None:
    values, kept = 4 * (4096 + 14336), 2 * (2 * 4096 + 2 * 1024 + 3 * 14336) + 4 * 2 * 5120

    assert (SIZES.values, SIZES.kept, SIZES.scores) == (values, kept, 4 * (32 + 14336))
    assert SIZES.peak(500) == 500 * (40 * (2 * values + kept) + SIZES.passing)
    assert SIZES.peak(1000, memory="low") < SIZES.peak(1000) / 2


def test_memory_grows_with_positions_prompts_and_layers() -> None:
    deeper = replace(SIZES, layers=80)

    assert SIZES.peak(400) == 2 * SIZES.peak(200) and SIZES.peak(200, 2) == 2 * SIZES.peak(200)
    each = 40 * (SIZES.values + 2 * 5120) + SIZES.kept + SIZES.passing
    assert SIZES.peak(10, 100, memory="low") == 10 * 100 * each
    assert deeper.peak(200) - SIZES.peak(200) == SIZES.peak(200) - replace(SIZES, layers=0).peak(200)


def test_short_prompts_share_runs_of_path_points_so_that_more_of_them_take_little_more() -> None:
    sums, run = 40 * 2 * SIZES.values, 40 * SIZES.kept + SIZES.passing

    assert [points_at_once(positions) for positions in (1, 100, 101, 150, 151, 900)] == [300, 3, 2, 2, 1, 1]
    assert SIZES.peak(100) == 100 * (sums + 3 * run)
    assert SIZES.peak(100, 2) == 200 * (sums + run)


@pytest.mark.parametrize(
    "asked", [{"positions": 0}, {"positions": 5, "prompts": 0}, {"positions": 5, "memory": "some"}]
)
def test_what_cannot_be_asked_of_the_formula_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected at least one of each, and high or low"):
        SIZES.peak(**asked)  # type: ignore[arg-type]
