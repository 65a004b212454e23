"""Items, tasks and contrasts: what is asked, in up to two panels. No torch here."""

import hashlib
import inspect
import json
import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from diptych.errors import InputError
from diptych.raster import as_rgb
from diptych.registry import source_digest
from diptych.spans import NamedRange, require_ranges

if TYPE_CHECKING:
    from PIL.Image import Image

Modality = Literal["text", "image"]
Split = Literal["discover", "select", "test"]
MODALITIES: tuple[Modality, ...] = ("text", "image")
SPLITS: tuple[Split, ...] = ("discover", "select", "test")


class Picture(Protocol):
    """An image that is opened late."""

    def open(self) -> "Image":
        """The picture as an RGB image."""
        ...

    def digest(self) -> str:
        """Identity of the content, without drawing it."""
        ...


@dataclass(frozen=True)
class ImageFile:
    """A picture in a file."""

    path: Path

    def open(self) -> "Image":
        from PIL import Image

        try:
            with Image.open(self.path) as image:
                return as_rgb(image)
        except Exception as error:  # of a damaged file: OSError, SyntaxError, ValueError, or Pillow's own
            raise InputError(
                f"Image '{self.path}' cannot be opened: {error}. "
                f"Expected a picture that Pillow reads (PNG, JPEG, WebP). Replace the file or drop the item."
            ) from error

    def digest(self) -> str:
        try:
            return hashlib.sha256(Path(self.path).read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"Image '{self.path}' cannot be read: {error.strerror}. Check the path.") from error


@dataclass(frozen=True)
class Drawing:
    """A picture drawn by a function of a module from plain (JSON) arguments; the same arguments give the same pixels."""

    draw: Callable[..., "Image"]
    arguments: dict[str, Any]

    def __post_init__(self) -> None:
        name = getattr(self.draw, "__name__", repr(self.draw))
        if getattr(inspect.unwrap(self.draw), "__globals__", {}).get(name) is not self.draw:
            raise InputError(
                f"'{name}' is not a function of a module. Draw with one that is defined at the top of a file."
            )
        try:
            json.dumps(self.arguments)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The arguments of '{name}' are not plain: {error}. Give texts, numbers, lists."
            ) from error

    def open(self) -> "Image":
        return self.draw(**self.arguments)

    def digest(self) -> str:
        return _sha256([self.draw.__name__, source_digest(self.draw), self.arguments])

    def __hash__(self) -> int:
        return hash(_sha256(self.arguments))


@dataclass(frozen=True)
class Item:
    """One question in up to two panels.

    `text` holds the data as text, `image` the same data as a picture or several; an item with both is *paired*.
    `query` follows the data in either panel. Counterfactuals share the item's `group` (the question template);
    items of one `cluster` (entity, scene) share a split and are resampled together. `spans` names parts of the text and
    the query by their characters; `cells` cuts the picture into rows × columns of spans (guide: positions).
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
        for name in ("text", "query", "answer"):
            _refuse_control_characters(self.id, name, getattr(self, name) or "")
        require_ranges(self.id, self.spans, {"text": self.text, "query": self.query})
        if min(self.cells) < 1:
            raise InputError(f"Item '{self.id}' has {self.cells} cells; expected at least 1 row and 1 column.")
        if self.cells != (1, 1) and len(self.pictures) > 1:
            raise InputError(
                f"Item '{self.id}' has {len(self.pictures)} pictures and cells, which are parts of one picture."
            )
        if not self.cluster:
            object.__setattr__(self, "cluster", self.id)

    @property
    def paired(self) -> bool:
        return self.text is not None and self.image is not None

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures of the image panel in their order; none if there is no such panel."""
        if isinstance(self.image, tuple):
            return self.image
        return () if self.image is None else (self.image,)

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
    """A named set of items with the set of possible answers."""

    name: str
    version: int
    items: tuple[Item, ...]
    answers: tuple[str, ...]

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

    def split(self, split: Split) -> tuple[Item, ...]:
        """Items of one of three disjoint splits; a cluster is never divided."""
        if split not in SPLITS:
            raise InputError(f"No split named '{split}'. Known: {', '.join(SPLITS)}.")
        return self._by_split[split]

    @cached_property
    def _by_split(self) -> dict[str, tuple[Item, ...]]:
        return _split_by_cluster(self.name, self.items)

    @cached_property
    def _digest(self) -> str:
        return _sha256([self.name, self.version, list(self.answers), [_plain(item) for item in self.items]])[:12]

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
            clusters = sorted({item.cluster for item in items}, key=lambda c: _sha256([self.name, "fold", c]))
            ranks |= {cluster: rank for rank, cluster in enumerate(clusters)}
        return ranks

    def _partners(self, item: Item, other: Item) -> bool:
        alike = other.group == item.group and self.fold(other, 2) == self.fold(item, 2)
        return alike and other.answer != item.answer and (other.paired or not item.paired)


def _split_by_cluster(name: str, items: tuple[Item, ...]) -> dict[str, tuple[Item, ...]]:
    clusters = sorted(
        {item.cluster for item in items}, key=lambda c: hashlib.sha256(f"{name}:{c}".encode()).hexdigest()
    )
    place = {cluster: SPLITS[rank * len(SPLITS) // len(clusters)] for rank, cluster in enumerate(clusters)}
    return {split: tuple(item for item in items if place[item.cluster] == split) for split in SPLITS}


def _plain(item: Item) -> list[Any]:
    digests = [picture.digest() for picture in item.pictures]
    picture = digests if isinstance(item.image, tuple) else next(iter(digests), None)
    return [item.id, item.text, picture, item.query, item.answer, item.spans, item.cells, item.group, item.cluster]


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _refuse_duplicates(message: str, values: list[str]) -> None:
    seen: set[str] = set()
    twice = sorted({value for value in values if value in seen or seen.add(value)})  # type: ignore[func-returns-value]
    if twice:
        raise InputError(f"{message}: {twice[:5]}. Each must be unique.")


def _refuse_control_characters(item_id: str, name: str, value: str) -> None:
    bad = sorted({f"U+{ord(c):04X}" for c in value if unicodedata.category(c) == "Cc" and c not in "\n\t"})
    if bad:
        raise InputError(f"Item '{item_id}' has control characters in its {name}: {', '.join(bad)}. Remove them.")
