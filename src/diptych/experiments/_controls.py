"""Controls of one back-patching cell: another picture, noise, the layer itself, and several rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diptych.backpatch import Cell, back_patch, loop, noise_like
from diptych.experiments._halving import Halving
from diptych.experiments._survey import Selection, Survey, clusters
from diptych.experiments._sweep import Array, gain_row
from diptych.items import Contrast
from diptych.metrics import correct
from diptych.models.encode import AnswerTokens, collate, encode_item
from diptych.models.handed import record_handed
from diptych.models.vlm import VLM
from diptych.pictures import plain_digest
from diptych.result import Row
from diptych.run import Run

DONOR, NOISE, OWN = "wrong donor", "noise of matched norm", "own picture"


def control(vlm: VLM, payload: tuple[int, list[Contrast]], *, answers: AnswerTokens, **asked: Any) -> dict[str, Tensor]:
    """Whether each prompt is answered correctly in each of `controlled` [what, n], but the last: of that the largest
    change of a logit."""
    contrasts = payload[1]
    score = partial(correct, answers=answers.of([one.clean for one in contrasts]), choices=answers.choices)
    *every, itself = controlled(vlm, contrasts, **asked)
    return {
        "right": torch.stack([score(logits).cpu() for logits in every]),
        "identity": (itself - every[0]).abs().amax(-1).cpu(),
    }


@torch.no_grad()
def controlled(
    vlm: VLM, contrasts: Sequence[Contrast], *, cell: Cell, draws: int, rounds: int, seed: int
) -> list[Tensor]:
    """Logits of the clean prompts [n, vocab]: unpatched, patched from themselves, from their counterfactuals, from draws of
    noise, after each round, and with the destination layers patched from themselves."""
    modality = contrasts[0].modality
    prompts, others = (
        [encode_item(vlm, item, modality) for item in items]
        for items in zip(*((one.clean, one.counterfactual) for one in contrasts), strict=True)
    )
    call, data = vlm.capture(collate(prompts)), prompts[0].layout.data
    with record_handed(vlm) as own:
        plain = vlm.run(call)
    with record_handed(vlm) as wrong:
        vlm.run(vlm.capture(collate(others)))

    def patched(sources: Sequence[Tensor], where: Cell = cell) -> Tensor:
        ((_, logits),) = back_patch(vlm, call, data, [where], sources=sources)
        return logits

    needed = {source for source, _ in cell.pairs(len(own))}
    ids = [prompt.item.id for prompt in prompts]
    noisy = (
        [noise_like(r, _seeds(ids, seed, draw, layer)) if layer in needed else r for layer, r in enumerate(own)]
        for draw in range(draws)
    )
    itself = patched(own, Cell(cell.destination, cell.window, cell.destination))
    return [plain, *map(patched, (own, wrong, *noisy)), *loop(vlm, call, data, cell, rounds), itself]


def _seeds(ids: Sequence[str], *told: int) -> list[int]:
    """One per prompt, whatever batch it is in."""
    return [int(plain_digest(["noise", *told, one])[:12], 16) for one in ids]


@dataclass(frozen=True, eq=False)
class Controls:
    """Right or wrong under each control of a cell [what, n], as `control` orders them; `identity`: largest change of a logit."""

    cell: Cell
    right: Array
    identity: float
    clusters: Sequence[str]
    draws: int

    @classmethod
    def of(
        cls, run: Run, survey: Survey, chosen: Selection[Contrast], cell: Cell, draws: int, rounds: int, seed: int
    ) -> "Controls":
        """Of every prompt that has a donor."""
        work = partial(control, cell=cell, draws=draws, rounds=rounds, seed=seed, answers=survey.answers)
        units = chosen.units(run.batch_size)
        found = [values for _, values in run.map(Halving(work, joined), units, name="image controls")]
        whole = joined(found)
        identity = float(whole["identity"].max())
        return cls(cell, whole["right"].double().numpy(), identity, clusters(units), draws)

    @property
    def base(self) -> Array:
        return self.right[0]

    @property
    def noise(self) -> Array:
        """Mean over the draws, per prompt."""
        return self.right[3 : 3 + self.draws].mean(0)

    @property
    def rounds(self) -> Array:
        """[round, n]."""
        return self.right[3 + self.draws :]

    def rows(self) -> list[Row]:
        """One per control; "own over wrong" compares the two patches, on the prompts that have a donor."""
        row = partial(gain_row, "image", clusters=self.clusters)
        own, wrong = self.right[1], self.right[2]
        found = [
            row(f"{OWN}, prompts with a donor", self.base, own),
            row(DONOR, self.base, wrong),
            row("own picture over wrong donor", wrong, own),
            row(f"{NOISE} ({self.draws} draws)", self.base, self.noise),
        ]
        found += [row(f"round {number}", self.base, after) for number, after in enumerate(self.rounds, 1)]
        place = {"source": self.cell.source, "destination": self.cell.destination, "window": self.cell.window}
        return [one | place for one in found]

    def notes(self) -> list[str]:
        return [
            f"Patching the destination layers from themselves changes no logit by more than {self.identity:.2g}.",
            "Wrong donor: what is patched in comes from another item's picture of the same layout and another answer. "
            "Noise: random directions with the norm of what they stand for. Round n patches from the run of round n − 1.",
        ]


def joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Values of a chunk of prompts from those of its parts."""
    return {name: torch.cat([part[name] for part in parts], -1) for name in parts[0]}
