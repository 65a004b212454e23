"""Counting: how many objects of one kind are there, in a list of words or in a picture."""

import hashlib
import random
from typing import Literal

from diptych.errors import InputError
from diptych.items import Drawing, Item, Modality, Task
from diptych.tasks._draw import SHAPES, draw_shapes
from diptych.tasks._emoji import OBJECTS, draw_emoji

VERSION = 2
Style = Literal["emoji", "shapes"]
KINDS: dict[Style, tuple[str, ...]] = {"emoji": OBJECTS, "shapes": tuple(SHAPES)}
DRAW = {"emoji": draw_emoji, "shapes": draw_shapes}
COUNTS = (1, 2, 3, 4, 5)
OBJECTS_IN_ALL = range(8, 17)  # sixteen fill the picture
OTHERS = range(1, 4)
LARGEST = 1000  # items per split
TRIES = 2000  # draws of a list before the search for a new one is given up


def counting(*, per_split: int = 250, seed: int = 0, style: Style = "emoji", objects: int = 8, others: int = 2) -> Task:
    """Items that ask how often one kind occurs among eight objects of three kinds.

    Kinds and answers are balanced: every (kind, answer) pair occurs equally often, up to one item; so who always gives
    the same number is right in one item of five. The group is the queried kind, so a counterfactual has the same query
    and differs in the data alone; the cluster is the list of objects. All lists are held out (`held_out`).

    `style`: twelve everyday objects as emoji, or six flat shapes in any ink. `objects`: length of the list, 8 to 16.
    `others`: number of kinds that are not asked for, 1 to 3.
    """
    _check(per_split, style, objects, others)
    chance = random.Random(f"counting:{seed}")
    kinds, items = KINDS[style], dict[str, Item]()
    for index in range(3 * per_split):
        kind, count = kinds[index % len(kinds)], COUNTS[index // len(kinds) % len(COUNTS)]
        item = _held_out_item(kind, count, chance, style, objects, others, items)
        items[item.cluster] = item
    return Task("counting", VERSION, tuple(items.values()), tuple(str(count) for count in COUNTS))


def held_out(item: Item) -> bool:
    """Whether the item's list is kept for evaluation, and never shown to an organism: one list in four, by its hash."""
    return hashlib.sha256(item.cluster.encode()).digest()[0] % 4 == 0


def training_item(
    chance: random.Random,
    modality: Modality = "image",
    *,
    style: Style = "emoji",
    objects: int = 8,
    others: int = 2,
) -> Item:
    """A random item that is not held out; the rule is the same for both panels."""
    while True:
        kind = chance.choice(KINDS[style])
        item = item_of(kind, sample(kind, chance.choice(COUNTS), chance, style, objects, others), style)
        if not held_out(item):
            return item


def sample(
    kind: str, count: int, chance: random.Random, style: Style = "emoji", objects: int = 8, others: int = 2
) -> list[str]:
    """A shuffled list of objects with `count` of `kind`; the rest is of other kinds, in a random proportion."""
    foils = chance.sample([other for other in KINDS[style] if other != kind], others)
    cuts = sorted(chance.sample(range(1, objects - count), others - 1))
    shares = [stop - start for start, stop in zip([0, *cuts], [*cuts, objects - count], strict=True)]
    names = [kind] * count + [foil for foil, share in zip(foils, shares, strict=True) for _ in range(share)]
    chance.shuffle(names)
    return names


def query(kind: str) -> str:
    """The question about one kind, the same in both panels."""
    return f"How many {kind}s are there? Answer with a number."


def item_of(kind: str, names: list[str], style: Style = "emoji") -> Item:
    """The item that asks for `kind` in the list `names`; the same list always has the same picture."""
    listed = " ".join(names)
    seed = int.from_bytes(hashlib.sha256(listed.encode()).digest()[:4])
    return Item(
        id=f"{kind}s-in-{'-'.join(names)}",
        text=listed,
        image=Drawing(DRAW[style], {"kinds": names, "seed": seed}),
        query=query(kind),
        answer=str(names.count(kind)),
        group=kind,
        cluster=listed,
    )


def _held_out_item(
    kind: str, count: int, chance: random.Random, style: Style, objects: int, others: int, taken: dict[str, Item]
) -> Item:
    for _ in range(TRIES):
        item = item_of(kind, sample(kind, count, chance, style, objects, others), style)
        if held_out(item) and item.cluster not in taken:
            return item
    raise InputError(
        f"counting has too few different lists of {objects} objects with {count} {kind}s and {others} other kinds. "
        f"Ask for fewer items, or for more objects or other kinds."
    )


def _check(per_split: int, style: str, objects: int, others: int) -> None:
    if not 2 <= per_split <= LARGEST:
        raise InputError(f"counting cannot have {per_split} items per split. Give a number from 2 to {LARGEST}.")
    if style not in KINDS:
        raise InputError(f"counting has no style '{style}'. Known: {', '.join(KINDS)}.")
    if objects not in OBJECTS_IN_ALL:
        raise InputError(f"counting cannot have {objects} objects. Give a number from 8 to 16.")
    if others not in OTHERS:
        raise InputError(f"counting cannot have {others} other kinds. Give a number from 1 to 3.")
