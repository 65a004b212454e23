"""What experiments take from `accuracy`: which prompts to use, of which layout, and with which answer tokens."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diptych.errors import InputError
from diptych.grid import Scores
from diptych.items import Contrast, Item, Modality, Split, Task
from diptych.layout import Layout
from diptych.models.encode import AnswerTokens
from diptych.result import Result
from diptych.run import Run, Unit

Kind = TypeVar("Kind", Item, Contrast)


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

    def layout(self, modality: Modality) -> Layout:
        """The commonest layout of the discover split."""
        start, stop, length, _ = self._commonest(modality)
        return Layout.of((start, stop), length)

    def contrasts(self, modality: Modality, split: Split, *, seed: int) -> "Selection[Contrast]":
        """Contrasts of the survey's layout whose clean prompt is answered correctly and whose answers can be told apart."""
        tokens = self.answers.tokens
        right, fits = self._by_id(modality, split, "correct"), self._fits(modality, split)
        reasons = {
            "answered wrongly": lambda c: not right[c.clean.id],
            "answers share their first token": lambda c: tokens[c.clean.answer] == tokens[c.counterfactual.answer],
            "prompt of a rarer layout or picture shape": lambda c: not (fits[c.clean.id] and fits[c.counterfactual.id]),
        }
        everything = self.run.task.contrasts(modality, split, seed)
        chosen = self._select(modality, split, everything, reasons, seed)
        alone = sum(item.has(modality) for item in self.run.task.split(split)) - len(everything)
        return replace(chosen, dropped=chosen.dropped | {"no counterfactual": alone}) if alone else chosen

    def items(self, modality: Modality, split: Split) -> "Selection[Item]":
        """All items of the survey's layout, answered correctly or not."""
        fits = self._fits(modality, split)
        everything = [item for item in self.run.task.split(split) if item.has(modality)]
        return self._select(
            modality,
            split,
            everything,
            {"prompt of a rarer layout or picture shape": lambda item: not fits[item.id]},
            0,
        )

    def _select(
        self, modality: Modality, split: Split, everything: Sequence[Any], reasons: dict[str, Any], seed: int
    ) -> "Selection[Any]":
        why = [next((reason for reason, applies in reasons.items() if applies(one)), None) for one in everything]
        kept = [one for one, reason in zip(everything, why, strict=True) if reason is None]
        dropped = Counter(reason for reason in why if reason is not None)
        if len(kept) < 2:
            raise InputError(
                f"{len(kept)} of {len(everything)} {modality} prompts of split '{split}' of task '{self.run.task.name}' "
                f"can be used; dropped: {dict(dropped)}. Expected at least 2. Use a model that does the task, more "
                f"items, or answers that differ in their first token."
            )
        return Selection(self.run.task, modality, split, self.layout(modality), tuple(kept), dict(dropped), seed)

    def _fits(self, modality: Modality, split: Split) -> dict[str, bool]:
        wanted = list(self._commonest(modality))
        return {name: spans == wanted for name, spans in self._by_id(modality, split, "spans").items()}

    def _commonest(self, modality: Modality) -> tuple[int, int, int, int]:
        """Data start, data end, length and picture form of most discover prompts."""
        rows = self._column(modality, "discover", "spans").tolist()
        start, stop, length, form = Counter(map(tuple, rows)).most_common(1)[0][0]
        return start, stop, length, form

    def _by_id(self, modality: Modality, split: Split, name: str) -> dict[str, Any]:
        ids = [item.id for item in self.run.task.split(split) if item.has(modality)]
        return dict(zip(ids, self._column(modality, split, name).tolist(), strict=True))

    def _column(self, modality: Modality, split: Split, name: str) -> Tensor:
        column = f"{modality}.{split}.{name}"
        if column not in self.grids:
            raise InputError(
                f"Task '{self.run.task.name}' has no {modality} panel in split '{split}'. Use a task that has one."
            )
        return self.grids[column]


@dataclass(frozen=True)
class Selection(Generic[Kind]):
    """What is used of one split, and what was dropped for which reason."""

    task: Task
    modality: Modality
    split: Split
    layout: Layout
    used: tuple[Kind, ...]
    dropped: dict[str, int]
    seed: int

    def units(self, batch_size: int, *, folds: int = 1) -> list[Unit]:
        """Chunks of at most `batch_size`; none crosses one of `folds` parts, which divide no cluster."""
        parts: dict[int, list[Kind]] = {fold: [] for fold in range(folds)}
        for one in self.used:
            parts[self.task.fold(one if isinstance(one, Item) else one.clean, folds)].append(one)
        return [
            Unit(f"{self.split}-fold{fold}-from{start}-of{batch_size}", (fold, part[start : start + batch_size]))
            for fold, part in parts.items()
            for start in range(0, len(part), batch_size)
        ]

    def conditions(self) -> dict[str, Any]:
        """n and drops of this split, for a result's conditions."""
        drops = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "none"
        return {f"n {self.split}": len(self.used), f"dropped {self.split}": drops}


def answers_of(task: Task, grids: Mapping[str, Tensor]) -> AnswerTokens:
    """The answers' first tokens, as `accuracy` stores them."""
    tokens = dict(zip(task.answers, grids["answers"].tolist(), strict=True))
    return AnswerTokens(tokens, bool(grids["leading_space"]))


@dataclass(frozen=True, eq=False)
class FoldScores:
    """A `discover` result's scores by fold of its contrasts, so that parts of them can be compared and resampled."""

    heads: Float[Tensor, "fold layer pos head"]
    neurons: Float[Tensor, "fold layer pos neuron"]
    prompts: Int[Tensor, " fold"]  # how many contrasts each fold holds
    layout: Layout
    model: str

    @classmethod
    def of(cls, run: Run, result: Result) -> "FoldScores":
        grids = run.grids(result)
        layout = Layout.from_json(json.loads(str(result.conditions["layout"])))
        return cls(grids["heads"], grids["neurons"], grids["prompts"], layout, str(result.conditions["model_digest"]))

    def mean(self, folds: Sequence[int] | None = None) -> Scores:
        """Mean over the prompts of the given folds (repeats count twice; all folds by default)."""
        chosen = range(len(self.prompts)) if folds is None else folds
        weights = torch.bincount(torch.tensor(list(chosen)), minlength=len(self.prompts)) * self.prompts
        if not weights.any():
            raise InputError(
                f"Folds {list(chosen)} hold none of the {int(self.prompts.sum())} contrasts. Use more items per split."
            )
        share = weights / weights.sum()
        heads, neurons = (torch.einsum("f,flpn->lpn", share, values) for values in (self.heads, self.neurons))
        return Scores(heads, neurons, self.layout, self.model)
