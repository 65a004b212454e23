"""Hooks, splice and resume: exact on three families, under both kernels, and gone when closed."""

from dataclasses import replace

import pytest
import torch

from diptych.errors import InputError, MismatchError, UnsupportedModel
from diptych.items import MODALITIES, Contrast, Item, Modality, Task
from diptych.models.calls import DecoderCall, Path
from diptych.models.encode import AnswerTokens, _batch, answer_tokens, collate, encode, encode_item
from diptych.models.handed import edit_handed, record_handed
from diptych.models.sites import find_sites
from diptych.models.stacking import find_batch_dims, prompts
from diptych.models.vlm import VLM
from prompts import answers, batch, contrasts
from tiny import FAMILIES, KERNELS, tiny

every_model = [pytest.param(family, kernel, id=f"{family}-{kernel}") for family in FAMILIES for kernel in KERNELS]


def hooks_of(vlm: VLM) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in vlm.model.modules()) + sum(
        "forward" in layer.__dict__ for layer in vlm.layers
    )


@pytest.mark.parametrize(("family", "kernel"), every_model)
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_the_spliced_run_is_the_plain_forward_to_the_bit(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    inputs = batch(vlm, modality).clean
    plain = vlm.run_inputs(inputs)

    assert plain.abs().max() > 0.1
    assert torch.equal(vlm.run(vlm.capture_each([inputs])[0]), plain)
    torch.testing.assert_close(vlm.run(vlm.capture(inputs)), plain, rtol=0, atol=1e-5 * float(plain.abs().max()))
    for one, logits in zip(prompts(inputs), plain, strict=True):
        assert torch.equal(vlm.run(vlm.capture(one))[0], logits)


@pytest.mark.parametrize(("family", "kernel"), every_model)
@torch.no_grad()
def test_the_plain_forward_is_what_hugging_face_computes(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    inputs = batch(vlm, "image").clean

    theirs = vlm.model(**inputs).logits[:, -1]

    torch.testing.assert_close(vlm.run_inputs(inputs), theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("family", "kernel"), every_model)
@torch.no_grad()
def test_recorded_nodes_are_the_inputs_of_the_output_projections(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call = vlm.capture(batch(vlm, "image").clean)
    layer = vlm.layers[2]
    seen: dict[str, torch.Tensor] = {}
    handles = [
        layer.self_attn.o_proj.register_forward_hook(lambda m, args, out: seen.update(heads=args[0].clone())),
        layer.mlp.down_proj.register_forward_hook(lambda m, args, out: seen.update(neurons=args[0].clone())),
    ]

    with vlm.record() as recording:
        vlm.run(call)
    for handle in handles:
        handle.remove()
    found = recording.activations()

    assert seen["heads"].abs().max() > 0 and seen["neurons"].abs().max() > 0
    assert found.heads[2].shape == (3, call.input_ids.shape[1], 4, 16)
    assert torch.equal(found.heads[2].flatten(-2), seen["heads"])
    assert torch.equal(found.neurons[2], seen["neurons"])


@pytest.mark.parametrize(("family", "kernel"), every_model)
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_resuming_at_any_layer_is_the_full_run_to_the_bit(family: str, kernel: str, modality: Modality) -> None:
    vlm = tiny(family, kernel)
    call = vlm.capture(batch(vlm, modality).clean)
    with record_handed(vlm) as residuals:
        full = vlm.run(call)

    assert full.abs().max() > 0.1
    for start in range(1, len(vlm.layers)):
        with vlm.resume(start, residuals[start - 1]):
            assert torch.equal(vlm.run(call), full)


@torch.no_grad()
def test_a_resumed_run_depends_on_the_residual_it_is_given() -> None:
    vlm = tiny("qwen2_vl")
    call = vlm.capture(batch(vlm, "image").clean)
    with record_handed(vlm) as residuals:
        full = vlm.run(call)

    with vlm.resume(2, residuals[0]):
        assert not torch.allclose(vlm.run(call), full, atol=1e-2)


@pytest.mark.parametrize(("family", "kernel"), every_model)
@torch.no_grad()
def test_a_repeated_batch_repeats_its_logits(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call = vlm.capture(batch(vlm, "image").clean)
    once = vlm.run(call)

    torch.testing.assert_close(vlm.run(call.repeat(3)), once.repeat(3, 1), atol=2e-5, rtol=0)
    torch.testing.assert_close(vlm.run(call.take([2, 0])), once[[2, 0]], atol=2e-5, rtol=0)


@torch.no_grad()
def test_nothing_is_left_behind_by_a_context_that_is_interrupted() -> None:
    vlm = tiny("gemma3")
    call = vlm.capture(batch(vlm, "text").clean)
    before = vlm.run(call)
    residual = torch.zeros(3, call.input_ids.shape[1], 48)
    contexts = [
        vlm.record(),
        record_handed(vlm),
        vlm.edit_inputs(dict.fromkeys(vlm.sites, torch.zeros_like)),
        edit_handed(vlm.layers, {1: torch.zeros_like}),
        vlm.resume(2, residual),
        vlm.knockout(slice(8, 10), slice(0, 4), [0, 1]),
    ]
    for context in contexts:
        with pytest.raises(KeyboardInterrupt), context:
            raise KeyboardInterrupt

    assert hooks_of(vlm) == 0
    assert torch.equal(vlm.run(call), before)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_every_edited_site_changes_the_logits(family: str) -> None:
    vlm = tiny(family)
    call = vlm.capture(batch(vlm, "image").clean)
    plain = vlm.run(call)
    for site in vlm.sites:
        with vlm.edit_inputs({site: torch.zeros_like}):
            assert not torch.equal(vlm.run(call), plain), site


@pytest.mark.parametrize(("family", "kernel"), every_model)
@torch.no_grad()
def test_knocking_out_the_data_makes_the_answer_independent_of_the_picture(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = batch(vlm, "image")
    clean, other = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    after = slice(some.layout.query.start, some.layout.length)
    assert not torch.allclose(vlm.run(clean), vlm.run(other), atol=1e-3)

    with vlm.knockout(after, some.layout.data, range(len(vlm.layers))):
        blocked, also_blocked = vlm.run(clean), vlm.run(other)

    torch.testing.assert_close(blocked, also_blocked, atol=1e-5, rtol=0)


@torch.no_grad()
def test_knocking_out_nothing_changes_nothing() -> None:
    vlm = tiny("qwen2_vl")
    call = vlm.capture(batch(vlm, "image").clean)

    with vlm.knockout(slice(0, 0), slice(0, 0), range(len(vlm.layers))):
        blocked = vlm.run(call)

    torch.testing.assert_close(blocked, vlm.run(call), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_weights_are_frozen_and_unchanged(family: str) -> None:
    vlm = tiny(family)
    before = {name: parameter.clone() for name, parameter in vlm.model.named_parameters()}
    call = vlm.capture(batch(vlm, "image").clean)
    with vlm.edit_inputs(dict.fromkeys(vlm.sites, torch.zeros_like)):
        vlm.run(call)

    assert not any(parameter.requires_grad for parameter in vlm.model.parameters())
    assert all(torch.equal(before[name], parameter) for name, parameter in vlm.model.named_parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_image_positions_are_interpolated(family: str) -> None:
    vlm = tiny(family)
    some = batch(vlm, "image")
    path = Path.between(vlm.capture(some.clean), vlm.capture(some.counterfactual))

    quarter, half = (path.at(alpha)[1][0].detach() for alpha in (0.25, 0.5))
    changed = (quarter - half).abs().amax((0, 2))
    image = some.clean["input_ids"][0] == vlm.model.config.image_token_id

    assert int(image.sum()) >= 4
    assert (changed[image] > 1e-4).all()
    assert (changed[~image] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_ends_of_the_path_are_the_two_runs(family: str) -> None:
    vlm = tiny(family)
    some = batch(vlm, "image")
    clean, other = vlm.capture(some.clean), vlm.capture(some.counterfactual)
    path = Path.between(clean, other)
    with torch.no_grad():
        assert torch.equal(vlm.run(path.at(1.0)[0]), vlm.run(clean))
        assert torch.equal(vlm.run(path.at(0.0)[0]), vlm.run(other))


def test_calls_that_differ_in_something_that_cannot_be_interpolated_are_refused() -> None:
    embeddings, ids = torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64)
    a = DecoderCall(ids, (), {"inputs_embeds": embeddings, "position_ids": torch.tensor([[0, 1, 2]])})
    b = DecoderCall(ids, (), {"inputs_embeds": embeddings, "position_ids": torch.tensor([[0, 1, 3]])})

    with pytest.raises(MismatchError, match="not aligned: decoder argument '.*position_ids' differs"):
        Path.between(a, b)


def test_batch_dimensions_are_those_that_double() -> None:
    ids = torch.zeros(2, 5, dtype=torch.int64)
    shapes = {"plain": (2, 5), "mrope": (3, 2, 5), "shared": (1, 5), "flat": (8, 4)}
    one = DecoderCall(ids, (), {name: torch.zeros(shape) for name, shape in shapes.items()})
    doubled = {"plain": (4, 5), "mrope": (3, 4, 5), "shared": (1, 5), "flat": (16, 4)}
    two = DecoderCall(ids, (), {name: torch.zeros(shape) for name, shape in doubled.items()})

    dims = find_batch_dims(one, two)

    assert {name.split(".")[-1]: dim for name, dim in dims.items()} == {
        "plain": 0,
        "mrope": 1,
        "shared": None,
        "flat": 0,
    }


def test_taking_prompts_of_a_call_follows_each_batch_dimension() -> None:
    ids = torch.arange(4).view(2, 2)
    kwargs = {"mrope": torch.arange(6).view(3, 2, 1), "flat": torch.arange(4), "nested": {"shared": torch.ones(1)}}
    call = DecoderCall(ids, (), kwargs, {".1.mrope": 1, ".1.flat": 0, ".1.nested.shared": None})

    taken = call.take([1, 1, 0])

    assert taken.kwargs["mrope"][:, :, 0].tolist() == [[1, 1, 0], [3, 3, 2], [5, 5, 4]]
    assert taken.kwargs["flat"].tolist() == [2, 3, 2, 3, 0, 1]
    assert taken.kwargs["nested"]["shared"].tolist() == [1]
    assert taken.input_ids.tolist() == [[2, 3], [2, 3], [0, 1]]


def test_all_prompts_in_their_order_are_the_call_itself_and_in_another_order_are_not() -> None:
    call = DecoderCall(torch.tensor([[0], [1]]), (), {"flat": torch.tensor([4, 5])}, {".1.flat": 0})

    assert call.take([0, 1]) is call
    assert call.take([1, 0]).kwargs["flat"].tolist() == [5, 4]


def test_a_model_without_known_projections_is_refused_with_its_layer() -> None:
    vlm = tiny("qwen2_vl")

    class Headless(torch.nn.Module):
        def get_decoder(self) -> torch.nn.Module:
            decoder = torch.nn.Module()
            decoder.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
            return decoder

        def get_output_embeddings(self) -> torch.nn.Module:
            return vlm.sites.unembedding

    with pytest.raises(UnsupportedModel, match=r"Layer 0 \(Linear\) has no attention output projection"):
        find_sites(Headless())


@pytest.mark.parametrize("family", FAMILIES)
def test_text_data_is_found_by_its_characters(family: str) -> None:
    vlm = tiny(family)
    prompt = encode_item(vlm, Item("x", "7 8 9", None, "How many stars ?", "3"), "text")

    words = vlm.processor.tokenizer.convert_ids_to_tokens(prompt.tokens.tolist())

    assert words[prompt.layout.data] == ["7", "8", "9"]
    assert words[prompt.layout.query][:4] == ["How", "many", "stars", "?"]
    assert prompt.layout.generation == slice(len(words) - 1, len(words))


@pytest.mark.parametrize("family", FAMILIES)
def test_image_data_runs_from_the_first_to_the_last_image_token(family: str) -> None:
    vlm = tiny(family)
    prompt = encode_item(vlm, contrasts("image")[0].clean, "image")

    image = vlm.model.config.image_token_id
    data = prompt.tokens[prompt.layout.data].tolist()

    assert data[0] == data[-1] == image and data.count(image) == prompt.tokens.tolist().count(image) >= 4


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_batch_of_different_pictures_gives_what_single_prompts_give(family: str) -> None:
    vlm = tiny(family)
    prompts = [encode_item(vlm, contrast.clean, "image") for contrast in contrasts("image")]

    together = vlm.run(vlm.capture(collate(prompts)))
    apart = torch.cat([vlm.run(vlm.capture(prompt.inputs)) for prompt in prompts])

    assert not torch.allclose(apart[0], apart[1], atol=1e-3)
    torch.testing.assert_close(together, apart, atol=2e-5, rtol=0)


def test_contrasts_whose_answers_share_their_first_token_are_dropped_and_counted_or_refused() -> None:
    vlm = tiny("llava")
    pairs = contrasts("text", 2)
    shared = AnswerTokens({"0": 40, "2": 40, "1": 41, "3": 42}, leading_space=False)

    kept = encode(vlm, pairs, shared)

    assert (len(kept), kept.dropped) == (1, {"answers share their first token": 1})
    with pytest.raises(InputError, match="answers share their first token.*first token. Change the answers"):
        encode(vlm, pairs[:1], shared)


def test_an_answer_outside_the_vocabulary_is_refused() -> None:
    items = tuple(Item(f"i{n}", "1 2", None, "How many ?", answer) for n, answer in enumerate(("zebra", "1", "2")))
    task = Task("odd", 1, items, ("zebra", "1", "2"))

    with pytest.raises(InputError, match="does not know the answer 'zebra'"):
        answer_tokens(tiny("qwen2_vl"), task)


def test_prompts_that_differ_before_their_data_are_refused() -> None:
    vlm = tiny("qwen2_vl")
    (contrast,) = contrasts("text", 1)
    one, two = (encode_item(vlm, found, "text") for found in (contrast.clean, contrast.counterfactual))
    ids = two.inputs["input_ids"].clone()
    ids[0, 0] = 7
    changed = replace(two, inputs={**two.inputs, "input_ids": ids})

    with pytest.raises(MismatchError, match="differ before their data"):
        _batch([(Contrast("text", one.item, two.item), one, changed)], answers(vlm))
