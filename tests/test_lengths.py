"""Prompts of different lengths and pictures of different sizes, through encoding, attribution and ablation."""

from dataclasses import replace

import pytest
import torch

from diptych.attribution.ap import ap
from diptych.errors import InputError
from diptych.grid import Grid
from diptych.interventions import run_circuits
from diptych.items import Contrast, Item
from diptych.models.encode import encode, encode_item
from prompts import Noise, answers
from sized import SIZES, contrasts, item, sized
from tiny import tiny


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
