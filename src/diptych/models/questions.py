"""Questions: of prompts that begin alike, up to the end of their data, the beginning is computed once (decision 0031)."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.models.beginning import beginning
from diptych.models.calls import DecoderCall
from diptych.models.once import equal
from diptych.models.past import Past, alone
from diptych.models.prompts import Prompt, by_shape
from diptych.models.stacking import stack
from diptych.models.trace import keep_past
from diptych.models.vlm import VLM

Logits = Float[Tensor, "prompt vocab"]


@torch.no_grad()
def run_prompts(vlm: VLM, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], Logits]]:
    """Logits at the last position: the places of some prompts, of one shape, with theirs, until all were given.

    A picture that several prompts show passes the vision tower once. Where several begin alike, and the model can compute
    later positions alone, which is tried, only the first is run whole: of the others what follows the data.
    """
    calls = vlm.capture_each([prompt.inputs for prompt in prompts])
    ends = [prompt.layout.data.stop for prompt in prompts]
    groups = _alike(calls, ends)
    leaders = [group[0] for group in groups if len(group) > 1]
    pasts: dict[int, Past] = {}
    for places in _batches(prompts, leaders):
        kept = keep_past(vlm, _stacked(calls, places), ends[places[0]])
        if kept is not None:
            pasts |= {place: kept[1].take([row]) for row, place in enumerate(places)}
            yield places, kept[0]
    behind = {place: pasts[group[0]] for group in groups for place in group[1:] if group[0] in pasts}
    for places in _batches(prompts, [place for place in range(len(prompts)) if place not in pasts | behind]):
        yield places, vlm.run(_stacked(calls, places))
    for places in _batches(prompts, sorted(behind)):
        later = slice(ends[places[0]], prompts[places[0]].layout.length)
        with alone(vlm, Past.joined([behind[place] for place in places]), later):
            found = vlm.run(_stacked(calls, places))
        yield places, found


def _batches(prompts: Sequence[Prompt], places: Sequence[int]) -> list[list[int]]:
    """These places, those of one shape together."""
    return [[places[row] for row in rows] for rows in by_shape([prompts[place] for place in places])]


def _stacked(calls: Sequence[DecoderCall], places: Sequence[int]) -> DecoderCall:
    return stack([calls[place] for place in places], calls[places[0]].batch_dims)


def _alike(calls: Sequence[DecoderCall], ends: Sequence[int]) -> list[list[int]]:
    """The places of calls of one prompt that have the same arguments at all positions before their end."""
    begun = [beginning(call, end, end) for call, end in zip(calls, ends, strict=True)]
    groups: list[list[int]] = []
    for place, mine in enumerate(begun):
        group = next((group for group in groups if equal(begun[group[0]], mine)), None)
        groups.append([place]) if group is None else group.append(place)
    return groups
