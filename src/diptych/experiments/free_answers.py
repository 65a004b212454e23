"""Free answers: what the model writes, greedily, behind every prompt of a panel, with or without a back-patch."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from diptych.deployed import BackPatch
from diptych.errors import InputError
from diptych.experiments._halving import Along, Halving
from diptych.experiments._parameters import Count
from diptych.experiments._text import from_lines, from_tensor, model_facts, to_lines, to_tensor
from diptych.items import Item, Modality, Split
from diptych.models.generate import generate
from diptych.models.prompts import encode_item
from diptych.models.vlm import VLM
from diptych.run import Finding, Run, Unit

VERSION = 1
USES = ()

SHOWN = 5
"""How many texts are quoted in the notes."""
Place = tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)], Count]
"""Source, destination and window of a back-patch."""


def free_answers(
    run: Run,
    *,
    modality: Modality,
    split: Split = "test",
    cell: Place | None = None,
    rounds: Count = 1,
    max_new_tokens: Count = 16,
) -> Finding:
    """The texts of one panel, stored with the ids of their items; `free_accuracy` compares them with the accepted answers.

    `cell`: source, destination and window of a back-patch of the image panel, `rounds` its rounds.
    """
    items = [item for item in run.task.split(split) if item.has(modality)]
    patch = BackPatch(*cell, rounds=rounds) if cell else None
    _require_usable(run.task.name, items, modality, split, patch)
    texts = _texts(run, items, modality, patch, max_new_tokens)
    ((_, facts),) = run.map(tell, [Unit("facts", None)], name="facts")
    empty = sum(not text for text in texts)
    some = list(zip(items, texts, strict=True))[:SHOWN]
    return Finding(
        summary=f"On {split}, {run.task.name} is answered with {len(texts)} texts from {modality}, {empty} of them empty.",
        rows=[{"panel": modality, "n": len(texts), "wrote nothing": empty}],
        conditions=from_tensor(facts["facts"])
        | {"panel": modality, "split": split, "n": len(texts), "dropped": "none", "max_new_tokens": max_new_tokens}
        | {"cell": named(patch), "decoding": "greedy, prompts of one shape per batch"},
        notes=[f"First texts: {'; '.join(f'{item.id}: {text!r}' for item, text in some)}."],
        grids={"texts": to_lines(texts), "ids": to_lines([item.id for item in items])},
    )


def write(
    vlm: VLM, payload: tuple[int, Sequence[Item]], *, modality: Modality, patch: BackPatch | None, max_new_tokens: int
) -> dict[str, Tensor]:
    """What the model writes behind each prompt, as lines."""
    _, items = payload
    prompts = [encode_item(vlm, item, modality) for item in items]
    with patch.apply(vlm.model) if patch else nullcontext():
        texts = generate(vlm, prompts, max_new_tokens=max_new_tokens, batch_size=len(prompts))
    return {"texts": to_lines(texts)}


def tell(vlm: VLM, payload: None) -> dict[str, Tensor]:
    """What is to be known of the model."""
    return {"facts": to_tensor(model_facts(vlm))}


def named(patch: BackPatch | None) -> str:
    """A back-patch in words."""
    if patch is None:
        return "none"
    return f"layer {patch.src} into {patch.dst}, window {patch.window}, rounds {patch.rounds}"


def _texts(
    run: Run, items: Sequence[Item], modality: Modality, patch: BackPatch | None, max_new_tokens: int
) -> list[str]:
    starts = range(0, len(items), run.batch_size)
    units = [Unit(f"from{start}-of{run.batch_size}", (0, items[start : start + run.batch_size])) for start in starts]
    work = Halving(partial(write, modality=modality, patch=patch, max_new_tokens=max_new_tokens), Along(0))
    return [text for _, values in run.map(work, units, name="texts") for text in from_lines(values["texts"])]


def _require_usable(
    task: str, items: Sequence[Item], modality: Modality, split: Split, patch: BackPatch | None
) -> None:
    if not items:
        raise InputError(
            f"Task '{task}' has no {modality} panel in split '{split}'. Use a task or a split that has one."
        )
    if patch and modality != "image":
        raise InputError(f"A back-patch is of pictures, and the {modality} panel shows none. Leave out `cell`.")
