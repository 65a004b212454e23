"""Departures of Paper A's code from the methods, by name; each is off unless it is asked for (methods §14).

They are here to reproduce published numbers, never to make new ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from diptych.attribution._integrate import Reduction
from diptych.compare import MEASURED, Overlap, normalised, overlaps
from diptych.errors import InputError, UnsupportedModel
from diptych.grid import Circuit
from diptych.models.hooks import hooks
from diptych.models.vlm import VLM

Array = NDArray[np.float64]

POSITIONS = "position_ids"


@dataclass(frozen=True, kw_only=True)
class PaperCompat:
    """Which of the reference code's departures are on; the defaults are diptych's own methods."""

    interpolate_images: bool = True
    """False: integrated gradients interpolate token embeddings alone, so image features stay clean on the whole path."""
    legacy_1d_rope: bool = False
    """True: positions of M-RoPE models count up token by token, in pictures too."""
    reduction: Reduction = "l1"
    """A head's score: l1 is the reference's sum of absolute values, and the default of diptych too."""
    faithfulness: Literal["ratio_of_means", "mean_of_ratios"] = "ratio_of_means"
    niou: Literal["normalised", "i_minus_2b"] = "normalised"
    baseline: Literal["matched", "global"] = "matched"
    selection: Literal["held_out", "in_sample"] = "held_out"
    gap_share: Literal["all", "filtered"] = "all"

    def __post_init__(self) -> None:
        for field in fields(self):
            known, value = KNOWN.get(field.name, (True, False)), getattr(self, field.name)
            if value not in known:
                raise InputError(f"`{field.name}` is {value!r}. Known: {', '.join(map(str, known))}.")

    @contextmanager
    def opened(self, vlm: VLM) -> Iterator[None]:
        """While open, the model computes as the reference runs it (`legacy_1d_rope`).

        A captured prompt keeps its positions: capture while this is open.
        """
        number = sequential_positions if self.legacy_1d_rope else _as_it_is
        with hooks(vlm.sites.decoder.register_forward_pre_hook(number, with_kwargs=True)):
            yield

    @property
    def attribution(self) -> dict[str, Any]:
        """Further arguments of `ap_ig`."""
        return {"interpolate_images": self.interpolate_images, "reduction": self.reduction}

    def faithful(self, circuit: Array, empty: Array, model: Array) -> float:
        """F of a circuit over prompts, from the metric [prompt] under the circuit, the empty circuit and the model."""
        return AGGREGATES[self.faithfulness](circuit - empty, model - empty)

    def normalise(self, iou: float, expected: float) -> float:
        """An overlap above that of random circuits."""
        return NIOU[self.niou](iou, expected)

    def expected(self, found: Sequence[Overlap], a: Circuit, b: Circuit, *, seed: int = 0) -> list[float]:
        """IoU of random circuits for each of `found`, the overlaps of a and b."""
        return BASELINES[self.baseline](found, a, b, seed)

    def cell(self, select: Array, test: Array) -> int:
        """Which cell's gain on test is reported, from the mean gains [cell] of all cells on both splits."""
        return int(np.argmax({"held_out": select, "in_sample": test}[self.selection]))

    def closed(self, gains: Sequence[float], gaps: Sequence[float]) -> float:
        """Share of the gap between the panels that is closed, mean over pairs of model and task; nan if none counts."""
        shares = np.asarray(gains, float) / np.asarray(gaps, float)
        kept = shares[GAP_SHARES[self.gap_share](shares)]
        return float(kept.mean()) if kept.size else float("nan")


def sequential_positions(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A pre-hook that gives every axis of a decoder's position ids [axis, batch, pos] the numbers 0, 1, 2, ...

    Position ids that do not say more than the order of tokens ([batch, pos], or none) are left alone.
    """
    found = kwargs.get(POSITIONS)
    if found is None or found.ndim == 2:
        return args, kwargs
    if found.ndim != 3:
        raise UnsupportedModel(
            f"The decoder's position ids have shape {list(found.shape)}; expected [axis, batch, pos]. "
            f"`legacy_1d_rope` is for models with M-RoPE."
        )
    counted = torch.arange(found.shape[-1], dtype=found.dtype, device=found.device).expand(found.shape)
    return args, {**kwargs, POSITIONS: counted}


def i_minus_2b(iou: float, expected: float) -> float:
    """IoU − 2·b between 0.01 and 1: what the reference plots for (IoU − b)/(1 − b)."""
    return min(max(iou - 2 * expected, 0.01), 1.0)


def global_draw(a: Circuit, b: Circuit, *, seed: int, positions: Mapping[str, str] = MEASURED) -> list[Overlap]:
    """Overlaps of two random circuits with as many nodes as the given ones, drawn over all positions.

    Positions are dropped afterwards, so in data nearly every head is drawn somewhere.
    """
    chance = torch.Generator().manual_seed(seed)

    def draw(like: Circuit) -> Circuit:
        full = like.map(torch.ones_like)  # as a grid it holds the nodes that there are
        drawn = [_drawn(there, int(nodes.sum()), chance) for nodes, there in zip(like, full, strict=True)]
        return replace(like, heads=drawn[0], neurons=drawn[1])

    return overlaps(draw(a), draw(b), positions)


def _drawn(there: torch.Tensor, count: int, chance: torch.Generator) -> torch.Tensor:
    """A mask of `count` random ones of the places that are true."""
    places = there.flatten().nonzero().flatten()
    chosen = torch.zeros(there.numel(), dtype=torch.bool)
    chosen[places[torch.randperm(len(places), generator=chance)[:count]]] = True
    return chosen.view(there.shape)


def _as_it_is(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
    return None


AGGREGATES: Mapping[str, Callable[[Array, Array], float]] = {
    "ratio_of_means": lambda above, below: float(above.mean() / below.mean()),
    "mean_of_ratios": lambda above, below: float((above / below).mean()),
}
NIOU: Mapping[str, Callable[[float, float], float]] = {"normalised": normalised, "i_minus_2b": i_minus_2b}
BASELINES: Mapping[str, Callable[[Sequence[Overlap], Circuit, Circuit, int], list[float]]] = {
    "matched": lambda found, a, b, seed: [part.expected for part in found],
    "global": lambda found, a, b, seed: [
        part.iou for part in global_draw(a, b, seed=seed, positions={p.segment: p.positions for p in found})
    ],
}
GAP_SHARES: Mapping[str, Callable[[Array], NDArray[np.bool_]]] = {
    "all": lambda shares: np.ones(shares.shape, bool),
    "filtered": lambda shares: (shares > 0) & (shares <= 1),
}
KNOWN: Mapping[str, Sequence[Any]] = {
    "reduction": ("l1", "abs", "signed"),
    "faithfulness": tuple(AGGREGATES),
    "niou": tuple(NIOU),
    "baseline": tuple(BASELINES),
    "selection": ("held_out", "in_sample"),
    "gap_share": tuple(GAP_SHARES),
}

PAPER_A = PaperCompat(
    interpolate_images=False,
    legacy_1d_rope=True,
    reduction="l1",
    faithfulness="mean_of_ratios",
    niou="i_minus_2b",
    baseline="global",
    selection="in_sample",
    gap_share="filtered",
)
"""All of them: the reference code as it is."""
