"""A planted delay: below a layer nothing depends on the picture, from it on picture positions are as in the model (methods §10)."""

import pytest
import torch

from diptych.attribution.ap_ig import ap_ig
from diptych.backpatch import back_patch, cells
from diptych.batch import Batch
from diptych.delayed import delay
from diptych.errors import InputError, UnsupportedModel
from diptych.items import Modality
from diptych.models.check import prove
from diptych.models.encode import encode_item
from diptych.models.handed import record_handed
from diptych.models.load import load
from diptych.models.vlm import VLM
from diptych.planted import plant
from prompts import batch, item
from test_attribution import nodes_like
from test_backpatch import two_passes
from tiny import FAMILIES, KERNELS, tiny

LAYER = 2
every_family = pytest.mark.parametrize("family", FAMILIES)
every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])


def delayed(vlm: VLM, layer: int = LAYER) -> VLM:
    return delay(vlm, layer, [encode_item(vlm, item(number), "image").inputs for number in (50, 51)])


@torch.no_grad()
def residuals(vlm: VLM, some: Batch) -> list[torch.Tensor]:
    with record_handed(vlm) as found:
        vlm.run(vlm.capture(some.clean))
    return found


def prompts_of(vlm: VLM, modality: Modality = "image", count: int = 2) -> Batch:
    return batch(vlm, modality, count)


@every_model
def test_below_the_layer_no_residual_depends_on_the_picture(family: str, kernel: str) -> None:
    original = tiny(family, kernel)
    pair = prompts_of(original)  # one query, two pictures

    found = [values[0] - values[1] for values in residuals(delayed(original), pair)]

    assert all(float(difference.abs().max()) == 0 for difference in found[:LAYER])
    assert all(float(difference[pair.layout.data].abs().max()) > 0.1 for difference in found[LAYER:])
    assert all(float(values[0].sub(values[1]).abs().max()) > 0.1 for values in residuals(original, pair))


@every_model
def test_from_the_layer_on_picture_positions_are_those_of_the_model_to_the_bit(family: str, kernel: str) -> None:
    original = tiny(family, kernel)
    some = prompts_of(original)
    data, after = some.layout.data, slice(some.layout.data.stop, None)

    pairs = list(zip(residuals(delayed(original), some), residuals(original, some), strict=True))

    for layer, (late, truth) in enumerate(pairs):
        assert torch.equal(late[:, : data.start], truth[:, : data.start])
        assert torch.equal(late[:, data], truth[:, data]) == (layer >= LAYER)
        assert float((late[:, after] - truth[:, after]).abs().max()) > 1e-3


@every_model
def test_a_picture_that_is_cut_off_from_the_layer_on_is_in_no_logit(family: str, kernel: str) -> None:
    vlm = delayed(tiny(family, kernel))
    pair = prompts_of(vlm)
    call, after = vlm.capture(pair.clean), slice(pair.layout.data.stop, pair.layout.length)
    with vlm.knockout(after, pair.layout.data, range(LAYER, 4)):
        blind = vlm.run(call)

    with vlm.knockout(after, pair.layout.data, range(LAYER)):
        seeing = vlm.run(call)

    assert torch.equal(blind[0], blind[1]) and float(blind.abs().max()) > 0.1
    assert float((seeing[0] - seeing[1]).abs().max()) > 1e-3


@every_model
def test_a_delay_to_layer_0_is_the_model_to_the_bit(family: str, kernel: str) -> None:
    original = tiny(family, kernel)
    some = prompts_of(original)

    found, late = (vlm.run(vlm.capture(some.clean)) for vlm in (delayed(original, 0), delayed(original, 1)))

    truth = original.run(original.capture(some.clean))
    assert torch.equal(found, truth) and float((late - truth).abs().max()) > 1e-3


@every_family
def test_prompts_without_a_picture_are_not_delayed(family: str) -> None:
    original = tiny(family)
    some = prompts_of(original, "text")

    late = delayed(original)

    assert torch.equal(late.run(late.capture(some.clean)), original.run(original.capture(some.clean)))


@every_model
def test_resumed_cells_of_a_delayed_model_equal_a_full_second_pass_to_the_bit(family: str, kernel: str) -> None:
    vlm = delayed(tiny(family, kernel))
    some = prompts_of(vlm)
    call = vlm.capture(some.clean)
    plain = vlm.run(call)
    changed = {}

    together = dict(back_patch(vlm, call, some.layout.data, cells(4, (1, 3))))
    for cell in cells(4, (1, 3)):
        ((_, logits),) = back_patch(vlm, call, some.layout.data, [cell])
        assert torch.equal(logits, two_passes(vlm, call, some.layout.data, cell)), cell
        torch.testing.assert_close(together[cell], logits, atol=1e-5 * float(plain.abs().max()), rtol=0)
        changed[cell] = float((logits - plain).abs().max()) > 1e-4

    single = {cell: seen for cell, seen in changed.items() if cell.window == 1}
    # what is written just below the layer is overwritten
    assert len(single) == 6 and all(seen == (cell.destination != LAYER - 1) for cell, seen in single.items())


@every_family
def test_prompts_of_a_batch_are_delayed_as_one_by_one(family: str) -> None:
    vlm = delayed(tiny(family, dtype=torch.float64))
    call = vlm.capture(prompts_of(vlm).clean)

    together = vlm.run(call.repeat(2))

    alone = torch.cat([vlm.run(call.take([row])) for row in (0, 1, 0, 1)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)  # float32 inside the norms
    assert float((alone[0] - alone[1]).abs().max()) > 1e-3


@every_family
def test_a_plain_forward_of_the_module_is_delayed_too(family: str) -> None:
    vlm = delayed(tiny(family))
    some = prompts_of(vlm)

    plain = vlm.run_inputs(some.clean)

    torch.testing.assert_close(plain, vlm.run(vlm.capture(some.clean)), atol=1e-4, rtol=0)
    assert float((plain - tiny(family).run_inputs(some.clean)).abs().max()) > 1e-3


@every_family
def test_tokens_that_are_generated_read_the_hidden_picture_from_the_cache(family: str) -> None:
    vlm = delayed(tiny(family))
    one = {name: vlm.place(value) for name, value in prompts_of(vlm, count=1).clean.items()}
    with torch.no_grad():
        ids = vlm.model.generate(**one, max_new_tokens=3, do_sample=False, eos_token_id=None)
        longer = {name: value for name, value in one.items() if name.startswith(("pixel", "image"))}
        kinds = {"mm_token_type_ids", "token_type_ids"} & set(one)
        longer |= {name: torch.cat([one[name], one[name].new_zeros(1, 2)], 1) for name in kinds}
        whole = vlm.model(input_ids=ids[:, :-1], **longer, use_cache=False).logits

    prompt = one["input_ids"].shape[1]
    assert torch.equal(whole[:, prompt - 1 :].argmax(-1), ids[:, prompt:])


@every_family
def test_a_delayed_model_is_read_rightly(family: str) -> None:
    vlm = delayed(tiny(family))

    assert prove(vlm).passed


def test_a_delayed_model_can_be_copied_and_attributed() -> None:
    vlm = delayed(tiny("qwen2_vl"))
    some = prompts_of(vlm)

    copy = plant(vlm, ~nodes_like(vlm, some))
    scores = ap_ig(copy, some, rule="midpoint", steps=2).scores

    assert torch.equal(copy.run(copy.capture(some.clean)), vlm.run(vlm.capture(some.clean)))
    data = some.layout.data
    assert float(scores.neurons[:LAYER].abs().max()) == 0 < float(scores.neurons[LAYER:, data].abs().max())


def hooked(vlm: VLM) -> int:
    """How many hooks and replaced functions the modules of a model have."""
    modules = list(vlm.model.modules())
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in vars(m)) for m in modules)


@every_family
def test_the_user_s_model_is_left_without_a_hook_and_its_weights_are_shared(family: str) -> None:
    original = tiny(family)
    some = prompts_of(original)
    original.run_inputs(some.clean)  # on its first run a model may hook itself
    before = hooked(original)

    late = delayed(original)
    late.run(late.capture(some.clean))

    assert hooked(original) == before < hooked(late)
    assert late.digest != original.digest and late.digest != delayed(original, 1).digest
    assert all(a is b for a, b in zip(late.model.parameters(), original.model.parameters(), strict=True))


def test_what_cannot_be_delayed_is_refused_with_the_reason() -> None:
    vlm = tiny("gemma3")
    with pytest.raises(InputError, match=r"until layer 4; tiny/gemma3 has layers 0 to 3"):
        delayed(vlm, 4)
    with pytest.raises(InputError, match="mean of 1 prompts holds their pictures"):
        delay(vlm, 1, [encode_item(vlm, item(1), "image").inputs])
    deep = load("random:qwen3_vl", verify=False)
    with pytest.raises(UnsupportedModel, match=r"beside the embeddings: by decoder argument '.*deepstack"):
        delayed(deep)
