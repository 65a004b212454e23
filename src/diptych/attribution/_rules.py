"""Integration rules: where on the path from the counterfactual to the clean inputs gradients are taken (methods §4)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

Points = Mapping[Fraction, float]
"""Point α of the path → its weight; the integral is the weighted mean."""


@dataclass(frozen=True)
class Rule:
    """`points(steps)`: that many points. `refine(steps)`: how many more steps keep all old points, at equal weights."""

    points: Callable[[int], Points]
    refine: Callable[[int], int]
    fewest: int = 1


def midpoints(steps: int) -> Points:
    """α_i = (i − ½)/k; tripling k keeps the old points."""
    return {Fraction(2 * i - 1, 2 * steps): 1.0 for i in range(1, steps + 1)}


def right_points(steps: int) -> Points:
    """α_i = i/k (Paper A, eq. 1); doubling k keeps the old points."""
    return {Fraction(i, steps): 1.0 for i in range(1, steps + 1)}


def left_points(steps: int) -> Points:
    """α_i = (i − 1)/k; doubling k keeps the old points."""
    return {Fraction(i - 1, steps): 1.0 for i in range(1, steps + 1)}


def trapezoid_points(steps: int) -> Points:
    """α_i = (i − 1)/(k − 1), both ends at half weight; halving the k − 1 intervals keeps the old points."""
    ends = (0, steps - 1)
    return {Fraction(i, steps - 1): 0.5 if i in ends else 1.0 for i in range(steps)}


RULES: dict[str, Rule] = {
    "midpoint": Rule(midpoints, lambda steps: 3 * steps),
    "right": Rule(right_points, lambda steps: 2 * steps),
    "left": Rule(left_points, lambda steps: 2 * steps),
    "trapezoid": Rule(trapezoid_points, lambda steps: 2 * steps - 1, fewest=2),
}
