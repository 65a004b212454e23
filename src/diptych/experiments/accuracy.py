"""Accuracy: is the task done worse from an image than from text? Every prompt of both panels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._example import example
from diptych.experiments._halving import Along, Halving
from diptych.experiments._parameters import Seed
from diptych.experiments._survey import answers_of
from diptych.experiments._text import fixed, from_lines, from_tensor, interval, model_facts, to_lines, to_tensor
from diptych.figures import Bars, Series
from diptych.items import MODALITIES, SPLITS, Item, Modality, Split, Task
from diptych.models.encode import AnswerTokens, answer_tokens, encode_item
from diptych.models.questions import run_prompts
from diptych.models.vlm import VLM
from diptych.pictures import plain_digest
from diptych.result import Row, numbers
from diptych.run import Finding, Run, Unit
from diptych.statistics import INTERVAL, Estimate, bounded_mean, mcnemar, paired_difference

VERSION = 4
USES = ()
DIFFERENCE = "text minus image"


def accuracy(run: Run, *, seed: Seed = 0) -> Finding:
    """Share of prompts whose answer has the highest logit among the answer set, per panel and split.

    The other experiments read from it which prompts are answered correctly, their layouts, and the answers' first tokens.
    """
    ((_, tokens),) = run.map(find_answers, [Unit("all", run.task)], name="answers")
    answers = answers_of(run.task, tokens)
    _require_distinguishable(run.task, answers)
    grids = {"answers": tokens["answers"], "leading_space": tokens["leading_space"]}
    for modality in MODALITIES:
        for split in SPLITS:
            grids |= _answered(run, answers, modality, split)
    cells = {
        (m, s): grids[f"{m}.{s}.correct"].numpy() for m in MODALITIES for s in SPLITS if f"{m}.{s}.correct" in grids
    }
    rows = [accuracy_row(run.task, modality, split, correct, seed) for (modality, split), correct in cells.items()]
    facts = from_tensor(tokens["facts"])
    return Finding(
        summary=_summary(run.task, rows),
        rows=rows,
        conditions=facts
        | {"interval": INTERVAL, "seed": seed, "leading_space": answers.leading_space}
        | _difference(run.task, cells),
        figures=[_bars(rows), example(run, answers)],
        notes=_notes(run.task, cells, answers),
        grids=grids,
    )


def _require_distinguishable(task: Task, answers: AnswerTokens) -> None:
    if len(answers.choices) < 2:
        raise InputError(
            f"The answers of task '{task.name}' ({', '.join(task.answers[:4])}, ...) all begin with the same token, so they "
            f"cannot be told apart. Expected answers that differ in their first token: reword them."
        )


def find_answers(vlm: VLM, task: Task) -> dict[str, Tensor]:
    """First tokens of the task's answers, in its order, and what is to be known of the model."""
    found = answer_tokens(vlm, task)
    tokens = torch.tensor([found.tokens[answer] for answer in task.answers])
    return {"answers": tokens, "leading_space": torch.tensor(found.leading_space), "facts": to_tensor(model_facts(vlm))}


@torch.no_grad()
def answer_items(
    vlm: VLM, payload: tuple[int, Sequence[Item]], *, modality: Modality, answers: AnswerTokens
) -> dict[str, Tensor]:
    """Per item: whether the answer wins among the answer set, its probability, the winner, and where the data lies.

    `layouts`: as lines of JSON; `forms`: numbers of the pictures' forms.
    """
    _, items = payload
    prompts = [encode_item(vlm, item, modality) for item in items]
    choices = answers.choices
    logits = torch.empty(len(items), len(choices))
    probability = torch.empty(len(items))
    for rows, found in run_prompts(vlm, prompts):
        given = answers.of([items[row] for row in rows])[:, None]
        logits[rows] = found.cpu()[:, choices].to(logits)
        probability[rows] = found.cpu().softmax(-1).gather(1, given)[:, 0].to(probability)
    predicted = choices[logits.argmax(-1)]
    return {
        "correct": predicted == answers.of(items),
        "probability": probability,
        "predicted": predicted,
        "layouts": to_lines([p.layout.to_json() for p in prompts]),
        "forms": torch.tensor([p.form for p in prompts]),
    }


def _answered(run: Run, answers: AnswerTokens, modality: Modality, split: Split) -> dict[str, Tensor]:
    items = [item for item in run.task.split(split) if item.has(modality)]
    if not items:
        return {}
    order = _together(items)
    chunks = [[items[place] for place in order[s : s + run.batch_size]] for s in range(0, len(items), run.batch_size)]
    units = [Unit(f"{chunk[0].id}+{len(chunk)} {_digest(chunk)}", (0, chunk)) for chunk in chunks]
    work = Halving(partial(answer_items, modality=modality, answers=answers), Along(0))
    found = [values for _, values in run.map(work, units, name=f"{modality} {split}")]
    joined = {name: torch.cat([values[name] for values in found]) for name in found[0]}
    back = np.argsort(order).tolist()
    lines = from_lines(joined.pop("layouts"))
    ordered = {name: values[back] for name, values in joined.items()} | {"layouts": to_lines([lines[k] for k in back])}
    return {f"{modality}.{split}.{name}": values for name, values in ordered.items()}


def _together(items: Sequence[Item]) -> list[int]:
    """Places of the items, those of one cluster one behind the other: questions about one picture share its cost."""
    clusters = {cluster: rank for rank, cluster in enumerate(dict.fromkeys(item.cluster for item in items))}
    return sorted(range(len(items)), key=lambda place: clusters[items[place].cluster])


def _digest(items: Sequence[Item]) -> str:
    """Tells units apart that begin alike: which items are together has changed before."""
    return plain_digest([item.id for item in items])[:8]


def accuracy_row(task: Task, modality: Modality, split: Split, correct: np.ndarray[Any, Any], seed: int) -> Row:
    items = [item for item in task.split(split) if item.has(modality)]
    found: Estimate = bounded_mean(correct.astype(float), [item.cluster for item in items], seed=seed)
    given = [item.answer for item in items]
    return {
        "panel": modality,
        "split": split,
        "accuracy": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "right": int(correct.sum()),
        "commonest answer": max(map(given.count, set(given))) / len(given),
    }


def _summary(task: Task, rows: Sequence[Row]) -> str:
    test = {row["panel"]: row for row in rows if row["split"] == "test"}
    if not test:
        raise InputError(f"Task '{task.name}' has an empty test split. It needs more items or more clusters.")
    said = [f"{fixed(r['accuracy'], 1, factor=100)}% from {p} {interval(r, 1, factor=100)}" for p, r in test.items()]
    chance = fixed(next(iter(test.values()))["commonest answer"], 1, factor=100)
    return f"On test, {task.name} is answered correctly {' and '.join(said)}; always giving the commonest answer: {chance}%."


def _difference(task: Task, cells: dict[tuple[Modality, Split], Any]) -> dict[str, float]:
    """Text minus image on test with its interval, and McNemar's p; nothing if items lack a panel."""
    items = task.split("test")
    if not items or not all(item.paired for item in items):
        return {}
    text, image = (cells[panel, "test"] for panel in MODALITIES)
    found = paired_difference(text.astype(float) - image, [item.cluster for item in items])
    told = {DIFFERENCE: found.value, f"{DIFFERENCE}, low": found.low, f"{DIFFERENCE}, high": found.high}
    return told | {"McNemar p": mcnemar(text, image)}


def _notes(task: Task, cells: dict[tuple[Modality, Split], Any], answers: AnswerTokens) -> list[str]:
    notes = []
    if ("text", "test") in cells and ("image", "test") in cells and all(item.paired for item in task.split("test")):
        p = mcnemar(cells["text", "test"], cells["image", "test"])
        notes.append(f"Text against image on the same test items: McNemar p = {p:.2g}.")
    uses = Counter(answers.tokens.values())
    shared = sum(count for count in uses.values() if count > 1)
    if shared:
        notes.append(
            f"{shared} of {len(answers.tokens)} answers share their first token with another one and are not told apart: "
            f"giving either counts as right."
        )
    return notes


def _bars(rows: Sequence[Row]) -> Bars:
    cells = {(row["panel"], row["split"]): row for row in rows}
    splits = [split for split in SPLITS if any((m, split) in cells for m in MODALITIES)]

    def series(name: str, modality: Modality, *columns: str) -> Series:
        some = [cells.get((modality, split), dict.fromkeys(columns)) for split in splits]
        return Series(name, *(numbers(some, column) for column in columns))

    panels = [m for m in MODALITIES if any((m, split) in cells for split in splits)]
    commonest = [series(f"commonest answer, {m}", m, "commonest answer") for m in panels]
    same = all(other.values == commonest[0].values for other in commonest)
    return Bars(
        title="Accuracy by panel and split",
        caption="Share of prompts whose answer has the highest logit among the task's answers, beside that of always "
        "giving the commonest answer; lines on bars are 95% intervals over clusters.",
        x_title="split",
        y_title="accuracy",
        categories=splits,
        series=[
            *(series(m, m, "accuracy", "low", "high") for m in panels),
            *([replace(commonest[0], name="commonest answer")] if same else commonest),
        ],
    )
