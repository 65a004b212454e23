"""Similarity and the lens as experiments: what is compared with what, and that each number is the one it says."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from diptych.errors import InputError
from diptych.experiments._lens import LAST, Read, since
from diptych.experiments._lens import of as readings
from diptych.experiments._lens import summary as told_by_lens
from diptych.experiments._pairs import Recorded, blocks, paired_items
from diptych.experiments._similarity import BEYOND, CLOSEST, Compared, of, summary
from diptych.experiments._text import from_tensor
from diptych.experiments.logit_lens import Pair, read, show
from diptych.experiments.similarity import compare, sums
from diptych.figures import PictureMaps
from diptych.items import MODALITIES, Item, Task
from diptych.models.encode import collate, encode_item
from diptych.result import Result
from diptych.run import Run, Store
from diptych.similarity import closest, closest_across
from diptych.tasks.counting import counting
from prompts import Noise, answers, item
from tiny import FAMILIES, tiny

ITEMS = [item(number) for number in range(4)]


def results(folder: Path, batch_size: int) -> dict[str, Result]:
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "config.json").write_text("{}")
    task = counting(per_split=9, style="shapes")
    made = {"load": lambda source: tiny("qwen2_vl"), "batch_size": batch_size}
    run = Run(str(folder / "tiny"), task, store=Store(folder / "runs"), **made)
    return {name: run.get(name) for name in ("similarity", "logit_lens")}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    return results(tmp_path_factory.mktemp("five"), 5)


def test_results_say_their_conditions_and_do_not_depend_on_the_batch_size(
    found: dict[str, Result], tmp_path: Path
) -> None:
    again = results(tmp_path, 16)

    for name, result in found.items():
        assert result.conditions["n test"] and result.conditions["dropped test"], name
        assert {"interval", "seed", "split", "model_digest"} <= set(result.conditions), name
        assert result.rows == again[name].rows and result.figures == again[name].figures, name
        assert result.summary and len(result.notes) > 1, name


def test_the_similarity_of_each_layer_is_told_with_its_baselines(found: dict[str, Result]) -> None:
    rows = found["similarity"].rows

    for measure in ("raw cosine", "centred cosine"):
        for row in of(rows, measure):
            value, low, high = (float(row[name] or 0) for name in ("value", "low", "high"))
            others = [float(row[f"other pairs{end}"] or 0) for end in (" low", "", " high")]
            assert -1 <= low <= value <= high <= 1 and others == sorted(others)
            assert row["n"] == 9
    assert [row["layer"] for row in of(rows, BEYOND)] == [0, 1, 2, 3]
    assert all(float(row["other pairs"] or 0) == pytest.approx(0, abs=0.2) for row in of(rows, "CKA"))
    assert {figure.title for figure in found["similarity"].figures} >= {"Text layer against image layer"}
    closest, low, high = (
        float(found["similarity"].conditions[f"closest layer{end}"]) for end in ("", ", low", ", high")
    )
    special = [float(row["value"] or 0) for row in of(rows, BEYOND)]
    assert special[int(closest)] == max(special) and 0 <= low <= closest <= high <= 3


def test_the_picture_under_the_lens_has_a_word_and_a_number_in_every_cell(found: dict[str, Result]) -> None:
    (figure,) = (figure for figure in found["logit_lens"].figures if isinstance(figure, PictureMaps))

    assert len(figure.maps) == 2 * 3 and len({one.picture for one in figure.maps}) == 2
    for one in figure.maps:
        assert (len(one.values), len(one.values[0])) == (2, 2)
        assert all(word for row in one.words for word in row)
        assert all(0 <= float(value or 0) <= 1 for row in one.values for value in row)


@torch.no_grad()
def test_every_picture_of_a_block_is_put_beside_every_text_of_it() -> None:
    vlm = tiny("llava")
    means = torch.randn(2, 4, 48)

    values = compare(vlm, ITEMS, means=means)

    text = Recorded.of(vlm, ITEMS[2], "text").states(vlm)
    image = Recorded.of(vlm, ITEMS[1], "image").states(vlm)
    moved = text - means[0][:, None], image - means[1][:, None]
    assert image.shape == (4, 16, 48)  # of 4 × 4 tokens, without the row breaks
    torch.testing.assert_close(values["raw"][1, 2], closest(text, image))
    torch.testing.assert_close(values["centred"][1, 2], closest(*moved))
    assert (values["raw"] - values["centred"]).abs().min(-1).values.max() > 1e-3
    torch.testing.assert_close(values["image"][1], image.mean(1))
    torch.testing.assert_close(values["across"].diagonal(dim1=1, dim2=2), values["centred"].diagonal().mT)
    others = [Recorded.of(vlm, ITEMS[i], "text").states(vlm) - means[0][:, None] for i in (0, 2, 3)]
    by_hand = torch.stack([closest_across(some, moved[1]) for some in others]).mean(0)
    torch.testing.assert_close(values["across others"][1], by_hand)


def test_texts_of_the_same_words_or_cluster_are_no_baseline() -> None:
    twin = Item("twin", ITEMS[0].text, Noise("twin"), "How many ?", "3", cluster="item-1")
    related = Item("related", "5 6 7 8", Noise("related"), "How many ?", "3", cluster="item-1")

    values = compare(tiny("qwen2_vl"), [*ITEMS[:2], twin, related], means=torch.zeros(2, 4, 64))

    assert values["other"].tolist() == [
        [False, True, False, True],
        [True, False, False, False],
        [False, False, False, False],
        [True, False, False, False],
    ]


@torch.no_grad()
def test_the_mean_is_that_of_all_data_tokens_of_other_items() -> None:
    vlm = tiny("gemma3")

    values = sums(vlm, ITEMS[:2])

    for index, modality in enumerate(MODALITIES):
        tokens = torch.cat([Recorded.of(vlm, one, modality).states(vlm) for one in ITEMS[:2]], 1)
        assert values["count"][index] == tokens.shape[1]
        torch.testing.assert_close(values["sum"][index], tokens.double().sum(1))


def compared(special: float, items: int = 12, layers: int = 3) -> Compared:
    """Cosines around 0.5 in blocks of four, own ones higher by `special` at layer 1."""
    chance = torch.Generator().manual_seed(0)
    units, parts = [], []
    for start in range(0, items, 4):
        cosines = 0.5 + 0.05 * torch.randn(4, 4, layers, generator=chance)
        cosines[torch.arange(4), torch.arange(4), 1] += special
        across = 0.01 * torch.randn(4, layers, layers, generator=chance)
        across[:, 2, 1] += special
        pooled = {name: torch.randn(4, layers, 6, generator=chance) for name in ("text", "image")}
        other = ~torch.eye(4, dtype=torch.bool)
        units.append(
            {"raw": cosines, "centred": cosines, "across": across, "across others": 0 * across, "other": other} | pooled
        )
        parts.append([item(start + n) for n in range(4)])
    return Compared.of(units, parts, 50, 0)


def test_what_is_special_to_pairs_is_found_at_its_layer_and_told() -> None:
    view = compared(0.3)
    rows = view.rows()

    beyond = of(rows, BEYOND)[1]
    assert float(beyond["low"] or 0) > 0.2 and float(beyond["value"] or 0) == pytest.approx(0.3, abs=0.05)
    assert [row["value"] for row in of(rows, CLOSEST)][2] == 1
    own, others = (of(rows, "raw cosine")[1][name] for name in ("value", "other pairs high"))
    assert float(own or 0) > float(others or 0)
    assert "closest to the words of their own item, against those of others, after layer 1 (95%: 1 to 1" in summary(
        "t", rows, view
    )


def test_pairs_without_anything_special_are_not_told_to_be_close() -> None:
    view = compared(0.0)

    assert view.anywhere.p > 0.05
    assert summary("t", view.rows(), view).startswith("At no layer are image states of t surely closer")
    assert view.shuffled["raw"].mean() == pytest.approx(view.others("raw").mean(), abs=0.01)
    assert view.shuffled["raw"].std() > 0


def test_items_without_another_in_their_block_are_counted() -> None:
    whole = compared(0.1)
    unit = {"raw": torch.zeros(2, 2, 1), "centred": torch.zeros(2, 2, 1), "across": torch.zeros(2, 1, 1)}
    unit |= {"across others": torch.zeros(2, 1, 1), "text": torch.randn(2, 1, 3), "image": torch.randn(2, 1, 3)}
    lone = unit | {"other": torch.zeros(2, 2, dtype=torch.bool)}
    both = unit | {"other": torch.tensor([[False, True], [True, False]])}

    found = Compared.of([lone, both], [ITEMS[:2], ITEMS[2:]], 5, 0)

    assert (found.alone, len(found.clusters), whole.alone) == (2, 2, 0)
    assert found.conditions()["without other data in their block"] == 2
    with pytest.raises(InputError, match="None of 2 items has another one with other data in its block"):
        Compared.of([lone], [ITEMS[:2]], 5, 0)


def test_blocks_hold_every_item_once_and_at_least_as_many_as_asked_for() -> None:
    parts = blocks(range(21), 8, seed=3)  # type: ignore[arg-type]

    assert sorted(number for part in parts for number in part) == list(range(21))  # type: ignore[type-var]
    assert sorted(map(len, parts)) == [10, 11]
    assert [len(part) for part in blocks(range(5), 8, seed=0)] == [5]  # type: ignore[arg-type]


def test_a_task_without_both_panels_is_refused() -> None:
    alone = Task("t", 1, tuple(Item(f"i{n}", f"{n}", None, "How many ?", str(n)) for n in range(9)), tuple("012345678"))

    with pytest.raises(InputError, match="0 of 3 items of split 'test' of task 't' have both panels"):
        paired_items(alone, "test")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_reading_is_the_model_s_own_probability(family: str) -> None:
    vlm, pair = tiny(family), Pair(ITEMS[0], ITEMS[1])
    tokens = answers(vlm)

    values = read(vlm, [pair], answers=tokens)["read"][0]  # [panel, layer, place, token set]

    for panel, modality in enumerate(MODALITIES):
        own = vlm.run(vlm.capture(collate([encode_item(vlm, pair.item, modality)]))).softmax(-1)[0]
        for index, one in enumerate((pair.item, pair.counterfactual)):
            assert float(values[panel, -1, 1, index]) == pytest.approx(float(own[tokens.tokens[one.answer]]), rel=1e-4)
    assert values.shape == (2, 4, 2, 4) and (values >= 0).all() and (values <= 1).all()


def test_words_that_both_items_have_are_not_read() -> None:
    vlm = tiny("qwen2_vl")
    same = Item("same", ITEMS[0].text, Noise("same"), ITEMS[0].query, "9")

    values = read(vlm, [Pair(ITEMS[0], same)], answers=answers(vlm))["read"][0]

    assert values[..., 2:].isnan().all() and not values[..., :2].isnan().any()


def test_a_picture_without_a_grid_is_not_drawn_and_the_reason_is_told() -> None:
    two = Item("two", "1 2", (Noise("a"), Noise("b")), "How many stars ?", "3")

    told = from_tensor(show(tiny("qwen2_vl"), Pair(two, ITEMS[1]))["map"])

    assert told["reason"].startswith("No picture is drawn. Item 'two' has 2 pictures")


def test_where_the_counterfactual_has_all_words_no_probability_is_drawn() -> None:
    vlm = tiny("qwen2_vl")

    known, none = (from_tensor(show(vlm, Pair(ITEMS[0], other))["map"])["maps"] for other in (ITEMS[1], ITEMS[0]))

    assert all(value > 0 for one in known for value in one["values"])
    assert all(set(one["values"]) == {None} and one["words"] for one in none)
    assert len(none[0]["values"]) == len(known[0]["values"]) > 1


def test_the_highest_probability_is_the_one_told_whatever_the_counterfactual_s() -> None:
    values = np.full((8, 2, 3, 2, 4), 0.1)
    values[:, 1, 1, 0, 2] = 0.4  # from image, layer 1: the largest difference
    values[:, 1, 2, 0, 2:] = 0.6, 0.55  # layer 2: the highest probability
    read_out = Read(values, [f"c{n}" for n in range(8)], 0)

    said = told_by_lens("t", read_out.rows(), read_out)

    assert "a mean probability of 0.600 at most (after layer 2; the counterfactual's: 0.550)" in said


def test_an_answer_is_sure_from_the_layer_behind_the_last_unsure_one() -> None:
    chance = np.random.default_rng(0)
    values = 0.1 + 0.01 * chance.random((20, 2, 4, 2, 4))
    values[:, 0, [0, 2, 3], 1, 0] += 0.3  # from text: sure, unsure, sure, sure
    values[:10, :, :, :, 2:] = math.nan
    read_out = Read(values, [f"c{n}" for n in range(20)], 0)

    rows = read_out.rows()

    assert since(readings(rows, "text", LAST)) == 2
    assert since(readings(rows, "image", LAST)) is None
    assert {row["n"] for row in rows if str(row["reading"]).startswith("words")} == {10}
    assert {row["n"] for row in readings(rows, "text", LAST)} == {20}
