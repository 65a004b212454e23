"""How the circuit's part of a patch does against random parts of its size, and how that is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from diptych.experiments._text import fixed
from diptych.result import Row

LEVEL = 0.025
"""5% shared between two ways of letting a part through, either of which may show the repair to go through the circuit."""
FEWEST = round(1 / LEVEL) - 1
"""With fewer draws no p is as low as `LEVEL`."""
NONE_HELD = "the image circuit holds no node at data positions, so no part of the patch is the circuit's"


@dataclass(frozen=True)
class Judged:
    """How one kind of part does: gains in accuracy of the whole patch, the circuit's part, and random parts of its size.

    `surely`, `own`: lower ends of the intervals of the whole patch's gain and of that of the circuit's part. Without random
    parts the circuit has none of its own, and nothing is judged.
    """

    name: str
    whole: float
    circuit: float
    others: float
    random: Sequence[float]
    surely: float
    own: float

    @property
    def higher(self) -> int:
        """How many random parts the circuit's part does better than."""
        return sum(one < self.circuit for one in self.random)

    @property
    def equal(self) -> int:
        return sum(one == self.circuit for one in self.random)

    @property
    def percentile(self) -> float:
        """Share of the random parts that do worse than the circuit's, ties counting half."""
        return (self.higher + self.equal / 2) / len(self.random)

    @property
    def p(self) -> float:
        """How often a part drawn at random does as well or better, the circuit's own among them."""
        return (1 + len(self.random) - self.higher) / (1 + len(self.random))

    @property
    def through(self) -> bool:
        """Whether the circuit's part does better than random ones by a test at `LEVEL`, and surely gains."""
        return self.p <= LEVEL and self.own > 0


def points(value: object) -> str:
    return fixed(value, 1, factor=100, sign="+")


def summary(task: str, judged: Sequence[Judged]) -> str:
    opening = f"The whole patch changes image accuracy on {task} by {points(judged[0].whole)} points"
    if not judged[0].surely > 0:
        return f"{opening}, which is not surely above 0: there is no repair to trace to the circuit."
    if not judged[0].random:
        return f"{opening}; {NONE_HELD}."
    said = [
        f"{points(one.circuit)} with the circuit's {one.name} alone (random ones: "
        f"{points(sum(one.random) / len(one.random))}; p = {fixed(one.p, 3)})"
        for one in judged
    ]
    return f"{opening}; {' and '.join(said)}."


def paragraph(judged: Sequence[Judged], compared: Sequence[Row]) -> str:
    """Whether the repair goes through the circuit, if there is one."""
    if not judged[0].surely > 0:
        return (
            "The gain of the whole patch on test is not surely above 0, so there is no repair to trace to the circuit."
        )
    told = [_verdict(judged), *map(_part, judged)] if judged[0].random else [f"Undefined: {NONE_HELD}."]
    changes = [
        f"{str(row['cell']).split()[-1]} {fixed(row['change'], sign='+')} "
        f"[{fixed(row['change, low'], sign='+')}, {fixed(row['change, high'], sign='+')}]"
        for row in compared
    ]
    overlap = f"With the patch in place, the overlap with the text circuit changes by (nIoU): {', '.join(changes)}."
    return " ".join([*told, *([overlap] if changes else [])])


def _verdict(judged: Sequence[Judged]) -> str:
    through = [one.name for one in judged if one.through]
    if through:
        return (
            f"The repair goes through the image circuit, judged by {' and by '.join(through)}: its part of the patch surely "
            f"gains, and more than random parts of equal size (p at most {LEVEL}, as there are two ways to judge)."
        )
    if len(judged[0].random) < FEWEST:
        return (
            f"No verdict on whether the repair goes through the image circuit is possible with {len(judged[0].random)} random "
            f"parts: p can be {LEVEL} with {FEWEST} or more (`draws`)."
        )
    return (
        "It is not shown that the repair goes through the image circuit more than through random parts of equal size."
    )


def _part(one: Judged) -> str:
    return (
        f"By {one.name}, the circuit's part gains {points(one.circuit)} points (higher than {one.higher}, equal to "
        f"{one.equal} of {len(one.random)} random parts, p = {fixed(one.p, 3)}), all other {points(one.others)}, all "
        f"{points(one.whole)}."
    )
