"""Arithmetic: the sum or the difference of two two-digit numbers, in words or drawn."""

import hashlib
import random

from diptych.errors import InputError
from diptych.items import Drawing, Item, Task
from diptych.tasks._draw import draw_expression

VERSION = 1
OPERANDS = range(10, 50)
OPERATORS = {"+": "plus", "-": "minus"}
QUERY = "What is the result? Answer with a number."


def arithmetic(*, per_split: int = 100, seed: int = 0) -> Task:
    """Items that ask for a + b or a − b; half of the items have each operator, and differences are positive.

    The group is the operator, so a counterfactual has other operands; the cluster is the unordered pair of operands, so
    23 + 45, 45 + 23 and 45 − 23 share a split. All pairs are held out: no organism of the package was trained on
    them, in either panel or with either operator (`held_out`).
    """
    pools = {operator: [pair for pair in pairs(operator) if held_out(*pair)] for operator in OPERATORS}
    largest = 2 * min(len(pool) for pool in pools.values()) // 3
    if not 2 <= per_split <= largest:
        raise InputError(f"arithmetic cannot have {per_split} items per split. Give a number from 2 to {largest}.")
    chance = random.Random(f"arithmetic:{seed}")
    drawn = {operator: iter(chance.sample(pool, len(pool))) for operator, pool in pools.items()}
    operators = [list(OPERATORS)[index % 2] for index in range(3 * per_split)]
    items = tuple(item_of(operator, *next(drawn[operator])) for operator in operators)
    return Task("arithmetic", VERSION, items, _answers())


def pairs(operator: str) -> list[tuple[int, int]]:
    """All operand pairs of an operator: any for +, the larger number first for -."""
    return [(a, b) for a in OPERANDS for b in OPERANDS if operator == "+" or a > b]


def held_out(a: int, b: int) -> bool:
    """Whether this pair of operands, in either order, is kept for evaluation: three pairs in ten, by their hash."""
    return hashlib.sha256(f"{min(a, b)},{max(a, b)}".encode()).digest()[0] % 10 < 3


def result(operator: str, a: int, b: int) -> int:
    """a + b or a − b."""
    return a + b if operator == "+" else a - b


def item_of(operator: str, a: int, b: int) -> Item:
    """The item of one expression; the same expression always has the same picture."""
    expression = f"{a}{operator}{b}"
    seed = int.from_bytes(hashlib.sha256(expression.encode()).digest()[:4])
    return Item(
        id=f"{a}-{OPERATORS[operator]}-{b}",
        text=f"{a} {operator} {b}",
        image=Drawing(draw_expression, {"text": expression, "seed": seed}),
        query=QUERY,
        answer=str(result(operator, a, b)),
        group=OPERATORS[operator],
        cluster=f"{min(a, b)},{max(a, b)}",
    )


def _answers() -> tuple[str, ...]:
    values = {result(operator, a, b) for operator in OPERATORS for a, b in pairs(operator)}
    return tuple(str(value) for value in sorted(values))
