"""Similarity: at which layer do states of the picture come closest to states of the words? (methods §9)"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from diptych.experiments._pairs import Recorded, blocks, paired_items, units_of
from diptych.experiments._parameters import Count, Seed, Several
from diptych.experiments._similarity import Compared, notes, summary
from diptych.experiments._similarity_figures import across, curves
from diptych.experiments._survey import Survey
from diptych.items import MODALITIES, Item
from diptych.models.vlm import VLM
from diptych.run import Finding, Run
from diptych.similarity import closest, closest_across

VERSION = 4
USES = ("accuracy",)


def similarity(run: Run, *, block: Several = 8, shuffles: Count = 200, seed: Seed = 0) -> Finding:
    """Mean over image tokens of the highest cosine to a text token of the same item, by layer, on test.

    Beside it the same between items that do not belong together, in blocks of `block` items; `shuffles`: how often
    partners are drawn anew for its distribution. Centred: less the mean over the data tokens of the discover split, of
    the panel and layer. `resid_post`, all paired items, answered correctly or not.
    """
    survey = Survey.of(run)
    others, told = paired_items(run.task, "discover")
    items, conditions = paired_items(run.task, "test")
    means = _means(run, others)
    parts = blocks(items, block, seed)
    found = [values for _, values in run.map(partial(compare, means=means), units_of(parts, "block"), name="test")]
    compared = Compared.of(found, parts, shuffles, seed)
    rows = compared.rows()
    return Finding(
        summary=summary(run.task.name, rows, compared),
        rows=rows,
        conditions=survey.conditions
        | conditions
        | {
            "split": "test",
            "centred by": f"mean data token of {told['n discover']} discover items, per panel and layer",
        }
        | {"items in a block": f"{min(map(len, parts))} to {max(map(len, parts))}", "seed": seed}
        | compared.conditions(),
        figures=[*curves(rows), across(compared)],
        notes=notes(compared),
    )


def _means(run: Run, items: Sequence[Item]) -> Tensor:
    """The mean state of a data token: [panel, layer, d_model]."""
    units = units_of([items[start : start + 8] for start in range(0, len(items), 8)], "discover")
    found = [values for _, values in run.map(sums, units, name="means")]
    total, count = (torch.stack([values[name] for values in found]).sum(0) for name in ("sum", "count"))
    return total / count[:, None, None]


@torch.no_grad()
def sums(vlm: VLM, items: Sequence[Item]) -> dict[str, Tensor]:
    """Sums over the data tokens of some items, and how many these are, per panel."""
    total: list[Tensor] = []
    count = torch.zeros(len(MODALITIES))
    for index, modality in enumerate(MODALITIES):
        states = [Recorded.of(vlm, item, modality).states(vlm) for item in items]
        total.append(torch.stack([some.double().sum(1) for some in states]).sum(0).cpu())
        count[index] = sum(some.shape[1] for some in states)
    return {"sum": torch.stack(total), "count": count}


@torch.no_grad()
def compare(vlm: VLM, items: Sequence[Item], *, means: Tensor) -> dict[str, Tensor]:
    """Every picture of a block beside every text of it.

    `raw`, `centred`: [picture, text, layer]. `across`: of an item's own panels, `across others`: mean over texts of
    other items [picture, text layer, image layer]. `text`, `image`: mean data token [item, layer, d_model]. `other`: which
    texts do not belong to a picture.
    """
    text, image = ([Recorded.of(vlm, item, modality).states(vlm) for item in items] for modality in MODALITIES)
    mean = means.to(text[0])[:, :, None]
    words, pixels = [some - mean[0] for some in text], [some - mean[1] for some in image]
    other = torch.tensor([[_apart(a, b) for b in items] for a in items])
    grid = [torch.stack([closest_across(theirs, ours) for theirs in words]) for ours in pixels]
    weights = other / other.sum(1, keepdim=True).clamp_min(1)
    return {
        "raw": torch.stack([torch.stack([closest(theirs, ours) for theirs in text]) for ours in image]).cpu(),
        "centred": torch.stack([some.diagonal(dim1=1, dim2=2) for some in grid]).cpu(),
        "across": torch.stack([some[index] for index, some in enumerate(grid)]).cpu(),
        "across others": torch.stack(
            [torch.einsum("j,jtl->tl", w.to(g), g) for w, g in zip(weights, grid, strict=True)]
        ).cpu(),
        "text": torch.stack([some.mean(1) for some in text]).cpu(),
        "image": torch.stack([some.mean(1) for some in image]).cpu(),
        "other": other,
    }


def _apart(item: Item, other: Item) -> bool:
    """Whether the data of one item says nothing of the other's."""
    return item.cluster != other.cluster and item.text != other.text
