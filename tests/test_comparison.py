"""What circuits of different sizes can share at most, in the table and the sentences of overlap; the headline of swap."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from diptych.compare import MEASURED, OTHERWISE, Array, Overlap, SetPair, highest, overlaps, possible, telling
from diptych.experiments._comparison import Comparison, reweight
from diptych.experiments._folds import FoldScores
from diptych.experiments._panels import Panel
from diptych.experiments._swapped import summary
from diptych.experiments.overlap import _of, _told, _undefined
from diptych.grid import KINDS
from diptych.items import Modality
from diptych.layout import Layout
from diptych.paper_compat import PaperCompat
from diptych.result import Row
from laws import LAWS, SEEDS, circuit, layouts

INSIDE = SetPair(1870, 2801, 1870, 2816)
"""Neurons of the generation: the text's are all among the image's, which are nearly all there are."""
SOME, FULL, EMPTY = SetPair(20, 40, 15, 100), SetPair(30, 100, 30, 100), SetPair(0, 30, 0, 100)
DECIDED = {
    "all of the image's": FULL,
    "all of the text's": SetPair(100, 30, 30, 100),
    "none of the text's": EMPTY,
    "none of the image's": SetPair(30, 0, 0, 100),
}


def table(
    heads: SetPair,
    neurons: SetPair,
    compat: PaperCompat | None = None,
    half: SetPair | None = None,
    reweighted: Array | None = None,
) -> dict[str, Row]:
    """Rows of the generation by node kind; all other segments have the same nodes, and halves share as much."""
    pairs = dict(zip(KINDS, (heads, neurons), strict=True))

    def parts(positions: dict[str, str]) -> list[Overlap]:
        return [Overlap(segment, kind, (pairs[kind],), rule) for segment, rule in positions.items() for kind in KINDS]

    measured, whole = parts(MEASURED), [*parts(MEASURED), *parts(OTHERWISE)]
    drawn = np.random.default_rng(0).normal(0.2, 0.05, (30, len(measured))) if reweighted is None else reweighted
    expected = [part.expected for part in whole]
    compat = compat or PaperCompat()
    halves = [Overlap(p.segment, p.kind, (half,), p.positions) if half else p for p in measured]
    comparison = Comparison(whole, expected, [halves] * 2, [measured] * 2, drawn, 8, compat)
    asked = {"heads": ("heads",), "neurons": ("neurons",), "both": KINDS}
    return {name: comparison._row("generation", "kept", kinds, 5, 0) for name, kinds in asked.items()}


def values(row: Row, *columns: str) -> list[float]:
    return [float(row[column] or 0) for column in columns]


def test_a_circuit_wholly_inside_another_has_all_that_is_possible_however_low_its_overlap() -> None:
    row = table(INSIDE, INSIDE)["both"]

    value, most, share = values(row, "nIoU", "highest possible nIoU", "share of the possible")
    assert row["IoU"] == pytest.approx(1870 / 2801)
    assert 0.01 < value < 0.02 and most == pytest.approx(value) and share == pytest.approx(1)
    assert _told(row).endswith(f"] of at most {most:.2f}")


@LAWS
@given(layouts(), SEEDS, SEEDS)
def test_containment_is_the_highest_overlap_possible(layout: Layout, one: int, other: int) -> None:
    a = circuit(layout, one)
    inside = a & circuit(layout, other)

    for part in [*overlaps(inside, a), *overlaps(a, inside)]:
        assert part.iou == pytest.approx(possible(part), nan_ok=True)


@LAWS
@given(layouts(), layouts(), SEEDS, SEEDS)
def test_no_overlap_is_higher_than_possible(there: Layout, back: Layout, one: int, other: int) -> None:
    a, b = circuit(there, one), circuit(back, other)

    for part in [*overlaps(a, b), *overlaps(a, b, OTHERWISE)]:
        if math.isfinite(part.niou):
            assert part.niou <= highest(part) + 1e-9


@LAWS
@given(st.integers(1, 29), st.integers(0, 29), st.data())
def test_circuits_of_equal_sizes_can_overlap_fully(heads: int, both: int, data: st.DataObject) -> None:
    nodes = data.draw(st.integers(max(heads + 1, 2 * heads - min(both, heads)), 60))
    pair = SetPair(heads, heads, min(both, heads), nodes)

    for row in table(pair, pair).values():
        assert row["highest possible nIoU"] == pytest.approx(1)
        assert row["share of the possible"] == pytest.approx(row["nIoU"])


@LAWS
@given(st.integers(1, 19), st.integers(1, 19), st.integers(0, 19), st.integers(1, 19), st.integers(1, 19))
def test_a_share_of_the_possible_is_at_most_one(a: int, b: int, both: int, c: int, d: int) -> None:
    assume(max(0, a + b - 20) <= both <= min(a, b))
    rows = table(SetPair(a, b, both, 20), SetPair(c, d, min(c, d), 20))

    assert rows["neurons"]["share of the possible"] == pytest.approx(1)
    for row in rows.values():
        value, most, share = values(row, "nIoU", "highest possible nIoU", "share of the possible")
        assert share <= 1 + 1e-9 and share * most == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("decided", DECIDED.values(), ids=DECIDED)
def test_nothing_is_said_of_a_kind_of_which_one_circuit_holds_all_or_none(decided: SetPair) -> None:
    rows = table(decided, SOME)

    columns = ["nIoU", "low", "high", "highest possible nIoU", "share of the possible", "null 95%", "of ceiling"]
    columns += ["percentile in null", "split half text", "split half image"]
    assert all(map(math.isnan, values(rows["heads"], *columns)))
    assert all(map(math.isfinite, values(rows["neurons"], *columns)))
    columns = ["IoU", "expected IoU", *columns[:5]]
    assert [rows["both"][name] for name in columns] == [rows["neurons"][name] for name in columns]
    assert rows["both"]["split half text"] == rows["neurons"]["split half text"]
    [note] = _undefined(list(rows.values()))
    assert note.startswith("A circuit holds all nodes of, or none of: generation heads (positions kept). ")


def test_no_share_of_the_ceiling_is_said_of_it_however_well_halves_agree() -> None:
    rows = table(FULL, SOME, half=SetPair(60, 60, 50, 100))

    assert math.isnan(values(rows["heads"], "of ceiling")[0])
    assert math.isfinite(values(rows["neurons"], "of ceiling")[0])


@pytest.mark.parametrize("half", [FULL, EMPTY], ids=["all", "none"])
def test_no_share_of_the_ceiling_is_said_where_halves_agree_by_their_sizes(half: SetPair) -> None:
    row = table(SOME, SOME, half=half)["heads"]

    assert math.isnan(values(row, "of ceiling")[0]) and math.isfinite(values(row, "nIoU")[0])


def test_nothing_is_said_where_it_holds_all_of_both_kinds() -> None:
    row = table(FULL, FULL)["both"]

    assert all(map(math.isnan, values(row, "nIoU", "low", "highest possible nIoU", "share of the possible")))
    assert _told(row) == "undefined [undefined, undefined] of at most undefined"


def test_the_overlap_is_open_if_it_is_in_one_direction() -> None:
    decided, open_ = ((FULL,), (EMPTY,), (FULL, FULL), (FULL, EMPTY)), ((FULL, SOME), (EMPTY, SOME), (SOME,))
    for known, several in ((False, decided), (True, open_)):
        for pairs in several:
            part = Overlap("query", "heads", pairs)
            assert telling(part) == math.isfinite(part.niou) == np.isfinite(part.null(3, 0)).all() == known


def test_a_number_of_one_kind_of_nodes_is_said_to_be_of_it_alone() -> None:
    alone, mean, neither = (list(table(*pairs).values()) for pairs in ((EMPTY, SOME), (SOME, SOME), (FULL, EMPTY)))

    assert [_of(rows[2], rows) for rows in (alone, mean, neither)] == [" (neurons alone)", "", ""]


def panel(modality: Modality, heads: float) -> Panel:
    """Eight folds of noisy scores; those of heads at the last position, two of three, are `heads` higher."""
    chance, layout = torch.Generator().manual_seed(len(modality)), Layout.of((1, 3), 6)
    scores = [torch.rand(8, 2, 6, width, generator=chance) for width in (3, 20)]
    scores[0][:, :, -1, :2] += heads
    scores[0][:, :, -1, 2] += heads / 2
    return Panel(modality, FoldScores(scores[0], scores[1], torch.ones(8), layout, "m"), 0.25, {})


def test_what_reweighted_circuits_hold_whole_is_undefined_and_no_nought() -> None:
    drawn = reweight(panel("text", 9), panel("image", 0), range(8), 20, 0, PaperCompat())

    last_heads = len(MEASURED) * len(KINDS) - len(KINDS)
    assert np.isnan(drawn[:, last_heads]).all()
    assert np.isfinite(np.delete(drawn, last_heads, axis=1)).mean() > 0.9


def test_draws_in_which_a_kind_is_undefined_do_not_stand_for_the_other() -> None:
    reweighted = np.full((30, 6), 0.2) + np.arange(30)[:, None] / 100
    reweighted[:5, 4] = math.nan
    reweighted[:5, 5] = 99
    rows = table(SOME, SOME, reweighted=reweighted)

    assert values(rows["both"], "high")[0] - values(rows["both"], "low")[0] < 1


def test_the_share_is_that_of_the_methods_when_departures_are_asked_for() -> None:
    own, paper = (table(SOME, EMPTY, PaperCompat(niou=name)) for name in ("normalised", "i_minus_2b"))

    assert own["heads"]["nIoU"] != paper["heads"]["nIoU"]
    assert own["heads"]["share of the possible"] == paper["heads"]["share of the possible"]
    assert math.isnan(values(paper["neurons"], "share of the possible")[0])


def swaps(nodes: str, normalised_: Sequence[float], because: str = "") -> list[Row]:
    told: Row = {"prompts": "both", "nodes": nodes, "undefined because": because}
    raw: Row = {"F own": 0.5, "F swapped": 0.3, "F random": 0.4}
    return [
        {**told, **raw, "part": part, "normalised": value, "low": value - 0.1, "high": value + 0.1}
        for part, value in zip(("data", "query"), normalised_, strict=True)
    ]


def test_a_swap_is_headed_by_as_many_nodes_as_replaced() -> None:
    said = summary("counting", [*swaps("carried", [1.38, 0.6]), *swaps("as many", [0.32, 0.5])])

    assert said.endswith(
        ": data 0.32 [0.22, 0.42], all carried 1.38 [1.28, 1.48]; query 0.50 [0.40, 0.60], all carried 0.60 [0.50, 0.70]."
    )


def test_what_is_undefined_of_a_swap_is_said_beside_what_is_not() -> None:
    said = summary("counting", [*swaps("carried", [1.38, 0.6]), *swaps("as many", [0.32, 0.5], "why")])

    assert "data undefined (F 0.30, own 0.50, random 0.40), all carried 1.38 [1.28, 1.48]; query undefined" in said
