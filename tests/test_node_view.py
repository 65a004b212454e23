"""Node view: heads of the circuit, where they look and what they write, each against the model itself."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.contributions import direct_contributions
from diptych.errors import InputError
from diptych.experiments._heads import Chosen, choose, depth_map, in_circuit
from diptych.experiments._picture import map_over, picture_map, picture_positions
from diptych.experiments._text import from_tensor, to_tensor
from diptych.experiments._view import View
from diptych.experiments.node_view import look, show
from diptych.figures import PictureMaps
from diptych.grid import Circuit, Grid, Scores
from diptych.items import Item
from diptych.layout import SEGMENTS
from diptych.models.attention import attention_weights
from diptych.models.encode import encode, encode_item
from diptych.models.load import load
from diptych.models.parts import drawn_grid
from diptych.models.vlm import VLM
from diptych.result import Result
from diptych.run import Run, Store
from diptych.run.experiment import Experiment
from diptych.statistics import cluster_bootstrap
from diptych.tasks.counting import counting
from prompts import Noise, answers, batch, contrasts, item
from tiny import FAMILIES, tiny


def some_scores(vlm: VLM) -> Scores:
    """Random scores of all nodes of an image prompt, none in the prefix."""
    layout = batch(vlm, "image", 1).layout
    chance = torch.Generator().manual_seed(0)
    shapes = ((len(vlm.layers), layout.length, sites[0].count) for sites in (vlm.sites.heads, vlm.sites.neurons))
    heads, neurons = (torch.rand(*shape, generator=chance) for shape in shapes)
    return Grid(heads, neurons, layout, vlm.digest, vlm.sites.there).without("prefix")


def looked(vlm: VLM, circuit: Circuit, chosen: list[Chosen]) -> dict[str, torch.Tensor]:
    return look(vlm, (0, contrasts("image", 2)), chosen=chosen, circuit=circuit, answers=answers(vlm))


def test_heads_are_chosen_by_their_score_in_the_circuit_per_segment() -> None:
    scores = some_scores(tiny("qwen2_vl"))
    circuit = scores.top(0.2)

    found = choose(scores, circuit, 2)

    assert [one.segment for one in found] == ["data", "data", "query", "query", "generation", "generation"]
    for segment in SEGMENTS[1:]:
        sums = (scores.heads * circuit.heads)[:, scores.layout.segment(segment)].sum(1)
        best = sums.flatten().topk(2).indices.tolist()
        assert [(one.layer, one.head) for one in found if one.segment == segment] == [divmod(i, 4) for i in best]
    assert all(one.rows(circuit, scores.layout) for one in found)


def test_a_head_looks_from_its_own_positions_of_the_circuit() -> None:
    scores = some_scores(tiny("qwen2_vl"))
    circuit = scores.map(torch.zeros_like).map(lambda nodes: nodes > 0)
    circuit.heads[2, [1, 4, 5], 3] = True
    data = range(*scores.layout.data.indices(99))

    assert Chosen("data", 2, 3, 1.0).rows(circuit, scores.layout) == [t for t in (1, 4, 5) if t in data]
    assert choose(scores, circuit, 3)[0].name == "data: layer 2, head 3"


def test_a_circuit_without_heads_behind_the_prefix_is_refused() -> None:
    scores = some_scores(tiny("qwen2_vl"))
    empty = replace(scores.top(0.1), heads=torch.zeros_like(scores.heads, dtype=torch.bool))

    with pytest.raises(InputError, match="neurons and no head in data, query or generation"):
        choose(scores, empty, 2)


def test_the_map_of_heads_counts_each_head_once_per_segment() -> None:
    circuit = some_scores(tiny("qwen2_vl")).top(0.3)

    figure = depth_map(circuit, "image")

    for row, segment in zip(figure.values, figure.y, strict=True):
        assert sum(int(value or 0) for value in row) == len(in_circuit(circuit, segment)) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_the_mean_over_the_head_s_positions_and_sums_to_one(family: str) -> None:
    vlm = tiny(family)
    scores = some_scores(vlm)
    circuit = scores.top(0.2)
    chosen = choose(scores, circuit, 2)

    values = looked(vlm, circuit, chosen)

    (some,) = encode(vlm, contrasts("image", 2), answers(vlm)).batches
    weights = attention_weights(vlm, vlm.capture(some.clean), {one.layer: range(4) for one in chosen})
    for index, one in enumerate(chosen):
        rows = weights[one.layer][:, one.head, one.rows(circuit, some.layout)].mean(1)
        by_hand = torch.stack([rows[:, some.layout.segment(segment)].sum(-1) for segment in SEGMENTS], -1)
        torch.testing.assert_close(values["attention"][:, index], by_hand)
    ones = torch.ones(2, len(chosen))
    torch.testing.assert_close(values["attention"].sum(-1), ones)
    torch.testing.assert_close(values["even"].sum(-1), ones)
    assert (values["attention"] - values["even"]).abs().max() > 0.05


def test_an_even_spread_counts_the_positions_that_may_be_seen() -> None:
    vlm = tiny("llava")
    circuit = some_scores(vlm).top(1.0)
    layout = circuit.layout

    values = looked(vlm, circuit, [Chosen("generation", 1, 2, 1.0)])

    shares = [(layout.segment(name).stop - layout.segment(name).start) / layout.length for name in SEGMENTS]
    torch.testing.assert_close(values["even"][0, 0], torch.tensor(shares))


def test_what_heads_write_is_their_direct_contribution() -> None:
    vlm = tiny("qwen2_vl")
    circuit = some_scores(vlm).top(0.2)

    values = looked(vlm, circuit, [Chosen("generation", 1, 2, 1.0)])

    (some,) = encode(vlm, contrasts("image", 2), answers(vlm)).batches
    parts = direct_contributions(vlm, vlm.capture(some.clean), some.answers, some.counter_answers)
    torch.testing.assert_close(values["direct"], parts.heads)
    torch.testing.assert_close(values["direct"].sum((1, 2)) + values["others"].sum(1), parts.total)
    assert from_tensor(values["reasons"]) == []


def test_what_cannot_be_read_is_left_out_with_the_reason() -> None:
    """lfm2 has convolutions, which have no heads; its attention layers have weights, but parts do not add up."""
    vlm = load("random:lfm2_vl")
    layer, other = (
        next(m.layer for m in vlm.sites.mixers if (m.mixing == "attention") is is_so) for is_so in (True, False)
    )
    circuit = some_scores(vlm).top(1.0)

    values = looked(vlm, circuit, [Chosen("query", other, 0, 1.0), Chosen("query", layer, 0, 1.0)])

    assert values["attention"][:, 0].isnan().all() and not values["attention"][:, 1].isnan().any()
    assert values["direct"].isnan().all()
    reasons = from_tensor(values["reasons"])
    assert len(reasons) == 2 and any("has no attention weights" in reason for reason in reasons)
    unread = values | {name: values[name][:, :1] for name in ("attention", "even")}
    view = View.of([unread], [unread], [Chosen("query", other, 0, 1.0)], circuit, ["a", "b"], 0)
    assert [note for note in view.notes() if note.startswith("Not shown: ")] == [f"Not shown: {r}" for r in reasons]
    assert view.summary("t", "image").endswith(
        "neither attention nor direct contributions can be read (see the notes)."
    )
    assert view.figures("image") == [] and view.conditions() == {}


def view(attention: list[list[float]], written: float = 0.5) -> View:
    """Four prompts; a head of the query and one of the last position, with this attention to the four segments."""
    scores = some_scores(tiny("qwen2_vl"))
    circuit = scores.map(torch.zeros_like).map(lambda nodes: nodes > 0)
    circuit.heads[1, scores.layout.query.start, 0] = circuit.heads[2, -1, 3] = True
    contributions = np.full((4, 4, 4), 0.1)
    contributions[:, 2, 3] = written
    spread = np.tile(np.array([0.1, 0.5, 0.4, 0.0]), (4, 2, 1))
    mass = np.tile(np.array(attention), (4, 1, 1))
    chosen = [Chosen("query", 1, 0, 2.0), Chosen("generation", 2, 3, 1.0)]
    others = np.tile(np.array([1.0, 0.2, 0.0]), (4, 1))
    beyond = (np.array(attention) - spread[0])[:, 1]
    return View(chosen, circuit, mass, spread, beyond, contributions, others, [], list("abcd"), 0)


def test_the_view_names_the_head_that_reads_more_than_an_even_spread_and_sums_what_is_written() -> None:
    found = view([[0.1, 0.6, 0.3, 0.0], [0.0, 0.9, 0.1, 0.0]])

    assert [one.segment for one in found.readers(2)] == ["generation", "query"]
    own, other = found.share()
    assert own == pytest.approx(np.full(4, 0.5)) and other == pytest.approx(np.full(4, 1.5))
    assert found.total() == pytest.approx(0.5 + 1.5 + 1.2)
    said = found.summary("t", "image")
    assert (
        "(generation: layer 2, head 3) puts 0.90 [0.90, 0.90] of its attention there on test, 0.50 if spread evenly"
        in said
    )
    assert "its heads at the last position (1) write +0.50 [+0.50, +0.50] of the +3.20 logits" in said
    reader, *logits = found.conditions().items()
    assert reader == ("reads the data most on select", "generation: layer 2, head 3")
    assert [name for name, _ in logits] == ["logits", "logits of the circuit's heads", "logits of other heads"]
    assert [value for _, value in logits] == pytest.approx([3.2, 0.5, 1.5])
    assert "all other heads (15) +1.50 [+1.50, +1.50]" in said
    rows = found.rows()
    assert [row["value"] for row in rows if row["number"] == "direct contribution"] == [pytest.approx(0.5)]
    assert len(rows) == 2 * 4 + 1


def test_the_head_that_reads_most_is_chosen_where_it_is_not_reported() -> None:
    test = view([[0.1, 0.6, 0.3, 0.0], [0.0, 0.9, 0.1, 0.0]])
    masses = ([[0.1, 0.8, 0.1, 0.0], [0.0, 0.7, 0.3, 0.0]], [[0.1, 0.8, 0.1, 0.0], [0.0, 0.6, 0.4, 0.0]])
    select = [
        {"attention": torch.tensor([mass]), "even": torch.tensor([[[0.1, 0.5, 0.4, 0.0]] * 2])} for mass in masses
    ]
    unit = {name: torch.from_numpy(getattr(test, name)) for name in ("attention", "even", "direct", "others")}

    found = View.of([unit | {"reasons": to_tensor([])}], select, test.chosen, test.circuit, list("abcd"), 0)

    assert found.beyond == pytest.approx([0.3, 0.15])
    assert [one.segment for one in found.readers(2)] == ["query", "generation"]
    assert "on select (query: layer 1, head 0) puts 0.60 [0.60, 0.60] of its" in found.summary("t", "image")


def test_what_heads_write_together_is_told_with_its_interval_over_clusters() -> None:
    found = view([[0.1, 0.6, 0.3, 0.0], [0.0, 0.9, 0.1, 0.0]])
    found.direct[:, 2, 3] = [0.2, 0.5, 0.8, 0.5]

    (said,) = found._said_of_writers()

    estimate = cluster_bootstrap(found.direct[:, 2, 3], found.clusters, seed=0)
    assert 0.1 < estimate.low < 0.4 and 0.6 < estimate.high < 0.9
    assert f"write +0.50 [{estimate.low:+.2f}, {estimate.high:+.2f}]" in said


def test_a_circuit_of_all_heads_has_no_others() -> None:
    found = view([[0.1, 0.6, 0.3, 0.0], [0.0, 0.9, 0.1, 0.0]])
    found.circuit.heads[:, -1] = True

    (said,) = found._said_of_writers()

    assert said.endswith("between answer and counter-answer, all heads are in the circuit")
    assert "(16) write +2.00" in said and found._direct(found.rows()[-1:], "image").levels == []


def test_heads_that_are_not_there_are_no_other_heads() -> None:
    found = view([[0.1, 0.6, 0.3, 0.0], [0.0, 0.9, 0.1, 0.0]])
    fewer = replace(found.circuit, there=((4, 2, 4, 4), found.circuit.there[1]))
    found.direct[:, 1, 2:] = 0

    shown = replace(found, circuit=fewer)

    assert "all other heads (13) +1.30" in shown._said_of_writers()[0]
    ((level, _),) = shown._direct(shown.rows()[-1:], "image").levels
    assert level == pytest.approx(0.1)


@torch.no_grad()
@pytest.mark.parametrize(("family", "grid"), [("qwen2_vl", (2, 2)), ("llava", (4, 4)), ("gemma3", (2, 2))])
def test_attention_to_the_picture_is_drawn_where_its_tokens_lie(family: str, grid: tuple[int, int]) -> None:
    vlm = tiny(family)
    circuit = some_scores(vlm).top(1.0)
    (contrast,) = contrasts("image", 1)
    one = Chosen("generation", 1, 2, 1.0)

    told = from_tensor(show(vlm, contrast, readers=[one], circuit=circuit)["map"])

    prompt = encode_item(vlm, contrast.clean, "image")
    places = picture_positions(vlm, prompt)
    weights = attention_weights(vlm, vlm.capture(prompt.inputs), {1: [2]})[1][0, 0, -1, places]
    assert (told["rows"], told["columns"]) == grid
    drawn = picture_map("m", told, told["maps"][0]["values"])
    torch.testing.assert_close(torch.tensor(drawn.values), weights.view(grid))


def test_a_wide_picture_has_its_own_rows_and_columns() -> None:
    """Rows are told by Pixtral's breaks, as the picture is resized to 32 × 16."""

    class Wide(Noise):
        def open(self) -> Image.Image:
            return super().open().resize((64, 32))

    prompt = encode_item(tiny("llava"), Item("wide", "1 2", Wide("wide"), "How many stars ?", "3"), "image")

    drawn = map_over(tiny("llava"), prompt)

    assert (drawn["rows"], drawn["columns"]) == (2, 4)


@pytest.mark.parametrize(("size", "fits"), [((40, 80), True), ((30, 80), True), ((80, 80), False), ((10, 100), False)])
def test_positions_whose_grid_is_not_of_the_picture_s_shape_are_not_drawn(size: tuple[int, int], fits: bool) -> None:
    held = [0, 1, 2, 3, 5, 6, 7, 8]  # two rows of four, with a break between them

    if fits:
        assert drawn_grid(item(1), held, {}, size) == (2, 4)
    else:
        with pytest.raises(InputError, match=r"lie in 2 rows and 4 columns, which is not the shape of its"):
            drawn_grid(item(1), held, {}, size)


def test_of_a_picture_that_is_cropped_the_part_that_the_model_sees_is_drawn() -> None:
    vlm = replace(tiny("gemma3"))
    pictures = vlm.processor.image_processor
    prompt = encode_item(vlm, item(1), "image")
    before = map_over(vlm, prompt)

    try:
        pictures.do_center_crop, pictures.crop_size = True, {"height": 16, "width": 32}
        cropped = map_over(vlm, prompt)
    finally:
        pictures.do_center_crop = False

    assert cropped["picture"] != before["picture"] and cropped["rows"] == before["rows"]


def with_minimal_circuit(run: Run, size: float | None, **asked: Any) -> None:
    """Store a curve that found a minimal circuit of this size: a random model has none of its own."""
    curve = Experiment.find("faithfulness_curve")
    _, plain = curve.bind({"modality": "image", "threshold": 0.8, "metric": "logit_diff", "seed": 0} | asked)
    identity = run._identify(curve, plain)
    told = {"minimal size": size, "ranked by": "ap, abs"}
    run.store.open(identity).finish(Result(identity.to_json(), "A curve.", [], told), {})


def opened(folder: Path, size: float | None) -> Run:
    (folder / "tiny").mkdir()
    (folder / "tiny" / "config.json").write_text("{}")
    task = counting(per_split=24, style="shapes")
    run = Run(str(folder / "tiny"), task, store=Store(folder / "runs"), load=lambda source: tiny("qwen2_vl"))
    with_minimal_circuit(run, size)
    return run


def test_the_view_of_a_circuit_shows_heads_numbers_and_pictures(tmp_path: Path) -> None:
    found = opened(tmp_path, 0.1).get("node_view", heads=2, examples=1)

    assert found.conditions["circuit size"] == 0.1 and found.conditions["n test"] and found.conditions["n select"]
    (maps,) = (figure for figure in found.figures if isinstance(figure, PictureMaps))
    assert len(maps.maps) == 2 and maps.maps[0].values != maps.maps[1].values
    assert {row["segment"] for row in found.rows} <= set(SEGMENTS[1:])
    for name in {(row["segment"], row["layer"], row["head"]) for row in found.rows}:
        own = [row for row in found.rows if (row["segment"], row["layer"], row["head"]) == name]
        seen = [float(row["value"] or 0) for row in own if str(row["number"]).startswith("attention")]
        assert len(seen) == 4 and math.fsum(seen) == pytest.approx(1, abs=1e-5)
    assert any(row["number"] == "direct contribution" for row in found.rows)


def test_without_a_minimal_circuit_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no image circuit to look at: A curve. Lower the threshold"):
        opened(tmp_path, None).get("node_view")
