"""Arithmetic: the result of one operation on two numbers, as text or as a picture of it."""

import hashlib
import random
from typing import Literal

from diptych.errors import InputError
from diptych.items import Drawing, Item, Modality, Task
from diptych.tasks._draw import draw_expression
from diptych.tasks._print import draw_print

VERSION = 2
Style = Literal["print", "strokes"]
DRAW = {"print": draw_print, "strokes": draw_expression}
OPERATORS = {"+": "plus", "-": "minus", "×": "times", "÷": "over"}
OPERANDS = range(10, 50)
LARGEST_PRODUCT = 199
HELD_OUT = {"plus": 3, "minus": 3, "times": 5, "over": 5}
"""How many pairs of operands in ten are held out, per operator."""
QUERY = "What is the result? Answer with a number."


def arithmetic(*, per_split: int = 270, seed: int = 0, operators: str = "+-×÷", style: Style = "print") -> Task:
    """Items that ask for a + b, a − b, a × b or a ÷ b; the operators are equally frequent, up to one item.

    Operands of + and − have two digits (10 to 49), and differences are positive. A product is at most 199, so that 200
    numbers can answer everything; one factor has two digits, the other one or two: 491 products, and the 491 exact
    divisions that undo them. No result is that of more than one item in twenty.

    The group is the operator, so a counterfactual has other operands; the cluster is the unordered pair of numbers: 23 +
    45, 45 + 23 and 45 − 23 share a split, and so do 12 × 14, 14 × 12 and 168 ÷ 12. All items are held out (`held_out`).

    `per_split`: the mean over splits; pairs are never divided, so a split may hold a few fewer (at least 250 of 270).
    `operators`: those to ask for. `style`: printed characters, or strokes without a font.
    """
    _check(operators, style)
    pools = {sign: [pair for pair in pairs(sign) if held_out(item_of(sign, *pair))] for sign in operators}
    largest = len(operators) * min(len(pool) for pool in pools.values()) // 3
    if not 2 <= per_split <= largest:
        raise InputError(f"arithmetic cannot have {per_split} items per split. Give a number from 2 to {largest}.")
    chance = random.Random(f"arithmetic:{seed}")
    drawn = {sign: iter(chance.sample(pool, len(pool))) for sign, pool in pools.items()}
    signs = [operators[index % len(operators)] for index in range(3 * per_split)]
    items = tuple(item_of(sign, *next(drawn[sign]), style=style) for sign in signs)
    return Task("arithmetic", VERSION, items, _answers(operators))


def pairs(operator: str) -> list[tuple[int, int]]:
    """All operands of an operator: any two for +, the larger first for −, factors for ×, product and factor for ÷."""
    if operator in "+-":
        return [(a, b) for a in OPERANDS for b in OPERANDS if operator == "+" or a > b]
    factors = [
        (a, b)
        for a in range(2, OPERANDS.stop)
        for b in range(2, OPERANDS.stop)
        if a * b <= LARGEST_PRODUCT and max(a, b) in OPERANDS
    ]
    return factors if operator == "×" else [(a * b, b) for a, b in factors]


def held_out(item: Item) -> bool:
    """Whether an organism never sees the item as a picture: some pairs in ten, in either order, by their hash.

    Held-out sums and differences are kept from its text too: they can be worked out. Products and quotients are facts
    to be learnt by heart, so its text has all of them.
    """
    return hashlib.sha256(item.cluster.encode()).digest()[0] % 10 < HELD_OUT[item.group]


def training_item(
    chance: random.Random, modality: Modality = "image", *, operators: str = "+-×÷", style: Style = "print"
) -> Item:
    """A random item that an organism may see in this panel."""
    while True:
        sign = chance.choice(operators)
        item = item_of(sign, *chance.choice(pairs(sign)), style=style)
        if not held_out(item) or (modality == "text" and sign in "×÷"):
            return item


def result(operator: str, a: int, b: int) -> int:
    """a + b, a − b, a × b or a ÷ b."""
    return {"+": a + b, "-": a - b, "×": a * b, "÷": a // b}[operator]


def item_of(operator: str, a: int, b: int, style: Style = "print") -> Item:
    """The item of one expression; the same expression always has the same picture."""
    expression = f"{a}{operator}{b}"
    seed = int.from_bytes(hashlib.sha256(expression.encode()).digest()[:4])
    return Item(
        id=f"{a}-{OPERATORS[operator]}-{b}",
        text=f"{a} {operator} {b}",
        image=Drawing(DRAW[style], {"text": expression, "seed": seed}),
        query=QUERY,
        answer=str(result(operator, a, b)),
        group=OPERATORS[operator],
        cluster=_cluster(operator, a, b),
    )


def _cluster(operator: str, a: int, b: int) -> str:
    first = a // b if operator == "÷" else a
    return f"{min(first, b)}{',' if operator in '+-' else '×'}{max(first, b)}"


def _answers(operators: str) -> tuple[str, ...]:
    values = {result(operator, a, b) for operator in operators for a, b in pairs(operator)}
    return tuple(str(value) for value in sorted(values))


def _check(operators: str, style: str) -> None:
    if not operators or len(set(operators)) < len(operators) or not set(operators) <= set(OPERATORS):
        raise InputError(
            f"arithmetic has no operators '{operators}'. Give one or more of {''.join(OPERATORS)}, each once."
        )
    if style not in DRAW:
        raise InputError(f"arithmetic has no style '{style}'. Known: {', '.join(DRAW)}.")
