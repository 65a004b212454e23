"""Agreement of attribution with exact patching: its measures by hand, its sample, and one run on a tiny model."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from diptych.errors import InputError
from diptych.experiments.agreement import Measured, pearson, same_sign, sample, shared_top, spearman
from diptych.figures import Bars
from diptych.grid import Grid
from diptych.layout import Layout
from diptych.report.build import build
from diptych.run import Run, Store
from diptych.statistics import resampled_means
from diptych.tasks.counting import counting
from laws import TEXT, scores
from tiny import tiny

pytestmark = pytest.mark.xdist_group("agreement")  # one run for all tests of this file


def test_the_measures_are_those_worked_out_by_hand() -> None:
    real, said = np.array([[1.0, 2.0, -3.0, 0.0]]), np.array([[10.0, -1.0, -40.0, 5.0]])

    assert pearson(real, 2 * real + 1)[0] == pytest.approx(1) and pearson(real, -real)[0] == pytest.approx(-1)
    assert spearman(real, real**3)[0] == pytest.approx(1) and pearson(real, real**3)[0] < 0.99
    assert same_sign(real, said)[0] == pytest.approx(2 / 3)  # the node without an effect does not count
    assert shared_top(real, said, 0.5)[0] == pytest.approx(1 / 2)  # nodes 1 and 2 against 0 and 2
    assert shared_top(real, said, 0.25)[0] == 1


def test_what_has_no_effect_has_no_agreement() -> None:
    nothing, some = np.zeros((1, 4)), np.array([[1.0, 2.0, 3.0, 4.0]])

    assert math.isnan(pearson(nothing, some)[0]) and math.isnan(spearman(nothing, some)[0])
    assert math.isnan(same_sign(nothing, some)[0])


def test_half_of_the_sample_is_strongest_and_none_is_in_the_prefix() -> None:
    ranked = scores(TEXT, seed=3, values=1000, nodes=(4, 6))

    chosen = sample(ranked, 10, seed=0)

    assert chosen.count() == (10, 10)
    assert not chosen.at("prefix").heads.any() and not chosen.at("prefix").neurons.any()
    for values, mask in zip(ranked.without("prefix"), chosen, strict=True):
        assert set(values.flatten().topk(5).values.tolist()) <= set(values[mask].tolist())
        assert float(values[mask].min()) < float(values.flatten().topk(10).values.min())
    assert not sample(ranked, 10, seed=1).equal(chosen)


def test_a_sample_of_more_nodes_than_there_are_is_all_of_them() -> None:
    layout = Layout.of((1, 2), 4)
    ranked = Grid(torch.rand(1, 4, 2), torch.rand(1, 4, 3), layout, "m")

    assert sample(ranked, 100, seed=0).count() == (6, 9)


def test_columns_are_resampled_together_and_clusters_whole() -> None:
    columns = np.array([[1.0, 1.0, 4.0], [2.0, 2.0, 8.0]])

    drawn = resampled_means(columns, ["a", "a", "b"], draws=50)

    assert drawn.shape == (50, 2)
    np.testing.assert_allclose(drawn[:, 1], 2 * drawn[:, 0])
    assert set(drawn[:, 0].round(6)) == {1.0, 2.0, 4.0}


def test_a_perfect_method_agrees_perfectly_and_noise_does_not() -> None:
    chance = np.random.default_rng(0)
    real = chance.normal(size=(40, 12)) + 3 * chance.normal(size=(40, 1))
    values = {"exact": real, "perfect": real, "noise": chance.normal(size=(40, 12))}
    measured = Measured(values, heads=40, clusters=[f"c{n}" for n in range(12)], top=0.25, seed=0)

    perfect, noise = measured.rows("heads")

    assert [perfect[name] for name in ("Pearson", "Pearson low", "Spearman", "sign agreement")] == pytest.approx(
        [1] * 4
    )
    assert perfect["overlap of the strongest"] == 1
    assert abs(float(noise["Pearson"] or 0)) < 0.5 and float(noise["Pearson low"] or 0) < 0 < float(
        noise["Pearson high"] or 0
    )


def open_run(tmp_path: Path, load=lambda source: tiny("qwen2_vl")) -> Run:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return Run(str(folder), counting(per_split=24, style="shapes"), store=Store(tmp_path / "runs"), load=load)


def test_the_experiment_says_how_many_nodes_and_prompts_it_patched(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    result = run.get("agreement", modality="text", nodes=6, prompts=3)

    assert [(row["kind"], row["method"]) for row in result.rows] == [
        (kind, method) for kind in ("heads", "neurons") for method in ("ap", "ap_ig", "relp")
    ]
    assert {(row["nodes"], row["prompts"]) for row in result.rows} == {(6, 3)}
    assert result.conditions["prompts patched"] == 3 and "dropped test" in result.conditions
    assert all(0.3 < float(row["Pearson"] or 0) <= 1 for row in result.rows if row["method"] == "ap_ig")
    assert [type(figure) for figure in result.figures] == [Bars, Bars]
    assert "Agreement with exact patching" in build([result], tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_method_that_refuses_the_model_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    def gated(source):
        vlm = tiny.__wrapped__("llava")  # one of its own
        vlm.layers[0].self_attn.gate = torch.nn.Identity()
        return vlm

    result = open_run(tmp_path, gated).get("agreement", modality="text", nodes=4, prompts=2)

    assert {row["method"] for row in result.rows} == {"ap", "ap_ig"}
    assert any("relp is left out: RelP has no rule" in note for note in result.notes)


def test_methods_are_different_ones_and_not_exact_patching_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="methods are ap, exact; expected different ones"):
        open_run(tmp_path).get("agreement", methods=("ap", "exact"))
