"""Several questions about one picture, answered by one token each: as whole prompts, and behind what they share."""

from collections.abc import Iterator

import torch

from benchmarks.bench import IMAGE_TOKEN, Bench, NoPicture, Subject
from benchmarks.ratios import Line, in_turns, ratios
from diptych.items import Item
from diptych.layout import Layout
from diptych.models.prompts import Prompt, by_shape
from diptych.models.questions import run_prompts
from diptych.models.stacking import stack

QUESTIONS = (1, 3, 10)
LENGTHS = 3
"""Of how many lengths the questions are, one position apart: prompts of one length share a batch."""


@torch.no_grad()
def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """How many times as long as now it takes to run every prompt whole, vision tower and all; and with the tower once."""
    if not isinstance(subject, Bench):
        raise SystemExit("Questions are asked of random models: choose 12, 28 or 2b.")
    for count in QUESTIONS:
        prompts = asked(subject, count)
        whole, seen_once, shared = (Asked(subject, prompts, way) for way in ("whole", "once", "shared"))
        shared()  # warm
        found = in_turns({"whole": whole, "once": seen_once, "shared": shared}, runs)
        said = f"{count} question{'s' * (count > 1)} a picture: whole prompts /"
        yield Line(f"{said} tower once", subject.called, ratios(found["whole"], found["once"]))
        yield Line(f"{said} shared beginning", subject.called, ratios(found["whole"], found["shared"]))


def asked(bench: Bench, count: int) -> list[Prompt]:
    """Prompts that begin alike, with their picture, and end each in another way."""
    start, stop = bench.picture.start, bench.picture.stop
    return [
        Prompt(
            Item(str(n), None, NoPicture(), "query", "yes"),
            _inputs(bench, n),
            Layout.of((start, stop), _length(bench, n)),
        )
        for n in range(count)
    ]


def _length(bench: Bench, number: int) -> int:
    return bench.length - number % LENGTHS


def _inputs(bench: Bench, number: int) -> dict[str, torch.Tensor]:
    first = bench.singles[0][0]
    ids = first["input_ids"][:, : _length(bench, number)].clone()
    behind = ids[:, bench.picture.stop + 1 :]
    behind.copy_(torch.randint(3, 900, behind.shape, generator=torch.Generator().manual_seed(number)))
    places = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == IMAGE_TOKEN).long(),
    }
    return {**first, **places}


class Asked:
    """The logits of all prompts."""

    def __init__(self, bench: Bench, prompts: list[Prompt], way: str) -> None:
        self.vlm, self.prompts, self.way = bench.vlm, prompts, way

    def __call__(self) -> None:
        if self.way == "shared":
            list(run_prompts(self.vlm, self.prompts))
            return
        inputs = [prompt.inputs for prompt in self.prompts]
        calls = self.vlm.capture_each(inputs) if self.way == "once" else [self.vlm.capture(one) for one in inputs]
        for places in by_shape(self.prompts):
            self.vlm.run(stack([calls[place] for place in places], calls[places[0]].batch_dims))
