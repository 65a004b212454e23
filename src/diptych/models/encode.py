"""Encoding: contrasts as batches of one layout each, nothing padded (methods §2–3)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from diptych.alignment import Positions, Shape, align
from diptych.batch import Batch
from diptych.errors import InputError, MismatchError
from diptych.items import Contrast, Item, Modality
from diptych.layout import Layout
from diptych.models.answers import AnswerTokens, answer_tokens
from diptych.models.prompts import Prompt, collate, encode_item, tokenizer_of
from diptych.models.vlm import VLM

__all__ = [
    "AnswerTokens",
    "Encoded",
    "Prompt",
    "answer_tokens",
    "collate",
    "encode",
    "encode_item",
    "tokenizer_of",
]
"""Prompts and answers too are imported from here: whoever encodes needs all three."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Batches, each of one layout; the layout their grids are pooled onto; how many contrasts were dropped and why."""

    batches: list[Batch]
    dropped: dict[str, int]
    layout: Layout

    def __len__(self) -> int:
        return sum(map(len, self.batches))


def encode(
    vlm: VLM,
    contrasts: Sequence[Contrast],
    answers: AnswerTokens,
    *,
    batch_size: int = 16,
    positions: Positions = "aligned",
) -> Encoded:
    """Batches of contrasts, each of prompts of one layout and picture form, so that nothing is padded.

    `positions`: which contrasts are used together (`diptych.alignment.align`); scores of a batch are brought to one
    layout by `scores.pool(encoded.layout)`, a circuit to a batch by `circuit.expand(batch.layout)`. A contrast's two
    prompts need one layout: others are dropped and counted. Raises `InputError` if nothing is left.
    """
    dropped: Counter[str] = Counter()
    prompts: dict[tuple[str, Modality], Prompt] = {}
    pairs = []
    for contrast in contrasts:
        clean, counterfactual = (
            _cached(prompts, vlm, item, contrast.modality) for item in (contrast.clean, contrast.counterfactual)
        )
        if answers.tokens[clean.item.answer] == answers.tokens[counterfactual.item.answer]:
            dropped["answers share their first token"] += 1
        elif clean.shape != counterfactual.shape:
            dropped["prompts of different layouts or picture shapes"] += 1
        else:
            pairs.append((contrast, clean, counterfactual))
    if not pairs:
        raise InputError(
            f"None of {len(contrasts)} contrasts can be used: {dict(dropped)}. Expected two prompts of one layout whose "
            f"answers differ in their first token. Change the answers or the template of the task."
        )
    alignment = align([clean.shape for _, clean, _ in pairs], positions)
    groups: dict[Shape, list[tuple[Contrast, Prompt, Prompt]]] = {}
    for pair in pairs:
        groups.setdefault(pair[1].shape, []).append(pair)
    kept = [group for shape, group in groups.items() if shape in alignment.shapes]
    if len(kept) < len(groups):
        dropped["prompts of a rarer layout or picture shape"] += len(pairs) - sum(map(len, kept))
    chunks = [group[start : start + batch_size] for group in kept for start in range(0, len(group), batch_size)]
    return Encoded([_batch(chunk, answers) for chunk in chunks], dict(dropped), alignment.layout)


def _cached(seen: dict[tuple[str, Modality], Prompt], vlm: VLM, item: Item, modality: Modality) -> Prompt:
    key = (item.id, modality)
    if key not in seen:
        seen[key] = encode_item(vlm, item, modality)
    return seen[key]


def _batch(pairs: Sequence[tuple[Contrast, Prompt, Prompt]], answers: AnswerTokens) -> Batch:
    layout = pairs[0][1].layout
    if any(not torch.equal(a.tokens[layout.prefix], b.tokens[layout.prefix]) for _, a, b in pairs):
        raise MismatchError(
            "The prompts of a contrast differ before their data. The prefix must be the same in both: check the chat "
            "template, or give items whose sentences begin differently different groups."
        )
    return Batch(
        contrasts=tuple(contrast for contrast, _, _ in pairs),
        clean=collate([clean for _, clean, _ in pairs]),
        counterfactual=collate([counterfactual for _, _, counterfactual in pairs]),
        answers=answers.of([clean.item for _, clean, _ in pairs]),
        counter_answers=answers.of([counterfactual.item for _, _, counterfactual in pairs]),
        layout=layout,
    )
