"""Earliness: does the gap between text and image differ where the picture can be read early?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diptych.experiments._layers import Array, columns
from diptych.experiments._text import fixed
from diptych.figures import Bars, Series
from diptych.items import MODALITIES, Item, Modality
from diptych.result import Row, numbers
from diptych.statistics import paired_difference
from diptych.turns import FEWEST

GROUPS = ("early", "late")


@dataclass(frozen=True)
class Earliness:
    """Prompts by the earliest sufficient layers of the *other* prompts of their cluster: early if the median is below one.

    A prompt says nothing of its own group. The layer is known of prompts that the image answers only, so groups of prompts
    that classify themselves would be answered from the image without exception.
    """

    members: Mapping[str, Sequence[Item]]  # prompts of both panels, by group
    outside: int  # clusters of which no prompt is in a group

    @classmethod
    def of(cls, items: Sequence[Item], layers: Mapping[str, float], early: int) -> "Earliness":
        """`layers`: the earliest sufficient layer by the id of the items that have one."""
        found: dict[str, list[Item]] = {group: [] for group in GROUPS}
        for item in items:
            others = [layers[o.id] for o in items if o.cluster == item.cluster and o.id != item.id and o.id in layers]
            if others:
                found["early" if np.median(others) < early else "late"].append(item)
        placed = {item.cluster for some in found.values() for item in some}
        return cls(found, len({item.cluster for item in items} - placed))

    @property
    def grouped(self) -> bool:
        """Whether any prompt is in a group."""
        return any(self.members.values())

    def rows(self, right: Mapping[Modality, Mapping[str, float]]) -> list[Row]:
        """Accuracies and gap of each group of at least `FEWEST` clusters."""
        return [_row(group, some, right) for group, some in self.members.items() if _clusters(some) >= FEWEST]

    def notes(self) -> list[str]:
        """What no gap is told of."""
        small = {group: _clusters(some) for group, some in self.members.items() if 0 < _clusters(some) < FEWEST}
        few = [
            f"No gap is told of the {group} clusters: {n}, at least {FEWEST} expected." for group, n in small.items()
        ]
        if not self.grouped:
            return ["No gap by group: no cluster has a further prompt beside one that the frozen picture answers."]
        return [
            "A prompt's group is that of the other prompts of its cluster, never its own, since the layer is known only of "
            f"prompts that the image answers; {self.outside} clusters are in neither group.",
            *few,
        ]


def _clusters(items: Sequence[Item]) -> int:
    return len({item.cluster for item in items})


def _row(group: str, items: Sequence[Item], right: Mapping[Modality, Mapping[str, float]]) -> Row:
    text, image = (np.array([right[panel][item.id] for item in items]) for panel in MODALITIES)
    gap = paired_difference(text - image, [item.cluster for item in items])
    accuracies = {"text": float(text.mean()), "image": float(image.mean())}
    return dict[str, Any](group=group, clusters=_clusters(items)) | accuracies | columns("gap", gap) | {"n": gap.n}


def told(groups: Sequence[Row], outside: int, early: int) -> str:
    """The gaps as the end of a sentence; nothing where there are none."""
    if not groups:
        return ""
    gaps = " and ".join(_said(row) for row in groups)
    return (
        f"; the gap between text and image, of prompts whose cluster's others are sufficient below layer {early} (early) or "
        f"not (late), is {gaps}, with {outside} clusters in neither"
    )


def _said(row: Row) -> str:
    gap, low, high = (fixed(row[f"gap{bound}"], 1, factor=100, sign="+") for bound in ("", ", low", ", high"))
    return f"{gap} points [{low}, {high}] {row['group']} (n = {row['n']} in {row['clusters']} clusters)"


def bars(groups: Sequence[Row], early: int) -> list[Bars]:
    """Both groups' accuracies; no figure where there is no group."""
    if not groups:
        return []
    return [
        Bars(
            title="Accuracy where the picture is sufficient early and late",
            caption=f"Accuracy on test prompts of clusters whose other prompts are sufficient below layer {early} (early) or "
            f"not (late); number of clusters in parentheses.",
            x_title="clusters",
            y_title="accuracy",
            categories=[f"{row['group']} ({row['clusters']})" for row in groups],
            series=[Series(panel, numbers(groups, panel)) for panel in MODALITIES],
        )
    ]


def by_id(items: Sequence[Item], first: Array) -> dict[str, float]:
    """Earliest sufficient layers by item."""
    return {item.id: float(layer) for item, layer in zip(items, first, strict=True)}
