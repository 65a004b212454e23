"""Sentiment: how most people of a scene feel, described in a sentence or drawn with faces among props."""

import hashlib
import random

from diptych.errors import InputError
from diptych.items import Drawing, Item, Modality, Task
from diptych.tasks._emoji import PROPS, draw_faces

VERSION = 1
MOODS = {
    "happy": ("grinning", "laughing", "smiling"),
    "sad": ("crying", "frowning", "sobbing"),
    "angry": ("fuming", "scowling", "shouting"),
    "scared": ("screaming", "sweating", "trembling"),
}
QUERY = "How do most of the people feel? Answer with one word."
NUMBERS = {3: "three", 4: "four", 5: "five", 6: "six"}
LARGEST = 600  # items per split
TRIES = 2000  # draws of a scene before the search for a new one is given up


def sentiment(*, per_split: int = 250, seed: int = 0, faces: int = 4, dissenters: int = 1, props: int = 2) -> Task:
    """Items that ask how most of four people feel: happy, sad, angry or scared; one of them feels otherwise.

    Each mood has three words and three faces, so no single word gives the answer. Moods are equally frequent, up to one
    item: who always says the same is right in one item of four. Props say nothing about the mood. There is one question,
    hence one group; the cluster is the list of faces. All lists of faces are held out (`held_out`).

    `faces`: number of people, 3 to 6. `dissenters`: how many feel otherwise, all the same other mood; fewer than half.
    `props`: number of things that stand around, 0 to 4.
    """
    _check(per_split, faces, dissenters, props)
    chance = random.Random(f"sentiment:{seed}")
    items: dict[str, Item] = {}
    for index in range(3 * per_split):
        item = _held_out_item(list(MOODS)[index % len(MOODS)], chance, faces, dissenters, props, items)
        items[item.cluster] = item
    return Task("sentiment", VERSION, tuple(items.values()), tuple(MOODS))


def held_out(item: Item) -> bool:
    """Whether the item's list of faces is kept for evaluation, and never shown to an organism: one in four, by hash."""
    return hashlib.sha256(item.cluster.encode()).digest()[0] % 4 == 0


def training_item(
    chance: random.Random, modality: Modality = "image", *, faces: int = 4, dissenters: int = 1, props: int = 2
) -> Item:
    """A random item that is not held out; the rule is the same for both panels."""
    while True:
        item = item_of(*sample(chance.choice(list(MOODS)), chance, faces, dissenters, props))
        if not held_out(item):
            return item


def sample(
    mood: str, chance: random.Random, faces: int = 4, dissenters: int = 1, props: int = 2
) -> tuple[list[str], list[str]]:
    """Faces of which most show the mood, in random order, and props, all different."""
    other = chance.choice([name for name in MOODS if name != mood])
    shown = chance.choices(MOODS[mood], k=faces - dissenters) + chance.choices(MOODS[other], k=dissenters)
    chance.shuffle(shown)
    return shown, chance.sample(list(PROPS), props)


def mood_of(faces: list[str]) -> str:
    """The mood of more than half of the faces."""
    return next(mood for mood, shown in MOODS.items() if 2 * sum(face in shown for face in faces) > len(faces))


def item_of(faces: list[str], props: list[str]) -> Item:
    """The item of one scene; the same scene always has the same picture."""
    listed = " ".join(faces)
    seed = int.from_bytes(hashlib.sha256(f"{listed} / {' '.join(props)}".encode()).digest()[:4])
    people = f"there are {NUMBERS[len(faces)]} people: {_list([f'one is {face}' for face in faces])}."
    return Item(
        id=f"{'-'.join(faces)}-by-{'-'.join(props) or 'nothing'}",
        text=f"By {_list([f'a {prop}' for prop in props])} {people}" if props else people.capitalize(),
        image=Drawing(draw_faces, {"faces": faces, "props": props, "seed": seed}),
        query=QUERY,
        answer=mood_of(faces),
        group="most",
        cluster=listed,
    )


def _list(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _held_out_item(
    mood: str, chance: random.Random, faces: int, dissenters: int, props: int, taken: dict[str, Item]
) -> Item:
    for _ in range(TRIES):
        item = item_of(*sample(mood, chance, faces, dissenters, props))
        if held_out(item) and item.cluster not in taken:
            return item
    raise InputError(
        f"sentiment has too few different lists of {faces} faces with {dissenters} dissenters for so many items. "
        f"Ask for fewer items, or for more faces."
    )


def _check(per_split: int, faces: int, dissenters: int, props: int) -> None:
    if not 2 <= per_split <= LARGEST:
        raise InputError(f"sentiment cannot have {per_split} items per split. Give a number from 2 to {LARGEST}.")
    if faces not in NUMBERS:
        raise InputError(f"sentiment cannot have {faces} faces. Give a number from 3 to 6.")
    if not 0 <= 2 * dissenters < faces:
        raise InputError(f"sentiment cannot have {dissenters} dissenters of {faces} faces. Give fewer than half.")
    if not 0 <= props <= 4:
        raise InputError(f"sentiment cannot have {props} props. Give a number from 0 to 4.")
