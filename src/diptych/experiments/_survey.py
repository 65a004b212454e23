"""What experiments take from `accuracy`: which prompts to use, of which layouts, and with which answer tokens."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Generic, TypeVar

from torch import Tensor

from diptych.alignment import Alignment, Positions, Shape, align
from diptych.errors import InputError
from diptych.experiments._text import from_lines
from diptych.items import MODALITIES, SPLITS, Contrast, Item, Modality, Split, Task
from diptych.layout import Layout
from diptych.models.encode import AnswerTokens
from diptych.run import Run, Unit

Kind = TypeVar("Kind", Item, Contrast)
RARER = "prompt of a rarer layout or picture shape"


@dataclass(frozen=True)
class Survey:
    """The accuracy result of a run, read back."""

    run: Run
    answers: AnswerTokens
    conditions: dict[str, Any]
    grids: dict[str, Tensor]

    @classmethod
    def of(cls, run: Run) -> "Survey":
        result = run.get("accuracy")
        grids = run.grids(result)
        facts = {k: v for k, v in result.conditions.items() if k not in ("interval", "seed")}
        return cls(run, answers_of(run.task, grids), facts, grids)

    def contrasts(self, modality: Modality, split: Split, *, seed: int, positions: Positions) -> "Selection[Contrast]":
        """Contrasts whose clean prompt is answered correctly and whose answers can be told apart.

        The counterfactual is drawn among prompts of the item's own layout in every panel, so that length drops no item
        that has such a partner.
        """
        tokens, right = self.answers.tokens, self._by_id(modality, split, "correct")
        alignment = self._alignment(modality, positions)
        reasons = {
            "answered wrongly": lambda c: not right[c.clean.id],
            "answers share their first token": lambda c: tokens[c.clean.answer] == tokens[c.counterfactual.answer],
            RARER: lambda c: self._shapes[modality][c.clean.id] not in alignment.shapes,
        }
        everything, dropped = self._drawn(modality, split, seed)
        return self._select(modality, split, everything, reasons, dropped, seed, positions)

    def items(self, modality: Modality, split: Split, positions: Positions | None = None) -> "Selection[Item]":
        """All items that have the panel, answered correctly or not; or those whose prompts a grid at `positions` is of."""
        everything = [item for item in self.run.task.split(split) if item.has(modality)]
        if positions is None:
            return self._select(modality, split, everything, {}, {}, 0, "span")
        alignment = self._alignment(modality, positions)
        reasons = {RARER: lambda item: self._shapes[modality][item.id] not in alignment.shapes}
        return self._select(modality, split, everything, reasons, {}, 0, positions)

    def donors(self, modality: Modality, split: Split, *, seed: int) -> "Selection[Contrast]":
        """All items that have the panel and a counterfactual of their layout, answered correctly or not."""
        everything, dropped = self._drawn(modality, split, seed)
        return self._select(modality, split, everything, {}, dropped, seed, "span")

    def pairs(self, modality: Modality, split: Split, *, seed: int) -> "Selection[Contrast]":
        """Contrasts of which both prompts are answered correctly: the counterfactual can be a donor."""
        found, right = self.contrasts(modality, split, seed=seed, positions="span"), self.right(modality, split)
        reasons = {"other prompt answered wrongly": lambda c: not right[c.counterfactual.id]}
        return self._select(modality, split, found.used, reasons, found.dropped, seed, "span")

    def answered(self, modality: Modality, split: Split) -> "Selection[Item]":
        """Items that are answered correctly in this panel."""
        everything, right = self.items(modality, split).used, self.right(modality, split)
        reasons = {"answered wrongly": lambda item: not right[item.id]}
        return self._select(modality, split, everything, reasons, {}, 0, "span")

    def _drawn(self, modality: Modality, split: Split, seed: int) -> tuple[list[Contrast], dict[str, int]]:
        """Each item with a counterfactual of its layout, and how many have none."""
        everything = self.run.task.contrasts(modality, split, seed, self._alike)
        alone = sum(item.has(modality) for item in self.run.task.split(split)) - len(everything)
        dropped = {"no counterfactual of its layout": alone} if alone else {}
        return everything, dropped

    def panels(self) -> list[Modality]:
        """Those that the task has in every split."""
        return [m for m in MODALITIES if all(f"{m}.{split}.forms" in self.grids for split in SPLITS)]

    def right(self, modality: Modality, split: Split) -> dict[str, float]:
        """1 or 0 by item: whether it is answered correctly."""
        return {name: float(right) for name, right in self._by_id(modality, split, "correct").items()}

    def _alike(self, item: Item, other: Item) -> bool:
        """Whether the prompts of two items have one shape in every panel that the first has."""
        panels = [shapes for modality, shapes in self._shapes.items() if item.has(modality)]
        return all(shapes[item.id] == shapes[other.id] for shapes in panels)

    def _select(
        self,
        modality: Modality,
        split: Split,
        everything: Sequence[Any],
        reasons: dict[str, Any],
        before: dict[str, int],
        seed: int,
        positions: Positions,
    ) -> "Selection[Any]":
        shapes, alignment = self._shapes[modality], self._alignment(modality, positions)
        why = [next((reason for reason, applies in reasons.items() if applies(one)), None) for one in everything]
        kept = [one for one, reason in zip(everything, why, strict=True) if reason is None]
        dropped = before | Counter(reason for reason in why if reason is not None)
        if len(kept) < 2:
            raise InputError(
                f"{len(kept)} of {len(everything) + sum(before.values())} {modality} prompts of split '{split}' of task "
                f"'{self.run.task.name}' can be used; dropped: {dropped}. Expected at least 2. Use a model that does the "
                f"task, more items (of one length, of pictures of one size), or answers that differ in their first token."
            )
        return Selection(self.run.task, split, positions, alignment, shapes, tuple(kept), dropped, seed)

    def _alignment(self, modality: Modality, positions: Positions) -> Alignment:
        """Of all prompts of a panel, whatever their split."""
        self._require_panel(modality, "discover")
        return align(self._shapes[modality].values(), positions)

    @cached_property
    def _shapes(self) -> dict[Modality, dict[str, Shape]]:
        """The shape of each item's prompt, by panel and item."""
        found: dict[Modality, dict[str, Shape]] = {modality: {} for modality in MODALITIES}
        for modality, split in product(MODALITIES, SPLITS):
            items = [item.id for item in self.run.task.split(split) if item.has(modality)]
            if items:
                layouts = map(Layout.from_json, from_lines(self._column(modality, split, "layouts")))
                forms = self._column(modality, split, "forms").tolist()
                found[modality] |= zip(items, zip(layouts, forms, strict=True), strict=True)
        return found

    def _by_id(self, modality: Modality, split: Split, name: str) -> dict[str, Any]:
        ids = [item.id for item in self.run.task.split(split) if item.has(modality)]
        return dict(zip(ids, self._column(modality, split, name).tolist(), strict=True))

    def _column(self, modality: Modality, split: Split, name: str) -> Tensor:
        self._require_panel(modality, split)
        return self.grids[f"{modality}.{split}.{name}"]

    def _require_panel(self, modality: Modality, split: Split) -> None:
        if f"{modality}.{split}.forms" not in self.grids:
            raise InputError(
                f"Task '{self.run.task.name}' has no {modality} panel in split '{split}'. Use a task that has one; an "
                f"experiment with the parameter `panels` can do without: -p panels={_other(modality)}."
            )


@dataclass(frozen=True)
class Selection(Generic[Kind]):
    """What is used of one split, and what was dropped for which reason."""

    task: Task
    split: Split
    positions: Positions
    alignment: Alignment
    shapes: Mapping[str, Shape] = field(repr=False)
    used: tuple[Kind, ...]
    dropped: dict[str, int]
    seed: int

    @property
    def layout(self) -> Layout:
        """What grids of these prompts are pooled onto."""
        return self.alignment.layout

    def units(self, batch_size: int, *, folds: int = 1) -> list[Unit]:
        """Chunks of at most `batch_size` prompts of one shape; none crosses one of `folds` parts, which divide no cluster."""
        groups: dict[tuple[int, Shape], list[Kind]] = {}
        for one in self.used:
            item = _item(one)
            groups.setdefault((self.task.fold(item, folds), self.shapes[item.id]), []).append(one)
        return [
            Unit(f"{self.split}-group{group}-from{start}-of{batch_size}", (fold, some[start : start + batch_size]))
            for group, ((fold, _), some) in enumerate(groups.items())
            for start in range(0, len(some), batch_size)
        ]

    def conditions(self) -> dict[str, Any]:
        """n and drops of this split, for a result's conditions."""
        drops = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "none"
        return {f"n {self.split}": len(self.used), f"dropped {self.split}": drops}

    def alignment_conditions(self) -> dict[str, Any]:
        """What a position of the grids is."""
        return {
            "positions": self.positions,
            "prompt shapes": len(self.alignment.shapes),
            "pooled spans": ", ".join(self.alignment.pooled) or "none",
            "layout": json.dumps(self.layout.to_json()),
        }


def clusters(units: Sequence[Unit]) -> list[str]:
    """The unit of resampling of each prompt, in the order of the units' values."""
    return [_item(one).cluster for unit in units for one in unit.payload[1]]


def _other(modality: Modality) -> Modality:
    return MODALITIES[1 - MODALITIES.index(modality)]


def _item(one: Item | Contrast) -> Item:
    return one if isinstance(one, Item) else one.clean


def answers_of(task: Task, grids: Mapping[str, Tensor]) -> AnswerTokens:
    """The answers' first tokens, as `accuracy` stores them."""
    tokens = dict(zip(task.answers, grids["answers"].tolist(), strict=True))
    return AnswerTokens(tokens, bool(grids["leading_space"]))
