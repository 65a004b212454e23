"""Prompts of different lengths and pictures of different sizes, through encoding, attribution, ablation and experiments."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

from diptych.attribution.ap import ap
from diptych.backpatch import back_patch, cells
from diptych.errors import InputError
from diptych.experiments._survey import FoldScores, Survey, clusters
from diptych.experiments._sweep import sweep
from diptych.grid import Grid
from diptych.interventions import run_circuits
from diptych.items import Contrast, Drawing, Item, Task
from diptych.metrics import correct, logit_diff
from diptych.models.encode import collate, encode, encode_item
from diptych.models.processor import without_films
from diptych.models.vlm import VLM
from diptych.run import Run, Store
from prompts import Noise, answers
from tiny import tiny, tokenizer

NAMES = ["star", "moon heart", "circle star moon", "square", "heart circle", "triangle moon star"]
SIZES = [(32, 32), (32, 64), (64, 32)]
"""Height and width of pictures: 4, 8 and 8 positions."""


@cache
def sized(dtype: torch.dtype = torch.float32) -> VLM:
    """The tiny Qwen2-VL with a processor that keeps pictures of up to 64 × 64 pixels as large as they are."""
    vlm = tiny("qwen2_vl", dtype=dtype)
    pictures = Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, min_pixels=32 * 32, max_pixels=64 * 64)
    words = tokenizer("qwen2_vl")
    processor = without_films(Qwen2VLProcessor)(pictures, words, chat_template=words.chat_template)
    return VLM(vlm.model, processor, name="tiny/sized", digest=vlm.digest)


def noise(seed: int, height: int, width: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def item(number: int, **fields: Any) -> Item:
    """A name of one to three tokens and a picture of one of three sizes."""
    height, width = SIZES[number % 3]
    picture = Drawing(noise, {"seed": number, "height": height, "width": width})
    text = f"{NAMES[number % 6]} {number}"
    return Item(f"i{number}", text, picture, "How many stars are there ?", str(number // 6 % 2), **fields)


def contrasts(modality: str, count: int = 6) -> list[Contrast]:
    """Prompts of three lengths; each counterfactual has its clean prompt's."""
    return [Contrast(modality, item(n), item(n + 6)) for n in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("modality", "lengths", "pooled"), [("text", {2, 3, 4}, 1), ("image", {4, 8}, 1)])
def test_every_contrast_is_encoded_whatever_its_length_in_batches_of_one_layout(modality, lengths, pooled) -> None:
    found = encode(sized(), contrasts(modality), answers(sized()))

    assert (len(found), found.dropped) == (6, {})
    assert {batch.layout.data.stop - batch.layout.data.start for batch in found.batches} == lengths
    assert found.layout.data.stop - found.layout.data.start == pooled
    assert found.layout.query.stop - found.layout.query.start > 1  # as long in all prompts: kept token by token


def test_pictures_of_other_proportions_share_no_batch_though_as_long() -> None:
    found = encode(sized(), contrasts("image"), answers(sized()))

    assert [len(batch) for batch in found.batches] == [2, 2, 2]
    assert len({batch.layout for batch in found.batches}) == 2


def test_positions_by_token_keep_the_commonest_layout_and_count_the_rest() -> None:
    first = contrasts("text")[0]
    again = replace(first, clean=replace(first.clean, id="again"))

    found = encode(sized(), [*contrasts("text"), again], answers(sized()), positions="token")

    assert {batch.layout for batch in found.batches} == {found.layout}
    assert (len(found), found.dropped) == (3, {"prompts of a rarer layout or picture shape": 4})


def test_a_contrast_of_two_lengths_is_dropped_and_counted_and_alone_refused() -> None:
    unequal = Contrast("text", item(1), item(6))

    assert encode(sized(), [*contrasts("text"), unequal], answers(sized())).dropped == {
        "prompts of different layouts or picture shapes": 1
    }
    with pytest.raises(InputError, match="None of 1 contrasts can be used: .*different layouts"):
        encode(sized(), [unequal], answers(sized()))


@pytest.mark.parametrize("modality", ["text", "image"])
def test_scores_over_two_layouts_are_the_sum_of_each_layout_s(modality: str) -> None:
    vlm = sized(torch.float64)
    found = encode(vlm, contrasts(modality), answers(vlm))

    together = [ap(vlm, batch).scores.pool(found.layout) * len(batch) for batch in found.batches]
    alone = [
        ap(vlm, single).scores.pool(found.layout)
        for contrast in contrasts(modality)
        for single in encode(vlm, [contrast], answers(vlm)).batches
    ]

    total, expected = (sum(grids[1:], grids[0]) for grids in (together, alone))
    assert float(total.heads.abs().sum()) > 0.1
    for a, b in zip(total, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_ablation_with_an_expanded_circuit_is_that_with_one_built_by_hand(modality: str) -> None:
    vlm = sized(torch.float64)
    found = encode(vlm, contrasts(modality), answers(vlm))
    spans = ap(vlm, found.batches[0]).scores.pool(found.layout).top(0.3)
    names = found.layout.labels

    for batch in found.batches:
        heads, neurons = (torch.zeros(4, batch.layout.length, count, dtype=torch.bool) for count in (4, 64))
        query = 0
        for position, name in enumerate(batch.layout.labels):
            place = names.index(name) + (query if name == "query" else position if name == "prefix" else 0)
            query += name == "query"
            heads[:, position], neurons[:, position] = spans.heads[:, place], spans.neurons[:, place]
        by_hand = Grid(heads, neurons, batch.layout, vlm.digest)
        with vlm.record() as recording:
            vlm.run(vlm.capture(batch.counterfactual))
        logits = run_circuits(
            vlm, vlm.capture(batch.clean), [spans.expand(batch.layout), by_hand, ~by_hand], recording.activations()
        )

        assert 0 < heads.sum() < heads.numel()
        assert torch.equal(logits[0], logits[1])
        assert not torch.allclose(logits[0], logits[2])


def test_named_parts_of_text_and_query_are_spans_in_the_panels_that_hold_them() -> None:
    named = replace(
        item(2), text="12 + 7", spans=(("data.operand", 0, 2), ("data.operand", 5, 6), ("query.word", 0, 8))
    )
    text, image = (encode_item(sized(), named, modality) for modality in ("text", "image"))

    words = sized().processor.tokenizer
    said = {
        panel: {
            name: words.decode(prompt.tokens[places]) for name, places in prompt.layout.places.items() if "." in name
        }
        for panel, prompt in (("text", text), ("image", image))
    }
    assert said == {"text": {"data.operand": "12 7", "query.word": "How many"}, "image": {"query.word": "How many"}}
    assert words.decode(text.tokens[text.layout.places["data"]]) == "+"


@pytest.mark.parametrize(("number", "cut"), [(0, (2, 2)), (1, (1, 2)), (2, (4, 2))])
def test_cells_of_a_picture_are_spans_by_rows_and_columns(number: int, cut: tuple[int, int]) -> None:
    layout = encode_item(sized(), item(number, cells=cut), "image").layout
    rows, columns = (side // 16 for side in SIZES[number % 3])

    labels = [layout.labels[layout.data.start + index] for index in range(rows * columns)]

    assert labels == [
        f"data.cell_{row * cut[0] // rows}_{column * cut[1] // columns}"
        for row in range(rows)
        for column in range(columns)
    ]


def test_row_breaks_of_a_picture_are_data_of_no_cell() -> None:
    vlm = tiny("llava")
    layout = encode_item(vlm, Item("i", None, Noise("p"), "How many ?", "1", cells=(2, 2)), "image").layout

    assert [len(places) for name, places in layout.places.items() if "cell" in name] == [4, 4, 4, 4]
    assert len(layout.places["data"]) == 3


def test_a_start_of_image_token_before_the_picture_has_no_effect_in_gemma() -> None:
    """Why it may lie in the prefix (decision 0005), although the reference counts it as data."""
    vlm = tiny("gemma3", dtype=torch.float64)
    pairs = [Item(f"{n}", None, Noise(f"p{n}"), "How many ?", str(n)) for n in (1, 2)]
    (batch,) = encode(vlm, [Contrast("image", *pairs)], answers(vlm)).batches
    start = batch.layout.data.start

    scores = ap(vlm, batch).scores

    assert vlm.processor.tokenizer.convert_ids_to_tokens(int(batch.clean["input_ids"][0, start - 1])) == (
        "<start_of_image>"
    )
    assert float(scores.at("prefix").heads.abs().sum() + scores.at("prefix").neurons.abs().sum()) == 0
    assert float(scores.heads[:, start].abs().sum()) > 0


def logits_of(items: list[Item], panel: str) -> torch.Tensor:
    """Last-position logits of each item's prompt: every third item has one shape."""
    prompts = [encode_item(sized(), one, panel) for one in items]  # type: ignore[arg-type]
    found = torch.empty(len(items), 160)
    for kind in range(3):
        found[kind::3] = sized().run(sized().capture(collate(prompts[kind::3])))
    return found


@torch.no_grad()
def free_form(count: int = 144) -> Task:
    """Names of three lengths and pictures of three sizes; the model says the answer from both panels.

    The two answers are those that the model gives about equally often at each length and size.
    """
    words = range(100)
    tokens = torch.tensor([answers(sized()).tokens[str(word)] for word in words])
    logits = torch.stack([logits_of([item(n) for n in range(count)], panel) for panel in ("text", "image")])
    pairs = logits[..., tokens[:, None]] - logits[..., tokens[None]]  # [panel, item, word, word]
    shares = (pairs > 0).double().unflatten(1, (-1, 3)).mean(1)  # [panel, shape, word, word]
    a, b = divmod(int((shares - 0.5).abs().amax((0, 1)).argmin()), len(words))
    said = (pairs[..., a, b] > 0).tolist()
    items = [replace(item(n), answer=str(a if x else b)) for n, (x, y) in enumerate(zip(*said, strict=True)) if x == y]
    return Task("free_form", 1, tuple(items), (str(a), str(b)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")
    store = Store(tmp_path_factory.mktemp("runs"))
    return Run(str(folder), free_form(), store=store, load=lambda source: sized(), batch_size=7)


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("positions", ["aligned", "token"])
def test_discovery_pools_all_lengths_unless_it_is_asked_for_tokens(run: Run, modality: str, positions: str) -> None:
    result = run.get("discover", modality=modality, positions=positions, method="ap")
    items = len(run.task.split("discover"))
    used, dropped = int(result.conditions["n discover"] or 0), str(result.conditions["dropped discover"])

    assert ("rarer layout" in dropped, "wrongly" in dropped) == (positions == "token", False)
    assert (used < items / 2) == (positions == "token")
    assert result.conditions["pooled spans"] == {"aligned": "data", "token": "none"}[positions]
    assert (len(FoldScores.of(run, result).layout.places["data"]) == 1) == (positions == "aligned")


@pytest.mark.parametrize("modality", ["text", "image"])
def test_discovered_scores_are_the_mean_over_prompts_of_each_prompt_s_pooled_scores(run: Run, modality: str) -> None:
    result = run.get("discover", modality=modality, positions="span", method="ap")
    found = FoldScores.of(run, result)
    chosen = Survey.of(run).contrasts(modality, "discover", seed=0, positions="span")  # type: ignore[arg-type]

    singles = [
        ap(sized(), batch).scores.pool(found.layout)
        for contrast in chosen.used
        for batch in encode(sized(), [contrast], answers(sized())).batches
    ]

    expected = sum(singles[1:], singles[0]) * (1 / len(singles))
    assert (
        len(singles) == result.conditions["n discover"]
        and len({str(c.clean.text).count(" ") for c in chosen.used}) == 3
    )  # type: ignore[union-attr]
    assert found.layout.labels == [span for span, *_ in json.loads(str(result.conditions["layout"]))]
    for a, b in zip(found.mean(), expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_counterfactuals_have_their_item_s_length_and_are_the_same_in_both_panels(run: Run, modality: str) -> None:
    chosen = Survey.of(run).contrasts(modality, "test", seed=0, positions="aligned")  # type: ignore[arg-type]

    assert len(chosen.used) > 8
    for contrast in chosen.used:
        for panel in ("text", "image"):
            shapes = [encode_item(sized(), one, panel).shape for one in (contrast.clean, contrast.counterfactual)]  # type: ignore[arg-type]
            assert shapes[0] == shapes[1]


@pytest.mark.parametrize("modality", ["text", "image"])
def test_the_curve_over_lengths_begins_empty_and_ends_full(run: Run, modality: str) -> None:
    discovery = {"method": "ap"}
    result = run.get("faithfulness_curve", modality=modality, sizes=(0.3, 1.0), discovery=discovery, random_circuits=1)

    assert float(result.rows[-1]["faithfulness"] or 0) == pytest.approx(1)
    assert float(result.rows[0]["faithfulness"] or 0) != pytest.approx(1)
    assert (result.rows[0]["n"], result.conditions["pooled spans"]) == (result.conditions["n test"], "data")
    assert "rarer" not in str(result.conditions["dropped test"])


def test_the_curve_measures_each_prompt_as_it_would_alone(run: Run, tmp_path: Path) -> None:
    sizes = (0.05, 0.3, 1.0)
    asked = {"modality": "text", "sizes": sizes, "discovery": {"method": "ap"}, "random_circuits": 1}
    result = run.get("faithfulness_curve", **asked)
    scores = FoldScores.of(run, run.get("discover", modality="text", method="ap")).mean()
    chosen = Survey.of(run).contrasts("text", "test", seed=0, positions="aligned")

    effects = []
    for contrast in chosen.used:
        (batch,) = encode(sized(), [contrast], answers(sized())).batches
        call = sized().capture(batch.clean)
        with sized().record() as recording, torch.no_grad():
            empty = sized().run(sized().capture(batch.counterfactual))
        kept = run_circuits(sized(), call, [scores.top(s).expand(batch.layout) for s in sizes], recording.activations())
        values = [float(logit_diff(one, batch.answers, batch.counter_answers)) for one in [*kept, empty]]
        effects.append(values)

    found = np.array(effects)
    expected = (found[:, :-1] - found[:, -1:]).sum(0) / (found[:, -2] - found[:, -1]).sum()
    assert [row["faithfulness"] for row in result.rows] == pytest.approx(expected.tolist(), abs=1e-3)


def test_overlap_compares_panels_of_many_lengths(run: Run) -> None:
    asked = {"threshold": 0.01, "discovery": {"method": "ap"}, "draws": 20, "resamples": 4}
    result = run.get("overlap", **asked)

    assert {row["segment"] for row in result.rows} == {"data", "query", "generation"}
    assert result.conditions["pooled spans text"] == result.conditions["pooled spans image"] == "data"


def test_intervals_resample_the_prompts_that_the_units_hold(run: Run) -> None:
    chosen = Survey.of(run).contrasts("text", "test", seed=0, positions="aligned")
    units = chosen.units(7)

    assert clusters(units) == [contrast.clean.cluster for unit in units for contrast in unit.payload[1]]
    assert sorted(clusters(units)) == sorted(contrast.clean.cluster for contrast in chosen.used)
    assert clusters(units) != [contrast.clean.cluster for contrast in chosen.used]  # grouped by length
    assert {len(unit.payload[1]) for unit in units} > {7}


@pytest.mark.parametrize("modality", ["text", "image"])
def test_back_patching_patches_the_data_of_each_prompt_as_alone(run: Run, modality: str) -> None:
    survey = Survey.of(run)
    units = survey.items(modality, "test").units(7)  # type: ignore[arg-type]
    asked = {"modality": modality, "windows": (1,), "answers": survey.answers, "batch_size": 7}

    found = torch.cat([sweep(sized(), unit.payload, **asked)["patched"] for unit in units], 1)  # type: ignore[arg-type]

    alone = []
    for one in (one for unit in units for one in unit.payload[1]):
        prompt = encode_item(sized(), one, modality)  # type: ignore[arg-type]
        patched = back_patch(sized(), sized().capture(prompt.inputs), prompt.layout.data, cells(4, (1,)))
        logits = torch.cat([some for _, some in patched])
        alone.append(correct(logits, survey.answers.of([one] * len(logits)), survey.answers.choices))
    assert torch.equal(found, torch.stack(alone, 1))
    assert 0 < float(found.mean()) < 1


def test_back_patching_uses_every_prompt_whatever_its_length(run: Run) -> None:
    result = run.get("back_patching", windows=(1,))

    assert {row["n"] for row in result.rows} == {len(run.task.split("test"))}
    assert {result.conditions[f"dropped {split} {m}"] for split in ("select", "test") for m in ("text", "image")} == {"none"}  # fmt: skip
