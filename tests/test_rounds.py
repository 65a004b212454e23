"""Rounds: prompts are scored until the circuits of two halves of them agree, whoever does the work and however often."""

import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diptych.experiments._folds import FoldScores
from diptych.experiments._measured import as_scored, helpful_first
from diptych.experiments._rounds import LEFT, Rounds, Scored, counts, discovered_on, first
from diptych.experiments._survey import Selection, Survey
from diptych.items import Contrast
from diptych.layout import Layout
from diptych.run import Run, Store
from diptych.run.unit import Unit, Values, Work
from diptych.tasks.counting import counting
from tiny import tiny

STOP = 0.4
"""An agreement that the second of three rounds reaches."""
ASKED = {"modality": "text", "method": "ap", "folds": 2, "stable_size": 0.2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    (path / "config.json").write_text("{}")
    return path


def open_run(folder: Path, store: Path, **options: Any) -> Run:
    task = counting(per_split=24, style="shapes")
    return Run(str(folder), task, store=Store(store), load=lambda source: tiny("qwen2_vl"), **options)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(folder, tmp_path_factory.mktemp("runs"))


def grids(run: Run, stable: float | None) -> dict[str, torch.Tensor]:
    return run.grids(run.get("discover", **ASKED, stable=stable))


def all_prompts(run: Run) -> Selection[Contrast]:
    """Those of the whole selection, most of which a random model answers wrongly."""
    return Survey.of(run).donors("text", "discover", seed=0)


def scores(heads: list[list[float]], prompts: list[int]) -> FoldScores:
    """One layer with a head at each of four positions, scored so in each fold; neurons, four times as many, are alike."""
    values = torch.tensor(heads, dtype=torch.float32).view(-1, 1, 4, 1)
    neurons = torch.arange(16.0).view(1, 4, 4).expand(len(heads), 1, 4, 4)
    return FoldScores(values, neurons, torch.tensor(prompts), Layout.of((1, 2), 4), "m", ((1,), (4,)))


def rounds(asked: float | None = 0.5, size: float = 0.5, folds: int = 4, reduction: str = "l1") -> Rounds:
    return Rounds(asked, size, folds, helpful_first("logit_diff", reduction))


def test_rounds_grow_until_no_prompt_is_left() -> None:
    assert list(counts(60, 8)) == [16, 24, 36, 54, 60]
    assert list(counts(16, 8)) == [16] and list(counts(3, 8)) == [3]


def test_agreement_is_the_jaccard_index_of_even_and_odd_folds_by_hand() -> None:
    # means, weighted by prompts: even (6, 3, 3, 2.3), odd (1, 5, 6, 0): top halves {0, 1} (ties by index) and {1, 2}
    four = scores([[8, 0, 4, 0], [1, 5, 6, 0], [2, 9, 1, 7], [9, 9, 0, 9]], [2, 3, 1, 0])

    assert rounds().agreement(four) == pytest.approx(1 / 3)
    assert rounds(size=0.25).agreement(four) == 0 and rounds(size=1.0).agreement(four) == 1


def test_signed_scores_are_ranked_as_their_circuits_are() -> None:
    two = scores([[-3, -2, 5, 6], [-3, -2, 9, 1]], [1, 1])

    assert rounds(folds=2, size=0.25, reduction="signed").agreement(two) == 1
    assert rounds(folds=2, size=0.25, reduction="l1").agreement(two) == 0


def test_an_empty_half_agrees_with_nothing_and_a_kind_without_nodes_says_nothing() -> None:
    lone = scores([[3, 2, 1, 0], [3, 2, 1, 0]], [2, 0])
    apart = scores([[3, 2, 1, 0], [0, 1, 2, 3]], [1, 1])

    assert math.isnan(rounds(folds=2).agreement(lone)) and rounds(folds=2).agreement(apart) == 0
    assert rounds(folds=2, size=0.2).agreement(apart) == 1  # no head is a fifth of four
    assert math.isnan(rounds(folds=2, size=0.01).agreement(apart))


@pytest.mark.parametrize("folds", [2, 8])
def test_the_first_prompts_hold_of_each_fold_its_share_and_are_part_of_more(run: Run, folds: int) -> None:
    everything = all_prompts(run)
    task, ones = everything.task, everything.used
    chosen = replace(everything, used=[one for i, one in enumerate(ones) if i % 3 == 0 or task.fold(one.clean, 2)])
    whole = Counter(chosen.task.fold(contrast.clean, folds) for contrast in chosen.used)
    before: set[str] = set()

    for count in range(1, len(chosen.used) + 1):
        some = first(chosen, count, folds)
        held = Counter(chosen.task.fold(contrast.clean, folds) for contrast in some.used)
        ids = [contrast.clean.id for contrast in some.used]
        assert len(ids) == count and before < set(ids)
        assert all(abs(held[fold] - count * all_ / len(chosen.used)) <= 1 for fold, all_ in whole.items())
        assert ids == [contrast.clean.id for contrast in chosen.used if contrast.clean.id in set(ids)]
        assert some.dropped.get(LEFT, 0) == len(chosen.used) - count
        before = set(ids)


def test_the_first_prompts_do_not_depend_on_the_order_of_the_data(run: Run) -> None:
    chosen = all_prompts(run)
    backwards = replace(chosen, used=chosen.used[::-1])

    assert first(backwards, 12, 2).used == first(chosen, 12, 2).used[::-1]


def scored(run: Run, asked: float, agreements: list[float]) -> tuple[Scored, list[tuple[str, int]]]:
    """What is scored of all prompts if the rounds agree so, and the names of the rounds with their prompts."""
    given: list[tuple[str, int]] = []
    told = iter(agreements)

    class Told(Rounds):
        def agreement(self, scores: FoldScores) -> float:
            return next(told)

    def values(name: str, some: Selection[Contrast]) -> list[Values]:
        given.append((name, len(some.used)))
        return [{}]

    nothing = scores([[0] * 4], [1])
    return Told(asked, 0.1, 2, as_scored).score(all_prompts(run), values, lambda found: nothing), given


def test_prompts_are_scored_until_their_halves_agree_as_asked(run: Run) -> None:
    found, given = scored(run, 0.7, [math.nan, 0.4, 0.7, 0.9])

    assert given == [("prompts-0-to-4", 4), ("prompts-4-to-6", 2), ("prompts-6-to-9", 3)]
    assert found.chosen.used == first(all_prompts(run), 9, 2).used and len(found.values) == 3
    assert found.conditions()["stopped early"] is True and found.conditions()["Jaccard of halves"] == 0.7


def test_an_agreement_that_falls_again_is_told_as_it_is(run: Run) -> None:
    found, given = scored(run, 0.7, [0.4, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])

    assert [prompts for _, prompts in given] == [4, 2, 3, 5, 7, 1]
    assert found.conditions()["Jaccard of halves"] == 0.2
    assert found.conditions()["stopped early"] is False


def test_halves_that_cannot_be_compared_are_told_as_undefined(run: Run) -> None:
    found, _ = scored(run, 0.7, [math.nan] * 9)

    assert found.conditions()["Jaccard of halves"] is None and "a Jaccard index of nan" in found.notes()[0]


def test_without_an_agreement_asked_for_all_prompts_are_one_map(run: Run) -> None:
    result = run.get("discover", **ASKED, stable=None)
    units = run.folder("discover", **ASKED, stable=None).path / "units"

    assert [path.name for path in units.iterdir()] == ["values"]
    assert not [name for name in result.conditions if "Jaccard" in name] and LEFT not in str(result.conditions)
    assert not any("Jaccard" in note for note in result.notes)


def test_an_agreement_out_of_reach_takes_all_prompts_with_the_scores_of_all(run: Run) -> None:
    whole, asked = (run.get("discover", **ASKED, stable=stable) for stable in (None, 1.0))

    assert asked.conditions["n discover"] == whole.conditions["n discover"]
    assert asked.conditions["dropped discover"] == whole.conditions["dropped discover"]
    assert asked.conditions["stopped early"] is False and float(asked.conditions["Jaccard of halves"] or 1) < 1
    assert asked.notes[0].startswith(f"All {whole.conditions['n discover']} prompts were used: ")
    assert float(grids(run, None)["heads"].abs().max()) > 1e-3
    for name, value in grids(run, None).items():
        torch.testing.assert_close(grids(run, 1.0)[name], value, atol=1e-5, rtol=1e-4)


def test_a_stop_tells_what_was_used_and_reached_and_what_was_left(run: Run) -> None:
    total, stop = run.get("discover", **ASKED).conditions["n discover"], STOP
    result = run.get("discover", **ASKED, stable=stop)
    conditions, used = result.conditions, result.conditions["n discover"]

    assert used == 6 and total == 7
    assert f"1 {LEFT}" in str(conditions["dropped discover"])
    assert conditions["Jaccard asked for"] == stop and conditions["size it is of"] == 0.2
    assert conditions["stopped early"] is True and float(conditions["Jaccard of halves"] or 0) >= stop
    assert result.notes[0].startswith("6 of 7 prompts were used: circuits of 20.0% of the nodes from their two halves")
    assert f"by prompts: 0.34 of 4, {conditions['Jaccard of halves']:.2f} of 6)" in result.notes[0]
    assert int(grids(run, stop)["prompts"].sum()) == 6


def test_what_was_discovered_on_is_known_from_the_result(run: Run) -> None:
    chosen = Survey.of(run).contrasts("text", "discover", seed=0, positions="aligned")
    stopped, whole = (run.get("discover", **ASKED, stable=stable) for stable in (STOP, None))

    assert discovered_on(chosen, stopped) == first(chosen, 6, 2)
    assert discovered_on(chosen, whole) is chosen
    held = Counter(chosen.task.fold(contrast.clean, 2) for contrast in discovered_on(chosen, stopped).used)
    assert grids(run, STOP)["prompts"].tolist() == [held[0], held[1]]


def test_prompts_of_other_contrasts_are_all_kept_where_nothing_was_left(run: Run) -> None:
    others = all_prompts(run)

    assert discovered_on(others, run.get("discover", **ASKED, stable=None)) is others


@contextmanager
def interrupted(stage: str, done: int, total: int) -> Iterator[Callable[[int], None]]:
    """Progress that ends the second round."""

    def told(now: int) -> None:
        if "prompts-4-to-6" in stage:
            raise KeyboardInterrupt

    yield told


def anew(run: Run, folder: Path, store: Path, **options: Any) -> Run:
    """A run with the accuracies of another one, and none of its discoveries."""
    left = shutil.ignore_patterns("discover-*", "faithfulness_curve-*")
    shutil.copytree(run.store.root, store, ignore=left, dirs_exist_ok=True)
    return open_run(folder, store, **options)


def last_first(work: Work, units: Iterable[Unit], load: Callable[[], Any]) -> Iterator[tuple[Unit, Values]]:
    """An executor that ends units in the opposite order, as workers may."""
    for unit in reversed(list(units)):
        yield unit, work(load(), unit.payload)


def test_a_stop_does_not_depend_on_the_executor_or_on_an_interruption(run: Run, folder: Path, tmp_path: Path) -> None:
    whole = run.get("discover", **ASKED, stable=STOP)
    other = anew(run, folder, tmp_path / "other", executor=last_first)

    with pytest.raises(KeyboardInterrupt):
        anew(run, folder, tmp_path / "broken", progress=interrupted).get("discover", **ASKED, stable=STOP)
    resumed = open_run(folder, tmp_path / "broken").get("discover", **ASKED, stable=STOP)

    assert resumed.to_json() == other.get("discover", **ASKED, stable=STOP).to_json() == whole.to_json()
    for name, value in grids(run, STOP).items():
        assert torch.equal(grids(other, STOP)[name], value)


def test_a_stop_does_not_depend_on_the_batch_size(run: Run, folder: Path, tmp_path: Path) -> None:
    single = anew(run, folder, tmp_path / "single", batch_size=1)
    one, other = (each.get("discover", **ASKED, stable=STOP) for each in (single, run))

    assert one.conditions["n discover"] == other.conditions["n discover"] == 6
    assert one.conditions["dropped discover"] == other.conditions["dropped discover"]
    assert torch.equal(grids(single, STOP)["prompts"], grids(run, STOP)["prompts"])
    torch.testing.assert_close(grids(single, STOP)["heads"], grids(run, STOP)["heads"], atol=1e-5, rtol=1e-4)


def test_means_over_discover_prompts_are_of_those_used(run: Run) -> None:
    asked = {"discovery": {name: ASKED[name] for name in ("method", "folds", "stable_size")} | {"stable": STOP}}
    few = {"sizes": (0.5, 1.0), "halvings": 0, "random_circuits": 1, "rediscoveries": 2, "ablation": "mean"}

    result = run.get("faithfulness_curve", modality="text", **few, **asked)

    assert result.conditions["mean over"] == "6 clean discover prompts"
