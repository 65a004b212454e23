"""A back-patch on an unmodified model: what `generate` writes is that of the experiment's two passes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import disk_offload
from transformers import DynamicCache

import diptych
from diptych import BackPatch
from diptych.backpatch import Cell, back_patch
from diptych.interventions import patch_residuals
from diptych.items import Item
from diptych.models.encode import Prompt, collate, encode_item
from diptych.models.generate import Edits, generate_tokens
from diptych.models.handed import record_handed
from diptych.models.hooks import hooks
from diptych.models.vlm import VLM
from prompts import Noise, item
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET
from zoo import tiny as random_model

QUERY = "How many stars are there? Answer with a number."
SEVERAL = ("aria", "chameleon", "idefics3", "internvl", "mllama", "qwen3_5", "qwen3_vl", "smolvlm")
CELL = Cell(destination=0, window=3, source=2)

every_model = pytest.mark.parametrize(("family", "kernel"), [(f, k) for f in FAMILIES for k in KERNELS])


def prompts(vlm: VLM, count: int = 3, query: str = QUERY) -> list[Prompt]:
    return [encode_item(vlm, item(number, query), "image") for number in range(count)]


def placed(vlm: VLM, some: Sequence[Prompt]) -> dict[str, torch.Tensor]:
    return {name: vlm.place(value) for name, value in collate(some).items()}


@torch.no_grad()
def two_passes(vlm: VLM, some: Sequence[Prompt], cell: Cell = CELL, rounds: int = 1) -> Edits:
    """By the definition: a whole run that is recorded, patched from the one before it, for each round."""
    call, data = vlm.capture(collate(some)), some[0].layout.data
    values: dict[int, torch.Tensor] = {}
    for _ in range(rounds):
        with record_handed(vlm) as residuals, patch_residuals(vlm, data, values):
            vlm.run(call)
        values = {destination: residuals[source] for source, destination in cell.pairs(len(vlm.layers))}

    def edits(places: Sequence[int]) -> AbstractContextManager[None]:
        return patch_residuals(vlm, data, {layer: value[list(places)] for layer, value in values.items()})

    return edits


def require_equal(vlm: VLM, some: Sequence[Prompt], cell: Cell = CELL, rounds: int = 1) -> None:
    """Generation under the patch is that under the edits of two passes, its first logits those of the experiment."""
    edits, call = two_passes(vlm, some, cell, rounds), vlm.capture(collate(some))
    plain = vlm.run(call)
    with edits(range(len(some))), torch.no_grad():
        expected = vlm.run(call)

    with BackPatch(cell.source, cell.destination, cell.window, rounds).apply(vlm.model), torch.no_grad():
        found, written = vlm.run(call), generate_tokens(vlm, some, max_new_tokens=5)

    assert torch.equal(found, expected) and (found - plain).abs().max() > 1e-6
    assert written == generate_tokens(vlm, some, max_new_tokens=5, edits=edits) and any(written)
    assert torch.equal(vlm.run(call), plain)
    if rounds == 1:
        ((_, resumed),) = back_patch(vlm, call, some[0].layout.data, [cell])
        assert torch.equal(found, resumed)


@every_model
@pytest.mark.parametrize("rounds", [1, 2])
def test_what_is_generated_equals_the_experiment_s_two_passes(family: str, kernel: str, rounds: int) -> None:
    vlm = tiny(family, kernel)

    require_equal(vlm, prompts(vlm), rounds=rounds)


@QUIET
@pytest.mark.parametrize("name", SEVERAL)
def test_so_it_does_for_other_architectures(name: str) -> None:
    vlm = random_model(name)

    require_equal(vlm, prompts(vlm))


@QUIET
def test_so_it_does_where_generation_runs_the_last_layers_at_the_last_position_alone() -> None:
    vlm = random_model("gemma4")

    some, cell = prompts(vlm), Cell(destination=3, window=3, source=4)  # layers 4 and 5 do so
    call, edits = vlm.capture(collate(some)), two_passes(vlm, some, cell)
    plain = vlm.run(call)
    with edits(range(3)), torch.no_grad():
        expected = vlm.run(call)

    with BackPatch(cell.source, cell.destination, cell.window).apply(vlm.model):
        found = vlm.model.generate(
            **placed(vlm, some), max_new_tokens=2, return_dict_in_generate=True, output_logits=True, do_sample=False
        )

    assert (expected - plain).abs().max() > 1e-3
    torch.testing.assert_close(found.logits[0], expected, atol=1e-4, rtol=0)
    require_equal(vlm, some, cell)


def test_so_it_does_for_the_organism_and_every_sort_of_cell() -> None:
    vlm = diptych.load("organism/qwen2vl", verify=False)
    items = diptych.make_task("counting", per_split=4).split("test")
    some = [encode_item(vlm, one, "image") for one in items[:4]]

    for cell in (Cell(0, 1, 1), Cell(1, 5, 4), Cell(0, 3, len(vlm.layers) - 1)):
        require_equal(vlm, some, cell)


@pytest.mark.parametrize("family", FAMILIES)
def test_several_pictures_are_patched_from_the_first_to_the_last_image_token(family: str) -> None:
    vlm = tiny(family)
    pictures = tuple(Noise(f"picture-{number}") for number in range(2))
    some = [encode_item(vlm, Item("two", None, pictures, QUERY, "1"), "image")]
    held = vlm.image_positions(some[0].inputs)[0].nonzero().flatten()

    assert len(held) < some[0].layout.data.stop - some[0].layout.data.start  # there are marks between
    require_equal(vlm, some)


@every_model
def test_prompts_of_several_lengths_padded_on_the_left_are_generated_as_alone(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = [encode_item(vlm, item(n, query), "image") for n, query in enumerate(["stars ?", QUERY, "How many ?"])]
    length = max(len(prompt.tokens) for prompt in some)
    each = [padded(placed(vlm, [prompt]), length - len(prompt.tokens)) for prompt in some]
    batch = {name: torch.cat([one[name] for one in each]) for name in each[0]}

    options = {"max_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}

    def logits(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack(vlm.model.generate(**inputs, **options, eos_token_id=None).logits, 1)

    with BackPatch(CELL.source, CELL.destination, CELL.window).apply(vlm.model):
        together = logits(batch)
        alone = torch.cat([logits(placed(vlm, [prompt])) for prompt in some])

    assert len({len(prompt.tokens) for prompt in some}) == 3 and (together - logits(batch)).abs().max() > 1e-3
    assert torch.equal(together.argmax(-1), alone.argmax(-1))
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def padded(inputs: dict[str, torch.Tensor], missing: int) -> dict[str, torch.Tensor]:
    """The inputs with padding on the left."""
    per_token = {name for name, value in inputs.items() if value.shape[:2] == inputs["input_ids"].shape[:2]}
    return {
        name: torch.nn.functional.pad(value, (missing, 0)) if name in per_token else value
        for name, value in inputs.items()
    }


@pytest.mark.parametrize(
    "options", [{"num_beams": 3}, {"do_sample": True, "temperature": 2.0}, {"cache_implementation": "static"}]
)
def test_beams_samples_and_static_caches_are_patched_alike(options: dict[str, Any]) -> None:
    vlm = tiny("llava")
    some = prompts(vlm, 1)
    data, length = some[0].layout.data, len(some[0].tokens)
    call = vlm.capture(collate(some))
    with torch.no_grad(), record_handed(vlm) as residuals:
        vlm.run(call)

    def by_hand(value: torch.Tensor) -> Callable[..., torch.Tensor]:
        def write(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            changed = output.clone()
            if output.shape[1] == length:
                changed[:, data] = value[:, data]
            return changed

        return write

    def written() -> list[list[int]]:
        torch.manual_seed(0)
        found: torch.Tensor = vlm.model.generate(**placed(vlm, some), max_new_tokens=6, eos_token_id=None, **options)
        return found[:, length:].tolist()

    pairs = CELL.pairs(len(vlm.layers))
    with hooks(*(vlm.layers[d].register_forward_hook(by_hand(residuals[s])) for s, d in pairs)):
        expected = written()
    with BackPatch(CELL.source, CELL.destination, CELL.window).apply(vlm.model):
        found = written()

    assert found == expected != written()


@every_model
@torch.no_grad()
def test_the_cache_is_that_of_one_prefill_and_the_first_pass_leaves_none(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    some = prompts(vlm)
    inputs, data = placed(vlm, some), some[0].layout.data

    caches = {name: DynamicCache(config=vlm.model.config) for name in ("plain", "by hand", "patched")}
    with record_handed(vlm) as residuals:
        vlm.model(**inputs, past_key_values=caches["plain"])
    with patch_residuals(vlm, data, {d: residuals[s] for s, d in CELL.pairs(4)}):
        vlm.model(**inputs, past_key_values=caches["by hand"])
    with BackPatch(CELL.source, CELL.destination, CELL.window).apply(vlm.model):
        vlm.model(**inputs, past_key_values=caches["patched"])

    plain, expected, found = ([(layer.keys, layer.values) for layer in cache.layers] for cache in caches.values())
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert torch.equal(found[0][0], plain[0][0]) and not torch.equal(found[1][0], plain[1][0])


@pytest.mark.parametrize(("src", "dst", "window", "rounds"), [(2, 0, 1, 1), (1, 0, 3, 1), (3, 1, 1, 2), (1, 0, 1, 3)])
def test_a_prefill_runs_the_layers_up_to_the_source_once_more_per_round_and_a_step_runs_each_once(
    src: int, dst: int, window: int, rounds: int
) -> None:
    vlm = tiny("qwen2_vl")
    calls: list[int] = []
    counted = [layer.register_forward_hook(lambda m, a, o, n=n: calls.append(n)) for n, layer in enumerate(vlm.layers)]

    with hooks(*counted), BackPatch(src, dst, window, rounds).apply(vlm.model):
        vlm.model.generate(**placed(vlm, prompts(vlm)), max_new_tokens=3, do_sample=False, eos_token_id=None)

    first = list(range(src + window // 2 + 1))
    assert calls == first * rounds + [0, 1, 2, 3] * 3


@every_model
def test_a_layer_patched_into_itself_changes_nothing_to_the_bit(family: str, kernel: str) -> None:
    vlm = tiny(family, kernel)
    call = vlm.capture(collate(prompts(vlm)))
    plain = vlm.run(call)

    with BackPatch(2, 2, 3).apply(vlm.model):
        assert torch.equal(vlm.run(call), plain)


def test_a_prompt_without_pictures_is_left_alone_at_no_cost() -> None:
    vlm = tiny("qwen2_vl")
    call = vlm.capture(encode_item(vlm, item(0), "text").inputs)
    plain, calls = vlm.run(call), []

    with (
        BackPatch(2, 0).apply(vlm.model),
        hooks(vlm.layers[0].register_forward_hook(lambda *_: calls.append(0))),
    ):
        assert torch.equal(vlm.run(call), plain) and calls == [0]


def test_of_a_batch_only_prompts_with_pictures_are_patched() -> None:
    vlm = tiny("llava")
    shown, told = placed(vlm, prompts(vlm, 1)), encode_item(vlm, item(5), "text").inputs["input_ids"]
    missing = shown["input_ids"].shape[1] - told.shape[1]
    both = dict(shown, input_ids=torch.cat([shown["input_ids"], torch.nn.functional.pad(told, (missing, 0))]))
    both["attention_mask"] = (both["input_ids"] != 0).long()

    with torch.no_grad():
        plain = vlm.model(**both).logits
        with BackPatch(2, 0).apply(vlm.model):
            found = vlm.model(**both).logits

    assert (found[0, -1] - plain[0, -1]).abs().max() > 1e-3
    torch.testing.assert_close(found[1, missing:], plain[1, missing:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_equals_two_passes_too(family: str) -> None:
    vlm = tiny(family, "sdpa", torch.bfloat16)

    require_equal(vlm, prompts(vlm))


def test_weights_that_are_moved_for_each_layer_are_patched_to_the_bit(tmp_path: Path) -> None:
    whole = diptych.load("organism/qwen2vl", verify=False)
    spread = diptych.load("organism/qwen2vl", verify=False)
    some = [encode_item(whole, one, "image") for one in diptych.make_task("counting", per_split=4).split("test")[:2]]
    disk_offload(spread.model, tmp_path, execution_device=torch.device("cpu"))

    found = []
    for vlm in (whole, spread):
        with BackPatch(3, 0, 3).apply(vlm.model), torch.inference_mode():
            inputs = placed(whole, some)
            given = vlm.model.generate(**inputs, max_new_tokens=3, return_dict_in_generate=True, output_logits=True)
        found.append(torch.stack(given.logits))

    assert spread.layers[0].mlp.down_proj.weight.is_meta and torch.equal(*found)


@pytest.mark.parametrize("family", ["qwen2_vl", "gemma3"])
def test_without_a_cache_each_step_reads_the_prompt_with_the_patch(family: str) -> None:
    vlm = tiny(family)
    options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "return_dict_in_generate": True}

    def logits(**more: Any) -> torch.Tensor:
        found = vlm.model.generate(**placed(vlm, prompts(vlm)), **options, output_logits=True, **more)
        return torch.stack(found.logits)

    with BackPatch(CELL.source, CELL.destination, CELL.window).apply(vlm.model):
        cached, anew = logits(), logits(use_cache=False)

    torch.testing.assert_close(anew, cached, atol=1e-4, rtol=0)
    assert float((logits() - cached).abs().amin(0).max()) > 1e-3
