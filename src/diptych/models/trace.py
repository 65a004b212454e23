"""Trace: what one plain run leaves behind for the many runs of a sweep that change a part of it (decision 0024)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.calls import DecoderCall
from diptych.models.claims import TOLERANCE
from diptych.models.handed import record_handed, started
from diptych.models.hooks import hooks
from diptych.models.knockout import edges_of, with_mask
from diptych.models.past import Past, alone
from diptych.models.resume import given_state
from diptych.models.streams import record_streams
from diptych.models.vlm import VLM

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Trace:
    """Of a run: its logits, `resid_post` as every layer hands it on (`models.handed`), and the past of all positions.

    `streams`: what enters each layer, and what leaves the last one (`models.streams`). `past` is None where a model's
    later positions cannot be computed alone; `why` says it.
    """

    logits: Float[Tensor, "batch vocab"]
    residuals: Sequence[Float[Tensor, "batch pos d_model"]]
    streams: Sequence[Float[Tensor, "batch pos d_model"]]
    past: Past | None = None
    why: str = ""

    @contextmanager
    def resumed(self, vlm: VLM, layer: int, times: int = 1) -> Iterator[None]:
        """While open, a run of the prompts, so many times over, starts at a layer: what is below is as in this run."""
        if layer == 0:
            yield
            return
        with started(vlm, layer - 1, self.residuals[layer - 1].repeat(times, 1, 1)):
            yield


@torch.no_grad()
def trace(vlm: VLM, call: DecoderCall, ends: Sequence[int] = ()) -> Trace:
    """Run the prompts, and keep the past if nothing before one of the positions `ends` depends on it or what follows.

    And if the positions from an end on, run alone, give the same logits, which is tried for each. Cost 1F, and for each
    end the part of F that these positions are.
    """
    found = _tried(lambda: _with_past(vlm, call, ends)) if ends else "not asked for"
    if isinstance(found, Trace):
        return found
    with record_streams(vlm) as streams, record_handed(vlm) as residuals:
        logits = vlm.run(call)
    return Trace(logits, residuals, streams, None, found)


@torch.no_grad()
def keep_past(vlm: VLM, call: DecoderCall, end: int) -> tuple[Float[Tensor, "batch vocab"], Past] | None:
    """Logits, and the past of the positions before `end`, as `trace` keeps it; None where a model has none."""
    found = _tried(lambda: _kept(vlm, call, [end]))
    return None if isinstance(found, str) else (found[0], found[1].until(end))


def _tried(run: Callable[[], Found]) -> Found | str:
    """What a run finds, or why a model cannot be run so."""
    try:
        return run()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model raises that has no such cache, or cannot be run on some positions
        return str(error) if isinstance(error, UnsupportedModel) else f"{type(error).__name__}: {error}"


def _with_past(vlm: VLM, call: DecoderCall, ends: Sequence[int]) -> Trace:
    with record_streams(vlm) as streams, record_handed(vlm) as residuals:
        logits, past = _whole(vlm, call, ends)
    _require_alone(vlm, call, logits, past, ends)
    return Trace(logits, residuals, streams, past)


def _kept(vlm: VLM, call: DecoderCall, ends: Sequence[int]) -> tuple[Tensor, Past]:
    logits, past = _whole(vlm, call, ends)
    _require_alone(vlm, call, logits, past, ends)
    return logits, past


def _whole(vlm: VLM, call: DecoderCall, ends: Sequence[int]) -> tuple[Tensor, Past]:
    """Logits and the past of all positions, where nothing before an end looks behind it."""
    _require_attention(vlm)
    with _require_closed(vlm, ends), alone(vlm, Past(), slice(0, call.input_ids.shape[1])) as past:
        return vlm.run(call), past


def _require_alone(vlm: VLM, call: DecoderCall, logits: Tensor, past: Past, ends: Sequence[int]) -> None:
    for end in ends:
        with alone(vlm, past.until(end), slice(end, call.input_ids.shape[1])):
            _require_same(vlm, logits, vlm.run(call))


def _require_attention(vlm: VLM) -> None:
    others = [*vlm.sites.unread, *(m for m in vlm.sites.mixers if m.mixing not in ("attention", "none"))]
    if others:
        raise UnsupportedModel(
            f"Layer {others[0].layer} of {vlm.name} moves information by {others[0].mixing}, which keeps no keys and values "
            f"of earlier positions. Its later positions are computed with all others."
        )


@contextmanager
def _require_closed(vlm: VLM, ends: Sequence[int]) -> Iterator[None]:
    """While open, a run in which positions before an end look at it or behind it raises `UnsupportedModel`."""

    def looks_ahead(mask: Tensor, end: int) -> bool:
        return bool(edges_of(mask[..., :end, end:]).any())

    def watch(index: int) -> Callable[..., None]:
        module = vlm.sites.mixers[index].module

        def look(mask: Tensor | None, hidden: Tensor) -> Tensor | None:
            causal = getattr(module, "is_causal", True) is not False
            open_ = not causal if mask is None else any(looks_ahead(mask, end) for end in ends)
            if open_:
                raise UnsupportedModel(
                    f"In layer {index} of {vlm.name} earlier positions look at later ones, and so depend on what is "
                    f"changed there. They are computed anew in every run."
                )
            return mask

        def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if given_state(args, kwargs):
                raise UnsupportedModel(
                    f"Layer {index} of {vlm.name} is given what layers below it did beside the stream, of all positions. "
                    f"Its later positions are computed with all others."
                )
            with_mask(look)(layer, args, kwargs)  # type: ignore[arg-type]

        return hook

    every = enumerate(vlm.layers)
    with hooks(*(layer.register_forward_pre_hook(watch(index), with_kwargs=True) for index, layer in every)):
        yield


def _require_same(vlm: VLM, logits: Tensor, again: Tensor) -> None:
    possible = logits.abs() < torch.finfo(vlm.dtype).max / 2  # tokens that a model rules out are left aside
    error = float((again - logits)[possible].abs().max()) / max(float(logits[possible].abs().max()), 1e-9)
    if not error <= TOLERANCE[vlm.dtype]:
        raise UnsupportedModel(
            f"Later positions of {vlm.name}, run alone behind the keys and values of those before, change logits by "
            f"{error:.2g} of the largest. They are computed with all others."
        )
