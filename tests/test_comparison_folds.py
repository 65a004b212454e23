"""How the rows of an overlap come from folds, from halves of them, and from draws of random circuits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diptych.compare import MEASURED, OTHERWISE, Overlap, SetPair, ceiling
from diptych.experiments._comparison import Comparison, held_folds, reweight
from diptych.experiments._folds import FoldScores
from diptych.experiments._panels import Panel
from diptych.grid import KINDS
from diptych.items import Modality
from diptych.layout import Layout
from diptych.paper_compat import PaperCompat
from diptych.result import Row

LAST_HEADS = len(MEASURED) * len(KINDS) - len(KINDS)
"""The place of the generation's heads among the overlaps of methods §7."""
FIRST, SECOND = [0, 1, 2], [3, 4, 5]


def panel(modality: Modality, even: list[int], odd: list[int], prompts: list[int] | None = None) -> Panel:
    """Eight folds; in the even ones these heads of the last position score highest, in the odd ones those."""
    chance, layout = torch.Generator().manual_seed(len(modality)), Layout.of((1, 3), 6)
    heads, neurons = (torch.rand(8, 2, 6, width, generator=chance) / 100 for width in (8, 32))
    heads[0::2, 0, -1, even] += 1
    heads[1::2, 0, -1, odd] += 1
    counts = torch.tensor(prompts or [1] * 8)
    return Panel(modality, FoldScores(heads, neurons, counts, layout, "m"), 3 / 96, {})


def comparison(*pairs: SetPair, across: tuple[SetPair, ...] | None = None) -> Comparison:
    """Heads and neurons of these sizes in every segment; halves as well."""

    def parts(positions: dict[str, str], some: tuple[SetPair, ...]) -> list[Overlap]:
        return [Overlap(segment, kind, some, rule) for segment, rule in positions.items() for kind in KINDS]

    measured, whole = parts(MEASURED, pairs), [*parts(MEASURED, pairs), *parts(OTHERWISE, pairs)]
    ways = [parts(MEASURED, (pair,)) for pair in across] if across else [measured] * 2
    expected = [part.expected for part in whole]
    return Comparison(whole, expected, [measured] * 2, ways, np.zeros((0, len(measured))), 8, PaperCompat())


def row(compared: Comparison, *kinds: str, draws: int = 2000) -> Row:
    return compared._row("generation", "kept", kinds, draws, 0)


def test_halves_of_a_panel_and_across_panels_share_no_prompt() -> None:
    text, image = panel("text", FIRST, SECOND), panel("image", SECOND, FIRST)

    found = Comparison.of(text, image, 3, 0, PaperCompat())

    assert [half[LAST_HEADS].iou for half in found.halves] == [0, 0]
    assert [way[LAST_HEADS].iou for way in found.across] == [1, 1]


def test_split_halves_of_both_kinds_are_undefined_where_those_of_one_kind_are() -> None:
    found = comparison(SetPair(5, 4, 2, 40))
    decided = [Overlap(part.segment, part.kind, (SetPair(0, 0, 0, 40),)) for part in found.halves[0]]
    mixed = [part if part.kind == "neurons" else other for part, other in zip(found.halves[0], decided, strict=True)]
    half = replace(found, halves=[mixed, mixed])

    both, neurons = row(half, *KINDS), row(half, "neurons")

    names = ("split half text", "split half image", "of ceiling")
    assert all(np.isnan(float(both[name] or 0)) for name in names) and np.isfinite(float(both["nIoU"] or 0))
    assert all(np.isfinite(float(neurons[name] or 0)) for name in names)


def test_no_interval_passes_the_niou_of_identical_circuits() -> None:
    found = comparison(SetPair(5, 5, 5, 40))
    drawn = np.tile(np.linspace(0.2, 1, 9)[:, None], (1, found.reweighted.shape[1]))

    told = row(replace(found, reweighted=drawn), "heads")

    assert told["nIoU"] == told["high"] == 1.0 and float(told["low"] or 0) < 0.6


def test_the_nodes_told_are_those_of_each_circuit_on_its_own_layout() -> None:
    there, back = SetPair(5, 2, 1, 40), SetPair(3, 4, 1, 20)  # the text's carried; the text's own

    found = comparison(there, back)

    assert [row(found, "heads", draws=5)[f"nodes {panel}"] for panel in ("text", "image")] == [3, 2]
    assert [row(found, *KINDS, draws=5)[f"nodes {panel}"] for panel in ("text", "image")] == [6, 4]


def test_one_draw_in_twenty_lies_above_the_null_s_percentile() -> None:
    pair = SetPair(200, 400, 100, 1000)

    told = row(comparison(pair), "heads")["null 95%"]

    above = Overlap("generation", "heads", (pair,)).null(4000, 9) > told
    assert 0.02 < above.mean() < 0.07


@pytest.mark.parametrize(("both", "percentile"), [(20, 1), (0, 0)])
def test_more_than_all_draws_share_is_at_the_top_of_the_null_and_nothing_at_its_bottom(
    both: int, percentile: int
) -> None:
    assert row(comparison(SetPair(20, 40, both, 100)), "heads")["percentile in null"] == percentile


def test_heads_and_neurons_of_random_circuits_are_independent() -> None:
    found = comparison(SetPair(200, 400, 100, 1000))

    alone, mean = (float(row(found, *kinds)["null 95%"] or 0) for kinds in (("heads",), KINDS))

    assert mean == pytest.approx(alone / 2**0.5, rel=0.1)


def test_folds_are_reweighted_that_hold_prompts_in_both_panels_if_they_are_three() -> None:
    text, image = panel("text", FIRST, SECOND, [0, 0, 0, 0, 2, 2, 2, 2]), panel("image", FIRST, SECOND, [1] * 7 + [0])
    fewer = panel("image", FIRST, SECOND, [1] * 6 + [0] * 2)

    assert held_folds((text, image)) == [4, 5, 6] and held_folds((text, fewer)) == [4, 5]
    drawn = reweight(text, image, [4, 5, 6], 4, 0, PaperCompat())
    assert drawn.shape == (4, len(MEASURED) * len(KINDS)) and (drawn[:, LAST_HEADS] == 1).all()
    assert reweight(text, fewer, [4, 5], 4, 0, PaperCompat()).shape[0] == 0


def test_the_share_of_the_ceiling_is_of_the_mean_of_both_ways_across() -> None:
    within, ways = SetPair(20, 20, 15, 100), (SetPair(20, 40, 8, 100), SetPair(20, 40, 16, 100))

    found = row(comparison(within, across=ways), "heads", draws=5)["of ceiling"]

    mean = (8 / 52 + 16 / 44) / 2
    assert found == pytest.approx(ceiling(mean, 15 / 25, 15 / 25, ways[0].expected))
