"""Logit lens: which layer's states already say the answer, at the data and at the last position? (methods §9)"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diptych.errors import InputError
from diptych.experiments._lens import Read, curves, notes, summary
from diptych.experiments._pairs import FEWEST, Recorded, paired_items
from diptych.experiments._parameters import Count, Seed
from diptych.experiments._picture import map_over, picture_map
from diptych.experiments._survey import Survey
from diptych.experiments._text import from_tensor, to_tensor
from diptych.figures import PictureMaps
from diptych.items import MODALITIES, Item
from diptych.lens import logit_lens as lens
from diptych.models.encode import AnswerTokens, encode_item, tokenizer_of
from diptych.models.vlm import VLM
from diptych.run import Finding, Run, Unit
from diptych.statistics import INTERVAL

VERSION = 4
USES = ("accuracy",)


@dataclass(frozen=True)
class Pair:
    """An item, and one with another answer whose answer and words are the baseline."""

    item: Item
    counterfactual: Item


def logit_lens(run: Run, *, examples: Count = 2, seed: Seed = 0) -> Finding:
    """Probability, by layer, of the answer and of the words of the data, if all layers behind were skipped, on test.

    At the data's positions (image tokens, or the words themselves), mean over positions, and at the last position; beside
    those of the counterfactual. All paired items, answered correctly or not. `examples`: items whose image tokens are
    drawn over their picture.
    """
    survey = Survey.of(run)
    pairs, conditions = _pairs(run, survey.answers, seed)
    units = [
        Unit(f"test-from{start}-of{run.batch_size}", pairs[start : start + run.batch_size])
        for start in range(0, len(pairs), run.batch_size)
    ]
    found = [values["read"] for _, values in run.map(partial(read, answers=survey.answers), units, name="test")]
    read_out = Read(torch.cat(found).double().numpy(), [pair.item.cluster for pair in pairs], seed)
    shown = [Unit(pair.item.id, pair) for pair in pairs[:examples]]
    drawn = [from_tensor(values["map"]) for _, values in run.map(show, shown, name="examples")]
    rows = read_out.rows()
    return Finding(
        summary=summary(run.task.name, rows, read_out),
        rows=rows,
        conditions=survey.conditions | conditions | {"split": "test", "seed": seed, "interval": INTERVAL},
        figures=[*curves(read_out, rows), *_maps(drawn)],
        notes=[*notes(read_out), *sorted({one["reason"] for one in drawn if "reason" in one})],
    )


def _pairs(run: Run, answers: AnswerTokens, seed: int) -> tuple[list[Pair], dict[str, Any]]:
    items, told = paired_items(run.task, "test")
    partners = {one.clean.id: one.counterfactual for one in run.task.contrasts("text", "test", seed)}
    with_partner = [Pair(item, partners[item.id]) for item in items if item.id in partners]
    kept = [p for p in with_partner if answers.tokens[p.item.answer] != answers.tokens[p.counterfactual.answer]]
    dropped = {
        "without both panels": len(run.task.split("test")) - len(items),
        "no counterfactual": len(items) - len(with_partner),
        "answers share their first token": len(with_partner) - len(kept),
    }
    if len(kept) < FEWEST:
        raise InputError(
            f"{len(kept)} of {len(items)} test items of task '{run.task.name}' have a counterfactual with another first token "
            f"of the answer. Expected at least {FEWEST}: use more items, or answers that differ in their first token."
        )
    said = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    return kept, told | {"n test": len(kept), "dropped test": said or "none"}


@torch.no_grad()
def read(vlm: VLM, pairs: Sequence[Pair], *, answers: AnswerTokens) -> dict[str, Tensor]:
    """Probabilities of each pair's tokens: [pair, panel, layer, place (data, last), token set], nan for an empty set.

    Token sets: answer, the counterfactual's answer, words of the data that the counterfactual has not, and the reverse.
    """
    return {"read": torch.stack([_read_pair(vlm, pair, answers) for pair in pairs])}


def _read_pair(vlm: VLM, pair: Pair, answers: AnswerTokens) -> Tensor:
    own, other = (_words(vlm, item) for item in (pair.item, pair.counterfactual))
    answer, counter = (answers.tokens[item.answer] for item in (pair.item, pair.counterfactual))
    sets = [[answer], [counter], sorted(own - other), sorted(other - own)]
    return torch.stack([_read_panel(vlm, Recorded.of(vlm, pair.item, modality), sets) for modality in MODALITIES])


def _read_panel(vlm: VLM, recorded: Recorded, sets: Sequence[Sequence[int]]) -> Tensor:
    """[layer, place, token set]."""
    places = [*recorded.data(vlm), recorded.prompt.layout.generation.start]
    found = []
    for logits in lens(vlm, recorded.call, recorded.residuals, places):
        probability = logits[0].softmax(-1)  # [position, vocab]
        picked = [
            probability[:, some].sum(-1) if some else torch.full_like(probability[:, 0], torch.nan) for some in sets
        ]
        by_set = torch.stack(picked, -1)
        found.append(torch.stack([by_set[:-1].mean(0), by_set[-1]]))
    return torch.stack(found).cpu()


def _words(vlm: VLM, item: Item) -> set[int]:
    """The tokens of the data of the text panel."""
    prompt = encode_item(vlm, item, "text")
    return set(prompt.tokens[prompt.layout.data].tolist())


@torch.no_grad()
def show(vlm: VLM, pair: Pair) -> dict[str, Tensor]:
    """The likeliest token at each image position and the probability of the data's words there, at three depths, as JSON.

    No probability where the counterfactual has all these words. Where positions have no place in the picture: the reason.
    """
    recorded = Recorded.of(vlm, pair.item, "image")
    try:
        drawn = map_over(vlm, recorded.prompt)
    except InputError as error:
        return {"map": to_tensor({"reason": f"No picture is drawn. {error}"})}
    layers = len(recorded.residuals)
    chosen = sorted({layers // 4, layers // 2, layers - 1})
    words, maps = sorted(_words(vlm, pair.item) - _words(vlm, pair.counterfactual)), []
    places = recorded.data(vlm)
    for layer, logits in zip(
        chosen, lens(vlm, recorded.call, [recorded.residuals[c] for c in chosen], places), strict=True
    ):
        probability = logits[0].softmax(-1)
        likeliest = [tokenizer_of(vlm).decode([token]).strip() for token in probability.argmax(-1).tolist()]
        tint = probability[:, words].sum(-1).tolist() if words else [None] * len(places)
        maps.append({"layer": layer, "values": tint, "words": likeliest})
    return {"map": to_tensor(drawn | {"maps": maps, "answer": pair.item.answer})}


def _maps(drawn: Sequence[dict[str, Any]]) -> list[PictureMaps]:
    maps = [
        picture_map(f"answer '{one['answer']}', layer {layer['layer']}", one, layer["values"], layer["words"])
        for one in drawn
        if "maps" in one
        for layer in one["maps"]
    ]
    if not maps:
        return []
    caption = (
        "Image tokens of the first test items, drawn where they lie in the picture: the likeliest token under the lens, and "
        "as tint the probability of the words of the text panel that the counterfactual's has not (none if it has them all)."
    )
    return [PictureMaps("The picture under the lens", caption, "probability of the data's words", maps)]
