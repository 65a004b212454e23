"""The logit lens (methods §9): at the last layer the model's own logits, below it its own norm and unembedding."""

import pytest
import torch
from torch import Tensor

from diptych.items import MODALITIES, Modality
from diptych.lens import logit_lens
from diptych.models.calls import DecoderCall
from diptych.models.handed import record_handed
from diptych.models.load import load
from diptych.models.vlm import VLM
from prompts import batch
from tiny import FAMILIES, KERNELS, tiny

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])


def recorded(vlm: VLM, modality: Modality) -> tuple[DecoderCall, list[Tensor]]:
    call = vlm.capture(batch(vlm, modality, 2).clean)
    with torch.no_grad(), record_handed(vlm) as residuals:
        vlm.run(call)
    return call, residuals


@every_model
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_last_layer_at_the_last_position_is_the_model_s_own_answer(
    family: str, kernel: str, modality: Modality
) -> None:
    vlm = tiny(family, kernel)
    call, residuals = recorded(vlm, modality)

    *earlier, last = logit_lens(vlm, call, residuals, [call.input_ids.shape[1] - 1])

    own = vlm.run(call)
    assert len(earlier) == 3 and own.std() > 0.1
    torch.testing.assert_close(last[:, 0], own, atol=2e-5, rtol=0)
    assert (earlier[-1][:, 0] - own).abs().max() > 0.1


@every_model
def test_every_layer_is_read_by_the_model_s_own_norm_and_unembedding(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call, residuals = recorded(vlm, "image")
    places = [1, 5, 3]

    found = torch.stack(list(logit_lens(vlm, call, residuals, places)))

    norm, unembedding = vlm.sites.decoder.norm, vlm.model.get_output_embeddings()
    with torch.no_grad():
        by_hand = torch.stack([unembedding(norm(residual[:, places])) for residual in residuals])
    torch.testing.assert_close(found, by_hand, atol=1e-5, rtol=0)


def test_soft_caps_and_what_else_is_behind_the_unembedding_are_the_model_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm, cap = load("random:gemma4"), 2.0
    monkeypatch.setattr(vlm.model.config.get_text_config(), "final_logit_softcapping", cap)
    call, residuals = recorded(vlm, "image")
    last = call.input_ids.shape[1] - 1

    found = torch.stack([logits[:, 0] for logits in logit_lens(vlm, call, residuals, [last])])

    with torch.no_grad():
        norm, unembedding = vlm.sites.decoder.norm, vlm.model.get_output_embeddings()
        plain = torch.stack([unembedding(norm(residual[:, last])) for residual in residuals])
    assert plain.abs().max() > cap
    torch.testing.assert_close(found, cap * torch.tanh(plain / cap), atol=1e-4, rtol=0)


def test_logits_are_read_at_the_positions_asked_for_and_nothing_stays_open() -> None:
    vlm = tiny("qwen2_vl")
    call, residuals = recorded(vlm, "text")
    before = vlm.run(call)

    first, *_ = logit_lens(vlm, call, residuals, [4, 2])
    turned, *_ = logit_lens(vlm, call, residuals, [2, 4])

    torch.testing.assert_close(first, turned.flip(1))
    assert not torch.allclose(first[:, 0], first[:, 1]) and torch.equal(vlm.run(call), before)


@every_model
@torch.no_grad()
def test_reading_all_positions_is_the_plain_forward(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    inputs = batch(vlm, "image", 2).clean

    found = vlm.read(vlm.capture(inputs), range(inputs["input_ids"].shape[1]))

    torch.testing.assert_close(found, vlm.model(**inputs).logits, atol=2e-5, rtol=0)
