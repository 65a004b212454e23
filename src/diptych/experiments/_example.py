"""The example prompt of a report: one item as the model sees it in both panels."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from diptych.experiments._picture import data_uri
from diptych.experiments._text import from_tensor, to_tensor
from diptych.figures import Example, Panel
from diptych.items import MODALITIES, Item, Modality
from diptych.layout import Layout
from diptych.models.encode import AnswerTokens, encode_item, tokenizer_of
from diptych.models.vlm import VLM
from diptych.raster import side_by_side
from diptych.run import Run, Unit


def example(run: Run, answers: AnswerTokens) -> Example:
    """The first test item, tokens and all."""
    item = run.task.split("test")[0]
    units = [Unit(modality, (item, modality)) for modality in MODALITIES if item.has(modality)]
    panels = [
        from_tensor(values["panel"]) for _, values in run.map(partial(show, answers=answers), units, name="example")
    ]
    return Example(
        title="One item in two panels",
        caption=f"Item {item.id} of the test split, as the model receives it.",
        query=item.query,
        answer=item.answer,
        panels=[Panel(**panel) for panel in panels],
    )


@torch.no_grad()
def show(vlm: VLM, payload: tuple[Item, Modality], *, answers: AnswerTokens) -> dict[str, Tensor]:
    """One panel of an item as plain JSON: tokens, segments, the model's answer and the picture."""
    item, modality = payload
    prompt = encode_item(vlm, item, modality)
    logits = vlm.run(vlm.capture(prompt.inputs))[0].cpu()
    choices = answers.choices
    best = int(choices[logits[choices].argmax()])
    named = [answer for answer, token in answers.tokens.items() if token == best]
    predicted = item.answer if item.answer in named else named[0]
    panel: dict[str, Any] = {
        "modality": modality,
        "tokens": [tokenizer_of(vlm).decode([token]) for token in prompt.tokens.tolist()],
        "segments": _segments(prompt.layout),
        "predicted": predicted,
        "probability": float(logits.softmax(-1)[best]),
        "picture": data_uri(side_by_side([picture.open() for picture in item.pictures]))
        if modality == "image"
        else None,
    }
    return {"panel": to_tensor(panel)}


def _segments(layout: Layout) -> list[str]:
    return [span.segment for span in layout.spans for _ in range(span.start, span.stop)]
