"""Free accuracy: are questions answered rightly when the model writes freely, and does a back-patch help it to?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._parameters import Count, MatcherName, Seed
from diptych.experiments._text import fixed, from_lines, interval, to_lines
from diptych.experiments.free_answers import SHOWN, Place
from diptych.figures import Bars, Series
from diptych.items import MODALITIES, Item, Modality, Split
from diptych.matching import accepted_answers, echoed, matcher
from diptych.result import Result, Row, numbers
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, bounded_mean, paired_difference

VERSION = 3
USES = ("free_answers",)

PER_PANEL = ("panel", "n", "dropped", "cell")
"""Conditions of `free_answers` that are told panel by panel."""


def free_accuracy(
    run: Run,
    *,
    match: MatcherName = "alias",
    split: Split = "test",
    cell: Place | None = None,
    rounds: Count = 1,
    max_new_tokens: Count = 16,
    seed: Seed = 0,
) -> Finding:
    """Accuracy of answers that the model writes freely, greedily, per panel; no answer set is needed.

    `match`: how a text is compared with the accepted answers (`diptych.matching`); the texts are those of `free_answers`,
    and are not written again for another one. `cell`: source, destination and window of a back-patch, with which the
    image panel is asked once more; choose it on another split (`diptych repair`).
    """
    items = {m: [item for item in run.task.split(split) if item.has(m)] for m in MODALITIES}
    items = {modality: some for modality, some in items.items() if some}
    _require_answerable(run.task.name, split, items, match)
    if cell and "image" not in items:
        raise InputError(
            f"Task '{run.task.name}' shows no pictures, so there is nothing to back-patch. Leave out `cell`."
        )
    asked: dict[str, dict[str, Any]] = {modality: {"modality": modality} for modality in items}
    if cell:
        asked["image, patched"] = {"modality": "image", "cell": cell, "rounds": rounds}
    shared = {"split": split, "max_new_tokens": max_new_tokens}
    # the patched panel first: a cell that the model does not have is refused before anything is written
    written = {name: run.get("free_answers", **shared, **one) for name, one in reversed(asked.items())}
    found = {name: _Answers.of(run, written[name], name, items[one["modality"]], match) for name, one in asked.items()}
    rows = [answers.row(found.get("image"), seed) for answers in found.values()]
    *_, plain = (result.conditions for result in written.values())
    return Finding(
        summary=_summary(run.task.name, split, rows),
        rows=rows,
        conditions={name: value for name, value in plain.items() if name not in PER_PANEL}
        | {"match": match, "seed": seed, "cell": written[list(asked)[-1]].conditions["cell"], "dropped": "none"}
        | {f"n {name}": len(answers.items) for name, answers in found.items()}
        | {"interval": INTERVAL},
        figures=[_bars(rows, split)],
        notes=_notes(found),
        grids={f"{name}.{what}": value for name, answers in found.items() for what, value in answers.grids().items()},
    )


@dataclass(frozen=True, eq=False)
class _Answers:
    """What was written for the items of one panel, and how right it is."""

    name: str
    items: Sequence[Item]
    modality: Modality
    texts: Sequence[str]
    match: MatcherName

    @classmethod
    def of(cls, run: Run, written: Result, name: str, items: Sequence[Item], match: MatcherName) -> "_Answers":
        """From a result of `free_answers` on these items."""
        modality: Modality = "text" if written.conditions["panel"] == "text" else "image"
        return cls(name, items, modality, from_lines(run.grids(written)["texts"]), match)

    @property
    def scores(self) -> "np.ndarray[Any, Any]":
        """Between 0 and 1, per item."""
        compare = matcher(self.match)
        return np.array([compare(t, accepted_answers(i)) for t, i in zip(self.texts, self.items, strict=True)])

    @property
    def echoes(self) -> int:
        """Answers that count only because the prompt held them."""
        asked = [item.wording[0] if self.modality == "text" else item.query for item in self.items]
        pairs = zip(self.texts, self.items, asked, strict=True)
        return sum(echoed(text, accepted_answers(item), prompt, self.match) for text, item, prompt in pairs)

    def row(self, plain: "_Answers | None", seed: int) -> Row:
        """Accuracy with its interval; for the patched panel also the gain over the plain one, on the same items."""
        clusters = [item.cluster for item in self.items]
        accuracy = bounded_mean(self.scores, clusters, seed=seed)
        row: dict[str, Any] = {
            "panel": self.name,
            "accuracy": accuracy.value,
            "low": accuracy.low,
            "high": accuracy.high,
            "n": accuracy.n,
            "matched": int((self.scores > 0).sum()),
            "wrote nothing": sum(not text for text in self.texts),
            "echoes of the prompt": self.echoes,
        }
        if plain is None or plain.modality != self.modality or plain.name == self.name:
            return row | dict.fromkeys(("gain", "gain low", "gain high", "helped", "hurt"))
        gains = self.scores - plain.scores
        gain = paired_difference(gains, clusters)
        helped, hurt = int((gains > 0).sum()), int((gains < 0).sum())
        return row | {"gain": gain.value, "gain low": gain.low, "gain high": gain.high, "helped": helped, "hurt": hurt}

    def grids(self) -> dict[str, Tensor]:
        return {"scores": torch.tensor(self.scores), "texts": to_lines(self.texts)}


def _require_answerable(task: str, split: Split, items: Mapping[Modality, Sequence[Item]], match: MatcherName) -> None:
    """Refuse an empty split, and a matcher that cannot judge an item, before anything is generated."""
    if not items:
        raise InputError(f"Task '{task}' has an empty split '{split}'. It needs more items or more clusters.")
    for item in (item for some in items.values() for item in some):
        try:
            matcher(match)("", accepted_answers(item))
        except InputError as error:
            raise InputError(f"Item '{item.id}' of task '{task}' cannot be judged. {error}") from error


def _summary(task: str, split: Split, rows: Sequence[Row]) -> str:
    said = [f"{fixed(r['accuracy'], 1, factor=100)}% from {r['panel']} {interval(r, 1, factor=100)}" for r in rows]
    text = f"On {split}, {task} is answered freely and correctly {' and '.join(said)}"
    changed = [row for row in rows if row["gain"] is not None]
    if not changed:
        return text + "."
    bounds = {"low": changed[0]["gain low"], "high": changed[0]["gain high"]}
    gain = fixed(changed[0]["gain"], 1, factor=100, sign="+")
    return f"{text}; the back-patch changes it by {gain} points {interval(bounds, 1, factor=100, sign='+')}."


def _notes(found: Mapping[str, _Answers]) -> list[str]:
    """The first answers of each panel, as they were written."""
    notes = []
    for name, answers in found.items():
        some = list(zip(answers.items, answers.texts, answers.scores, strict=True))[:SHOWN]
        quoted = "; ".join(f"{item.id}: {text!r} for {item.answer!r} ({score:.2g})" for item, text, score in some)
        notes.append(f"First answers, {name}: {quoted}.")
    return [
        *notes,
        "All items of the split are asked. Texts are cut at the model's own end token or at max_new_tokens.",
    ]


def _bars(rows: Sequence[Row], split: Split) -> Bars:
    return Bars(
        title="Accuracy of free answers",
        caption=f"Mean score of the texts that the model writes, on {split}; lines on bars are 95% intervals over clusters.",
        x_title="panel",
        y_title="accuracy",
        categories=[str(row["panel"]) for row in rows],
        series=[Series("free answers", *(numbers(rows, name) for name in ("accuracy", "low", "high")))],
    )
