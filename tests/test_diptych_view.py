"""Diptych view: what is painted over single prompts is what the method and the circuits say of them."""

import pytest
import torch

from diptych.attribution.ap import ap
from diptych.errors import InputError
from diptych.experiments._side import entering, look
from diptych.experiments._text import from_tensor
from diptych.experiments.diptych_view import shared_contrasts
from diptych.figures import Diptych
from diptych.items import Modality
from diptych.models.encode import encode
from diptych.result import Result
from diptych.run import Run, Store
from diptych.tasks.counting import counting
from laws import TEXT, scores
from prompts import answers, contrasts
from tiny import tiny

pytestmark = pytest.mark.xdist_group("diptych_view")  # one view for all tests of this file

CURVE = {"sizes": (0.02, 0.3, 1.0), "halvings": 3, "random_circuits": 1, "rediscoveries": 2}
ASKED = {"metric": "logit_diff", "reduction": "signed"}


def test_a_node_enters_with_the_smallest_circuit_that_holds_it() -> None:
    ranked, sizes = scores(TEXT, values=9), (0.25, 0.5, 0.75)

    places = entering(ranked, sizes)

    for place, size in enumerate(sizes):
        assert all(torch.equal(found <= place, held) for found, held in zip(places, ranked.top(size), strict=True))
    assert [set(found.unique().tolist()) for found in places] == [{0, 1, 2, 3}] * 2


@pytest.mark.parametrize("family", ["qwen2_vl", "gemma3"])
@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_side_holds_the_scores_of_its_own_prompt(family: str, modality: Modality) -> None:
    vlm, [contrast] = tiny(family), contrasts(modality, 1)
    (batch,) = encode(vlm, [contrast], answers(vlm), batch_size=1).batches
    expected = ap(vlm, batch, **ASKED).scores
    pooled = expected.map(torch.abs).pool(batch.layout.pooled(["data"]))

    side = from_tensor(
        look(
            vlm,
            contrast,
            modality=modality,
            method="ap",
            arguments=ASKED,
            layout=pooled.layout,
            places=entering(pooled, (0.1, 0.4)),
            answers=answers(vlm),
        )["side"]
    )

    circuits = [pooled.top(size).expand(batch.layout) for size in (0.1, 0.4)]
    assert [nodes["kind"] for nodes in side["nodes"]] == ["head", "neuron"]
    for place, (nodes, values) in enumerate(zip(side["nodes"], expected, strict=True)):
        small, large = (list(circuit)[place] for circuit in circuits)
        assert values.abs().max() > 0 and 0 < int(small.sum()) < int(large.sum()) < large.numel()
        torch.testing.assert_close(torch.tensor(nodes["scores"]), values.sum(-1).float(), rtol=6e-3, atol=1e-12)
        assert torch.equal(torch.tensor(nodes["first"]) <= 1, large.any(-1))
        assert [[[node for node, _, _ in named] for named in row] for row in nodes["named"]] == strongest(values)
        for layer, row in enumerate(nodes["named"]):
            assert all((first == 0) == bool(small[layer, pos, n]) for pos, at in enumerate(row) for n, _, first in at)
    assert len(side["panel"]["tokens"]) == batch.layout.length
    held = vlm.image_positions(batch.clean)[0].nonzero().flatten().tolist() if modality == "image" else []
    assert side["cells"] == held and len(held) % side["columns"] == 0


def strongest(values: torch.Tensor) -> list[list[list[int]]]:
    """The three nodes of each layer and position that score most, as far as they have a twentieth of the layer's highest."""
    least = 0.05 * values.abs().amax((1, 2))
    best = values.abs().topk(min(3, values.shape[2]))
    return [
        [[n for n, v in zip(*one, strict=True) if v and v >= least[layer]] for one in zip(*row, strict=True)]
        for layer, row in enumerate(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Result]:
    run = Run("organism/qwen2vl", counting(per_split=24), store=Store(tmp_path_factory.mktemp("runs")))
    return run, run.get("diptych_view", examples=2, discovery={"method": "ap"}, curve=CURVE)


def test_the_view_shows_pairs_that_are_answered_rightly_in_both_panels(found: tuple[Run, Result]) -> None:
    _, result = found
    figure = result.figures[0]

    assert isinstance(figure, Diptych) and len(figure.pairs) == result.conditions["n test"] == 2
    for pair in figure.pairs:
        assert [side.panel.modality for side in pair.sides] == ["text", "image"]
        assert all(side.panel.predicted == pair.answer for side in pair.sides)


def test_the_sizes_are_those_of_both_curves_and_what_is_said_is_theirs(found: tuple[Run, Result]) -> None:
    run, result = found
    figure = result.figures[0]
    assert isinstance(figure, Diptych)
    curves = {
        m: run.get("faithfulness_curve", modality=m, threshold=0.8, discovery={"method": "ap"}, **CURVE)
        for m in ("text", "image")
    }

    assert list(figure.sizes) == sorted({row["size"] for curve in curves.values() for row in curve.rows})
    assert figure.said[-1] == "faithfulness on test: text 1.00; image 1.00"
    minimal = [curve.conditions["minimal size"] for curve in curves.values()]
    assert figure.sizes[figure.start] == max(minimal) > min(minimal)
    assert "the minimal circuit" in figure.said[figure.start]


def test_the_rows_name_the_strongest_head_and_neuron_of_each_segment(found: tuple[Run, Result]) -> None:
    _, result = found

    assert {row["segment"] for row in result.rows} == {"data", "query", "generation"}
    assert all(row["score"] for row in result.rows) and len(result.rows) == 2 * 2 * 3 * 2
    assert {str(row["strongest"]).split()[2] for row in result.rows} == {"head", "neuron"}


def test_a_model_that_is_never_right_in_both_panels_is_refused() -> None:
    with pytest.raises(InputError, match="No test item of 'counting' is answered correctly in both panels"):
        shared_contrasts("counting", {"text": {"a": contrasts("text", 1)[0]}, "image": {}})
