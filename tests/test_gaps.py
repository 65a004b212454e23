"""The gap of entities: by hand, against planted effects, and how often its interval holds them (methods §11)."""

import numpy as np
import pytest

from diptych.errors import InputError
from diptych.gaps import by_entity, gap
from diptych.statistics import wilcoxon

PLANTED = 0.2


def simulated(entities: int, seed: int, lost: float = 0.25) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Three or four questions each; entities differ in how well they are known, .8 on average; pictures lose a share."""
    chance = np.random.default_rng([seed, entities])
    questions = chance.integers(3, 5, size=entities)
    known = chance.beta(4, 1, size=entities).repeat(questions)
    names = [f"e{index}" for index in np.arange(entities).repeat(questions)]
    return chance.random(len(known)) < known, chance.random(len(known)) < known * (1 - lost), names


def test_each_entity_counts_alike_however_many_questions_it_has() -> None:
    found = gap([1, 1, 1, 1, 0], [0, 0, 0, 1, 0], ["a", "a", "a", "b", "b"])

    assert (found.text.value, found.image.value) == ((1 + 0.5) / 2, (0 + 0.5) / 2)
    assert found.difference.value == 0.5  # of questions alike it would be 3 / 5
    assert (found.entities, found.questions, found.difference.unit) == (2, 5, "2 clusters")


def test_values_of_an_entity_are_found_wherever_its_questions_stand() -> None:
    assert by_entity([1, 0.5, 0], ["b", "a", "b"]).tolist() == [0.5, 0.5]
    assert by_entity([1, 0, 1], ["b", "a", "b"]).tolist() == [0, 1]


def test_the_p_value_is_that_of_the_entities_not_of_the_questions() -> None:
    found = gap([1] * 60, [0] * 60, [name for name in "abcdef" for _ in range(10)])

    assert found.p == wilcoxon([1] * 6) == pytest.approx(2 / 64)


def test_a_planted_gap_is_recovered() -> None:
    found = gap(*simulated(4000, seed=0), draws=200)

    assert found.difference.low < PLANTED < found.difference.high
    assert found.difference.high - found.difference.low < 0.03 and found.p < 1e-9
    assert (found.text.value, found.image.value) == (pytest.approx(0.8, abs=0.02), pytest.approx(0.6, abs=0.02))


def test_no_gap_is_found_where_none_is_planted() -> None:
    found = gap(*simulated(4000, seed=1, lost=0), draws=200)

    assert found.difference.low < 0 < found.difference.high and found.p > 0.01


def test_the_interval_of_sixty_entities_holds_the_planted_gap_as_often_as_it_says() -> None:
    found = [gap(*simulated(60, seed), draws=10, seed=seed).difference for seed in range(500)]

    assert 0.93 <= np.mean([one.low <= PLANTED <= one.high for one in found]) <= 0.97
    assert np.mean([one.value for one in found]) == pytest.approx(PLANTED, abs=0.01)


def test_a_gap_that_cannot_be_negative_has_no_interval_below_nothing() -> None:
    right, lost, names = np.ones(20), np.array([0.0, *[1.0] * 19]), [f"e{n:02}" for n in range(20)]

    free, bounded = (gap(right, lost, names, bounds=bounds).difference for bounds in ((-1, 1), (0, 1)))

    assert free.value == bounded.value == 0.05
    assert free.low < 0 < bounded.low < bounded.value < bounded.high <= free.high


@pytest.mark.parametrize(
    ("text", "image", "entities", "message"),
    [
        ([], [], [], "No values"),
        ([1, 0], [1], ["a", "b"], "1 values but 2 cluster names"),
        ([1, np.nan], [1, 1], ["a", "b"], "1 of 2 values are not finite"),
    ],
)
def test_answers_that_cannot_be_paired_are_refused(
    text: list[float], image: list[float], entities: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        gap(text, image, entities)
