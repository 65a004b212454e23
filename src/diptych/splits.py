"""Splits: the three disjoint parts of a task's items; items of one cluster stay together. No torch here."""

import hashlib
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from diptych.errors import InputError

Split = Literal["discover", "select", "test"]
SPLITS: tuple[Split, ...] = ("discover", "select", "test")


class Divided(Protocol):
    """What is put into splits, and may name its own."""

    @property
    def id(self) -> str: ...
    @property
    def cluster(self) -> str: ...
    @property
    def split(self) -> Split | None: ...


Kind = TypeVar("Kind", bound=Divided)


def split_up(name: str, items: Sequence[Kind]) -> dict[Split, tuple[Kind, ...]]:
    """The items of a task by their own splits, else thirds of the clusters by hash."""
    if items[0].split is not None:
        return {split: tuple(item for item in items if item.split == split) for split in SPLITS}
    clusters = sorted(
        {item.cluster for item in items}, key=lambda c: hashlib.sha256(f"{name}:{c}".encode()).hexdigest()
    )
    place = {cluster: SPLITS[rank * len(SPLITS) // len(clusters)] for rank, cluster in enumerate(clusters)}
    return {split: tuple(item for item in items if place[item.cluster] == split) for split in SPLITS}


def require_undivided(name: str, items: Sequence[Divided]) -> None:
    """Raise `InputError` unless all items have a split of their own or none has, and no cluster is in two."""
    without = [item.id for item in items if item.split is None]
    if without and len(without) < len(items):
        raise InputError(
            f"Task '{name}' has {len(items) - len(without)} items with a split and {len(without)} without, such as "
            f"'{without[0]}'. Give every item a split, or none."
        )
    places: dict[str, Split | None] = {}
    for item in items:
        if places.setdefault(item.cluster, item.split) != item.split:
            raise InputError(
                f"Cluster '{item.cluster}' of task '{name}' is in the splits {places[item.cluster]} and {item.split}. "
                f"Items of one entity or picture are not independent: put them into one split."
            )
