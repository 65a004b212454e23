"""Ordering: which colour is the n-th object from the left or the right, in a sentence or in a drawn scene."""

import hashlib
import itertools
import random
from collections.abc import Iterator

from diptych.errors import InputError
from diptych.items import SPLITS, Drawing, Item, Modality, Task
from diptych.tasks._row import COLOURS, SOLIDS, draw_row

VERSION = 1
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
SIDES = ("left", "right")
OBJECTS = range(3, 7)
LARGEST = 1000  # items per split
TRIES = 2000  # draws of a row before the search for a new one is given up


def ordering(*, per_split: int = 250, seed: int = 0, objects: int = 4, depth: float = 1.0) -> Task:
    """Items that ask for the colour of one of four solids in a row, counted from either end.

    Colours of a row differ. Questions and answers are balanced: every (question, colour) pair occurs equally often, up
    to one item; so who always says the same colour is right in one item of eight, and who names any colour of the row in
    one of four. The group is the question, so a counterfactual has the same query; the cluster is the list of colours.
    All lists of colours are held out (`held_out`).

    `per_split`: the least that a split holds. `objects`: in the row, 3 to 6. `depth`: how far the objects of the scene
    stand apart in depth, 0 to 1; what is far is small and high.
    """
    _check(per_split, objects, depth)
    drawn, items = _balanced(random.Random(f"ordering:{seed}"), objects, depth), list[Item]()
    missing = 3 * per_split
    while missing:  # a list of colours is in one split with all its items: thirds of the lists differ in size
        items += itertools.islice(drawn, missing)
        task = Task("ordering", VERSION, tuple(items), tuple(COLOURS))
        missing = sum(max(0, per_split - len(task.split(split))) for split in SPLITS)
    return task


def held_out(item: Item) -> bool:
    """Whether the item's list of colours is kept for evaluation, and never shown to an organism: one in four, by hash."""
    return hashlib.sha256(item.cluster.encode()).digest()[0] % 4 == 0


def training_item(chance: random.Random, modality: Modality = "image", *, objects: int = 4, depth: float = 1.0) -> Item:
    """A random item that is not held out; the rule is the same for both panels."""
    while True:
        item = item_of(*sample(chance, objects), chance.randrange(objects), chance.choice(SIDES), depth)
        if not held_out(item):
            return item


def sample(chance: random.Random, objects: int = 4) -> tuple[list[str], list[str]]:
    """Colours, all different, and solids, of a row."""
    return chance.sample(list(COLOURS), objects), chance.choices(list(SOLIDS), k=objects)


def query(place: int, side: str) -> str:
    """The question about one place, counted from 0, the same in both panels."""
    return f"What colour is the {ORDINALS[place]} object from the {side}? Answer with one word."


def item_of(colours: list[str], solids: list[str], place: int, side: str, depth: float = 1.0) -> Item:
    """The item that asks for one place of a row; the same row always has the same picture."""
    things = [f"{colour} {solid}" for colour, solid in zip(colours, solids, strict=True)]
    seed = int.from_bytes(hashlib.sha256(" ".join(things).encode()).digest()[:4])
    named = [f"a {thing}" for thing in things]
    return Item(
        id=f"{ORDINALS[place]}-from-{side}-in-{'-'.join(things).replace(' ', '-')}",
        text=f"From left to right there are {', '.join(named[:-1])} and {named[-1]}.",
        image=Drawing(draw_row, {"colours": colours, "solids": solids, "depth": depth, "seed": seed}),
        query=query(place, side),
        answer=_asked(colours, place, side),
        group=f"{ORDINALS[place]} from {side}",
        cluster=" ".join(colours),
    )


def _asked(colours: list[str], place: int, side: str) -> str:
    return colours[place if side == "left" else -1 - place]


def _balanced(chance: random.Random, objects: int, depth: float) -> Iterator[Item]:
    """Different items, held out, of each question and colour in turn."""
    taken: set[str] = set()
    asked = [(place, side, colour) for colour in COLOURS for place in range(objects) for side in SIDES]
    for place, side, answer in itertools.cycle(asked):
        item = _held_out_item(place, side, answer, chance, objects, depth, taken)
        taken.add(item.id)
        yield item


def _held_out_item(
    place: int, side: str, answer: str, chance: random.Random, objects: int, depth: float, taken: set[str]
) -> Item:
    for _ in range(TRIES):
        colours, solids = sample(chance, objects)
        if _asked(colours, place, side) != answer:
            continue
        item = item_of(colours, solids, place, side, depth)
        if held_out(item) and item.id not in taken:
            return item
    raise InputError(
        f"ordering has too few different rows of {objects} objects for so many items. "
        f"Ask for fewer items, or for more objects."
    )


def _check(per_split: int, objects: int, depth: float) -> None:
    if not 2 <= per_split <= LARGEST:
        raise InputError(f"ordering cannot have {per_split} items per split. Give a number from 2 to {LARGEST}.")
    if objects not in OBJECTS:
        raise InputError(f"ordering cannot have {objects} objects. Give a number from 3 to 6.")
    if not 0 <= depth <= 1:
        raise InputError(f"ordering cannot have depth {depth}. Give a number from 0 to 1.")
