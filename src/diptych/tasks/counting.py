"""Counting: how many objects of one kind are there, in a list of eight words or among eight drawn shapes."""

import hashlib
import random

from diptych.errors import InputError
from diptych.items import Drawing, Item, Task
from diptych.tasks._draw import draw_shapes

VERSION = 1
KINDS = ("circle", "heart", "moon", "square", "star", "triangle")
LETTERS = dict(zip(KINDS, "chmqst", strict=True))
LENGTH = 8
COUNTS = (1, 2, 3, 4, 5)
LARGEST = 1000  # items per split; there are not many more different held-out lists of each kind and count


def counting(*, per_split: int = 100, seed: int = 0) -> Task:
    """Items that ask how often one kind occurs among eight objects of three kinds.

    Kinds and answers are balanced: every (kind, answer) pair occurs equally often, up to one item. The group is the
    queried kind, so a counterfactual has the same query and differs in the data alone; the cluster is the list of
    objects. All lists are held out: no organism of the package was trained on them (`held_out`).
    """
    if not 2 <= per_split <= LARGEST:
        raise InputError(f"counting cannot have {per_split} items per split. Give a number from 2 to {LARGEST}.")
    chance = random.Random(f"counting:{seed}")
    items: dict[str, Item] = {}
    for index in range(3 * per_split):
        kind, count = KINDS[index % len(KINDS)], COUNTS[index // len(KINDS) % len(COUNTS)]
        item = _held_out_item(kind, count, chance, items)
        items[item.cluster] = item
    return Task("counting", VERSION, tuple(items.values()), tuple(str(count) for count in COUNTS))


def held_out(kinds: list[str]) -> bool:
    """Whether this list of objects is kept for evaluation: one list in four, by its hash."""
    return hashlib.sha256(" ".join(kinds).encode()).digest()[0] % 4 == 0


def sample(kind: str, count: int, chance: random.Random) -> list[str]:
    """A shuffled list of eight objects with `count` of `kind`; the rest is of two other kinds, in a random proportion."""
    first, second = chance.sample([other for other in KINDS if other != kind], 2)
    rest = LENGTH - count
    share = chance.randint(1, rest - 1)
    kinds = [kind] * count + [first] * share + [second] * (rest - share)
    chance.shuffle(kinds)
    return kinds


def query(kind: str) -> str:
    """The question about one kind, the same in both panels."""
    return f"How many {kind}s are there? Answer with a number."


def item_of(kind: str, kinds: list[str]) -> Item:
    """The item that asks for `kind` in the list `kinds`; the same list always has the same picture."""
    letters = "".join(LETTERS[name] for name in kinds)
    picture = Drawing(
        draw_shapes, {"kinds": kinds, "seed": int.from_bytes(hashlib.sha256(letters.encode()).digest()[:4])}
    )
    return Item(
        id=f"{kind}s-in-{letters}",
        text=" ".join(kinds),
        image=picture,
        query=query(kind),
        answer=str(kinds.count(kind)),
        group=kind,
        cluster=letters,
    )


def _held_out_item(kind: str, count: int, chance: random.Random, taken: dict[str, Item]) -> Item:
    while True:
        kinds = sample(kind, count, chance)
        item = item_of(kind, kinds)
        if held_out(kinds) and item.cluster not in taken:
            return item
