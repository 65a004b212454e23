"""Items, tasks and contrasts: what is asked, in up to two panels. No torch here."""

import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from diptych.errors import InputError
from diptych.pictures import Drawing, ImageFile, Picture, plain_digest
from diptych.spans import NamedRange, require_ranges
from diptych.splits import SPLITS, Split, require_undivided, split_up

__all__ = ["MODALITIES", "SPLITS", "Contrast", "Drawing", "ImageFile", "Item", "Modality", "Picture", "Split", "Task"]

Modality = Literal["text", "image"]
MODALITIES: tuple[Modality, ...] = ("text", "image")


@dataclass(frozen=True)
class Item:
    """One question in up to two panels.

    `text` holds the data as text, `image` the same data as a picture or several; an item with both is *paired*.
    `query` follows the data in either panel. Counterfactuals share the item's `group` (the question template);
    items of one `cluster` (entity, scene) share a split and are resampled together. `spans` names parts of the text and
    the query by their characters; `cells` cuts the picture into rows × columns of spans (guide: positions).

    `accepted`: texts that count as right beside `answer` when an answer is generated; one may be repeated, as by ten
    annotators. `split`: the item's own, or `None` to have it drawn. `sentence`: query and data in one sentence, for a
    text panel that asks so; it holds `text` once.
    """

    id: str
    text: str | None
    image: "Picture | tuple[Picture, ...] | None"
    query: str
    answer: str
    group: str = ""
    cluster: str = ""
    spans: tuple[NamedRange, ...] = ()
    cells: tuple[int, int] = (1, 1)
    accepted: tuple[str, ...] = ()
    split: Split | None = None
    sentence: str = ""

    def __post_init__(self) -> None:
        for name in ("id", "text", "query", "answer"):
            if getattr(self, name) is not None and not getattr(self, name).strip():
                raise InputError(
                    f"Item '{self.id}' has an empty {name}. Every item needs an id, a query and an answer; text may be None."
                )
        if self.text is None and self.image is None:
            raise InputError(f"Item '{self.id}' has neither text nor image. Give at least one panel.")
        if self.image == ():
            raise InputError(
                f"Item '{self.id}' has an image panel of no pictures. Give some, or None for no such panel."
            )
        for name in ("text", "query", "answer", "sentence", "id", "group", "cluster"):
            _refuse_control_characters(self.id, name, getattr(self, name) or "")
        require_ranges(self.id, self.spans, {"text": self.text, "query": self.query})
        if min(self.cells) < 1:
            raise InputError(f"Item '{self.id}' has {self.cells} cells; expected at least 1 row and 1 column.")
        if self.cells != (1, 1) and len(self.pictures) > 1:
            raise InputError(
                f"Item '{self.id}' has {len(self.pictures)} pictures and cells, which are parts of one picture."
            )
        for accepted in self.accepted:
            _refuse_control_characters(self.id, "accepted answers", accepted)
        if self.sentence and (self.text is None or self.sentence.count(self.text) != 1):
            raise InputError(
                f"The sentence of item '{self.id}' does not hold its text '{self.text}' exactly once: '{self.sentence}'. "
                f"Write the text into it as it stands."
            )
        if self.split not in (None, *SPLITS):
            raise InputError(
                f"Item '{self.id}' is of split '{self.split}'. Expected {', '.join(SPLITS)}, or none for all items."
            )
        if not self.cluster:
            object.__setattr__(self, "cluster", self.id)

    @property
    def paired(self) -> bool:
        """Whether the item has both panels."""
        return self.text is not None and self.image is not None

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures of the image panel in their order; none if there is no such panel."""
        if isinstance(self.image, tuple):
            return self.image
        return () if self.image is None else (self.image,)

    @property
    def wording(self) -> tuple[str, int]:
        """The words of the text panel, and the character at which its data begins."""
        words = self.sentence or f"{self.text}\n{self.query}"
        return words, words.index(self.text or "")

    def has(self, modality: Modality) -> bool:
        """Whether the item has this panel."""
        return (self.text if modality == "text" else self.image) is not None


@dataclass(frozen=True)
class Contrast:
    """A clean item and its counterfactual, seen in one panel: same group, different answers."""

    modality: Modality
    clean: Item
    counterfactual: Item

    def __post_init__(self) -> None:
        for item in (self.clean, self.counterfactual):
            if not item.has(self.modality):
                raise InputError(f"Item '{item.id}' has no {self.modality} panel. Choose items that have one.")
        if self.clean.group != self.counterfactual.group:
            raise InputError(
                f"Items '{self.clean.id}' and '{self.counterfactual.id}' are of groups '{self.clean.group}' and "
                f"'{self.counterfactual.group}'. A contrast needs two items of one group."
            )
        if self.clean.answer == self.counterfactual.answer:
            raise InputError(
                f"Items '{self.clean.id}' and '{self.counterfactual.id}' have the same answer '{self.clean.answer}'. "
                f"A contrast needs different answers."
            )


@dataclass(frozen=True)
class Task:
    """A named set of items with the set of possible answers.

    `naming`: items that ask for the name of the entity in the picture, one for each cluster whose entity has a name.
    """

    name: str
    version: int
    items: tuple[Item, ...]
    answers: tuple[str, ...]
    naming: tuple[Item, ...] = ()

    def __post_init__(self) -> None:
        if not self.items:
            raise InputError(f"Task '{self.name}' has no items. Give at least two per split.")
        _refuse_duplicates(f"Task '{self.name}' has items of the same id", [item.id for item in self.items])
        _refuse_duplicates(f"Task '{self.name}' lists answers twice", list(self.answers))
        unlisted = sorted({item.answer for item in self.items} - set(self.answers))
        if unlisted:
            raise InputError(
                f"Task '{self.name}' has answers that are not in its answer set: {unlisted[:5]}. Add them to `answers`."
            )
        require_undivided(self.name, self.items)
        _refuse_unusable_naming(self.name, self.naming)

    def split(self, split: Split) -> tuple[Item, ...]:
        """Items of one of three disjoint splits; a cluster is never divided. Raises `InputError` for any other name."""
        if split not in SPLITS:
            raise InputError(f"No split named '{split}'. Known: {', '.join(SPLITS)}.")
        return self._by_split[split]

    @cached_property
    def _by_split(self) -> dict[Split, tuple[Item, ...]]:
        return split_up(self.name, self.items)

    @cached_property
    def _digest(self) -> str:
        told = [self.name, self.version, list(self.answers), [_plain(item) for item in self.items]]
        named = (
            [[_plain(item) for item in self.naming]] if self.naming else []
        )  # without, digests are those of old results
        return plain_digest(told + named)[:12]

    def digest(self) -> str:
        """12 hex digits that change when any item, answer or the version changes."""
        return self._digest

    def contrasts(
        self, modality: Modality, split: Split, seed: int = 0, alike: Callable[[Item, Item], bool] = lambda a, b: True
    ) -> list[Contrast]:
        """One contrast per item of the split that has the panel and a partner: same group, other answer, same half.

        The partner of a paired item is paired and does not depend on `modality`: both panels get the same one. Partners
        come from the same half of the split (`fold` of two), so split halves share no prompt.
        """
        items = [item for item in self.split(split) if item.has(modality)]
        found = []
        for item in items:
            partners = [p for p in items if self._partners(item, p) and alike(item, p)]
            if partners:
                partner = random.Random(f"{seed}:{item.id}").choice(partners)
                found.append(Contrast(modality, item, partner))
        return found

    def fold(self, item: Item, folds: int) -> int:
        """Which of `folds` parts of its split an item is in; a cluster is never divided, nor does a panel matter."""
        return self._rank[item.cluster] % folds

    @cached_property
    def _rank(self) -> dict[str, int]:
        """Place of each cluster among those of its split, by hash."""
        ranks: dict[str, int] = {}
        for items in self._by_split.values():
            clusters = sorted({item.cluster for item in items}, key=lambda c: plain_digest([self.name, "fold", c]))
            ranks |= {cluster: rank for rank, cluster in enumerate(clusters)}
        return ranks

    def _partners(self, item: Item, other: Item) -> bool:
        alike = other.group == item.group and self.fold(other, 2) == self.fold(item, 2)
        return alike and other.answer != item.answer and (other.paired or not item.paired)


def _plain(item: Item) -> list[Any]:
    digests = [picture.digest() for picture in item.pictures]
    picture = digests if isinstance(item.image, tuple) else next(iter(digests), None)
    told = [item.id, item.text, picture, item.query, item.answer, item.spans, item.cells, item.group, item.cluster]
    return [*told, list(item.accepted), item.split, item.sentence]


def _refuse_duplicates(message: str, values: list[str]) -> None:
    seen: set[str] = set()
    twice = sorted({value for value in values if value in seen or seen.add(value)})  # type: ignore[func-returns-value]
    if twice:
        raise InputError(f"{message}: {twice[:5]}. Each must be unique.")


def _refuse_unusable_naming(name: str, naming: tuple[Item, ...]) -> None:
    """Raise unless each item has a picture and is alone in its cluster."""
    _refuse_duplicates(f"Task '{name}' asks twice for the names of clusters", [item.cluster for item in naming])
    blind = [item.id for item in naming if not item.has("image")]
    if blind:
        raise InputError(
            f"Task '{name}' asks for names without a picture: {blind[:5]}. Expected items that show the entity: give them "
            f"an image."
        )


def _refuse_control_characters(item_id: str, name: str, value: str) -> None:
    bad = sorted({f"U+{ord(c):04X}" for c in value if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"})
    if bad:
        raise InputError(f"Item {item_id!r} has control characters in its {name}: {', '.join(bad)}. Remove them.")
