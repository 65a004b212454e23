"""Streams: what enters each layer, read and overwritten (methods §11)."""

import pytest
import torch

import zoo
from diptych.errors import InputError
from diptych.models.handed import record_handed
from diptych.models.streams import edit_streams, record_streams
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, tiny
from zoo import QUIET

pytestmark = QUIET


@torch.no_grad()
def streams_and_residuals(vlm: VLM) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    call = vlm.capture(batch(vlm, "image", 2).clean)
    with record_streams(vlm) as streams, record_handed(vlm) as residuals:
        vlm.run(call)
    return streams, residuals


@pytest.mark.parametrize("family", FAMILIES)
def test_what_enters_a_layer_is_what_leaves_the_one_below_and_the_last_leaves_the_model(family: str) -> None:
    streams, residuals = streams_and_residuals(tiny(family))

    assert len(streams) == len(residuals) + 1
    assert all(torch.equal(entered, left) for entered, left in zip(streams[1:], residuals, strict=True))
    assert not torch.equal(streams[0], streams[1])


@torch.no_grad()
def test_features_added_between_layers_are_in_what_a_layer_hands_on_and_in_what_enters_the_next_one() -> None:
    vlm = zoo.tiny("qwen3_vl")
    some = batch(vlm, "image", 2)
    with vlm.record_outputs() as outputs:
        streams, residuals = streams_and_residuals(vlm)

    added, data = streams[1] - outputs[0], some.layout.data

    assert float(added[:, data].abs().max()) > 1e-2 and float(added[:, data.stop :].abs().max()) == 0
    assert all(torch.equal(entered, handed) for entered, handed in zip(streams[1:], residuals, strict=True))


@pytest.mark.parametrize("layer", [0, 2, 4])
@torch.no_grad()
def test_an_edit_of_one_layer_s_input_leaves_all_below_it_alone(layer: int) -> None:
    vlm = tiny("gemma3")
    plain, _ = streams_and_residuals(vlm)

    with edit_streams(vlm, {layer: lambda live: live + 1}):
        found, _ = streams_and_residuals(vlm)

    assert all(torch.equal(a, b) for a, b in zip(found[:layer], plain[:layer], strict=True))
    assert torch.equal(found[layer], plain[layer] + 1)


def test_a_layer_that_is_not_there_is_refused_by_its_number() -> None:
    vlm = tiny("llava")

    with (
        pytest.raises(InputError, match="No layer 5: tiny/llava has layers 0 to 3, and 4 for their end"),
        edit_streams(vlm, {5: lambda live: live}),
    ):
        pass
