"""What a layer hands on (decision 0020): all of it is the run, also where features are added between layers."""

import pytest
import torch

import zoo
from diptych.attribution.ap import ap
from diptych.attribution.exact import effects, set_effects
from diptych.crosspatch import with_injections
from diptych.experiments._pairs import Recorded
from diptych.interventions import patch_residuals
from diptych.lens import logit_lens
from diptych.models.streams import record_streams
from prompts import batch, item
from test_exact import one_by_one
from zoo import QUIET

pytestmark = QUIET
deep_stacks = pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe"])


@deep_stacks
@torch.no_grad()
def test_a_run_that_takes_over_all_that_a_layer_hands_on_is_the_donor_s_run_to_the_bit(name: str) -> None:
    vlm = zoo.tiny(name)
    own, donor = (Recorded.of(vlm, item(number), "image") for number in (1, 2))
    expected = vlm.run(donor.call)

    for layer, residual in enumerate(donor.residuals):
        with patch_residuals(vlm, slice(0, None), {layer: residual}):
            found = vlm.run(with_injections(own.call, donor.call))
        assert torch.equal(found, expected), layer
    assert (vlm.run(own.call) - expected).abs().max() > 1e-3


@torch.no_grad()
def test_the_lens_reads_what_a_layer_hands_on() -> None:
    vlm = zoo.tiny("qwen3_vl")
    recorded = Recorded.of(vlm, item(1), "image")
    place = recorded.prompt.layout.data.start

    found = list(logit_lens(vlm, recorded.call, recorded.residuals, [place]))

    norm, unembedding = vlm.sites.decoder.norm, vlm.model.get_output_embeddings()
    with record_streams(vlm) as streams:
        vlm.run(recorded.call)
    by_hand = [unembedding(norm(stream[:, [place]])) for stream in streams[1:]]
    torch.testing.assert_close(torch.stack(found), torch.stack(by_hand), atol=1e-5, rtol=0)
    assert (by_hand[0] - by_hand[-1]).abs().max() > 0.1


@deep_stacks
def test_a_node_patched_from_its_layer_on_is_the_node_patched_in_a_whole_run(name: str) -> None:
    vlm = zoo.tiny(name)
    some = batch(vlm, "image", 2)
    nodes = ap(vlm, some).scores.top(0.006)

    found = effects(vlm, some, nodes, batch_size=8)

    assert min(nodes.count()) > 0 and found.abs().max() > 1e-3
    torch.testing.assert_close(found, set_effects(vlm, some, one_by_one(nodes)), atol=1e-5, rtol=0)
