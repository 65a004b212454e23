"""A batch holds contrasts of one layout, with answers that differ in their first token."""

from dataclasses import replace

import pytest
import torch

from diptych.batch import Batch
from diptych.errors import MismatchError
from diptych.items import Contrast, Item
from laws import TEXT


def contrast(number: int) -> Contrast:
    clean, counterfactual = (Item(f"{side}{number}", "x", None, "Which?", side) for side in "ab")
    return Contrast("text", clean, counterfactual)


def batch() -> Batch:
    inputs = {"input_ids": torch.zeros(2, TEXT.length, dtype=torch.long)}
    return Batch((contrast(0), contrast(1)), inputs, inputs, torch.tensor([3, 4]), torch.tensor([5, 6]), TEXT)


def test_a_batch_keeps_processor_outputs_unread() -> None:
    inputs = {"input_ids": torch.zeros(2, TEXT.length, dtype=torch.long), "pixel_values": torch.ones(7)}

    assert replace(batch(), clean=inputs).clean is inputs


@pytest.mark.parametrize("side", ["clean", "counterfactual"])
@pytest.mark.parametrize("shape", [(2, 7), (1, 8)])
def test_input_ids_of_another_shape_are_refused(side: str, shape: tuple[int, int]) -> None:
    with pytest.raises(MismatchError) as raised:
        replace(batch(), **{side: {"input_ids": torch.zeros(shape)}})

    assert f"A batch's input ids are {list(shape)}; expected [2, 8]" in str(raised.value)


def test_answers_that_share_their_first_token_are_refused() -> None:
    with pytest.raises(
        MismatchError, match="a contrast whose answers share their first token. Drop it before batching"
    ):
        replace(batch(), counter_answers=torch.tensor([5, 4]))


@pytest.mark.parametrize(
    ("side", "counts"), [("answers", "1 answers and 2 counter-"), ("counter_answers", "2 answers and 1 counter-")]
)
def test_another_number_of_answers_is_refused(side: str, counts: str) -> None:
    with pytest.raises(
        MismatchError, match=f"A batch of 2 contrasts has {counts}answers; expected one of each per contrast"
    ):
        replace(batch(), **{side: torch.tensor([1])})


def test_a_batch_knows_the_ids_and_clusters_of_its_clean_items() -> None:
    scene = replace(contrast(0), clean=Item("a0", "x", None, "Which?", "a", cluster="scene"))

    found = replace(batch(), contrasts=(scene, contrast(1)))

    assert (len(found), found.ids, found.clusters) == (2, ["a0", "a1"], ["scene", "a1"])
