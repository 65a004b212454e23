"""The proof at load: a few forwards that show a model is read rightly, or a refusal (design §5)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diptych.errors import DiptychError, ModelCheckFailed, UnsupportedModel
from diptych.items import Item
from diptych.models.claims import LINES, ProofLine, Subject
from diptych.models.encode import Prompt, encode_item
from diptych.models.hooks import hooks
from diptych.models.sites import Mixer, Site
from diptych.models.trace import trace
from diptych.models.vlm import VLM, Edit

COLOURS = ("red", "green", "blue")
QUESTION = "What colour is the picture? Answer with one word."


@dataclass(frozen=True)
class Proof:
    """What was found in a model, each line of the proof, and which lines the model refuses, with the reason.

    A refused line is about an operation that raises `UnsupportedModel` on this model, so no number can come from it.
    """

    found: dict[str, str]
    lines: tuple[ProofLine, ...]
    refused: dict[str, str]

    @property
    def passed(self) -> bool:
        return all(line.passed for line in self.lines)


@dataclass(frozen=True)
class _Noise:
    """A picture of random pixels in shades of one colour, so that two of them share no feature and are named differently."""

    colour: str
    side: int = 224

    def open(self):  # type: ignore[no-untyped-def]
        from PIL import Image

        pixels = np.random.default_rng(COLOURS.index(self.colour)).integers(0, 100, (self.side, self.side, 3))
        pixels[..., COLOURS.index(self.colour)] += 155
        return Image.fromarray(pixels.astype(np.uint8))

    def digest(self) -> str:
        return f"noise-{self.colour}-{self.side}"


@torch.no_grad()
def prove(vlm: VLM) -> Proof:
    """Run the proof on two pictures of noise; costs fewer than ten forwards.

    Raises `UnsupportedModel` if the model cannot be run in the way that all lines need.
    """
    try:
        subject = _make_subject(vlm)
    except DiptychError:
        raise
    except Exception as error:
        raise UnsupportedModel(
            f"{vlm.name} cannot be run as diptych needs it: {_said(error)} Expected a model that takes one user turn "
            f"with a picture, alone and in a batch."
        ) from error
    lines, refused = [], {}
    for claim, line in LINES.items():
        try:
            lines.append(line(claim, subject))
        except UnsupportedModel as reason:
            refused[claim] = str(reason)
        except Exception as error:
            lines.append(ProofLine(claim, False, math.nan, _said(error)))
    return Proof(
        describe(subject) | {f"refused: {claim}": why for claim, why in refused.items()}, tuple(lines), refused
    )


def _make_subject(vlm: VLM) -> Subject:
    first, second = (_prompt(vlm, colour) for colour in ("red", "blue"))
    calls = (vlm.capture(first.inputs), vlm.capture(second.inputs))
    fired: dict[Site, int] = dict.fromkeys(vlm.sites, 0)
    counts = {site: _counting(fired, site, first.layout.length) for site in fired}
    with vlm.edit_inputs(counts), vlm.record_outputs() as outputs:
        logits = vlm.run(calls[0])
    unread = [mixer.module for mixer in vlm.sites.unread if mixer.module is not None]
    held: dict[nn.Module, Any] = {}
    with vlm.record() as recording, hooks(*(module.register_forward_hook(_kept_in(held)) for module in unread)):
        counterfactual = vlm.run(calls[1])
    return Subject(vlm, (first, second), calls, logits, outputs, fired, counterfactual, recording.values, held)


def _prompt(vlm: VLM, colour: str) -> Prompt:
    return encode_item(vlm, Item(colour, None, _Noise(colour), QUESTION, colour), "image")


def swept(vlm: VLM) -> str:
    """Whether a sweep computes positions that a change cannot reach again, and if so why, in words. Cost 3F."""
    prompt = _prompt(vlm, "red")
    data = prompt.layout.data
    own = trace(vlm, vlm.capture(prompt.inputs), (data.start, data.stop))
    return f"all positions in every run: {own.why}" if own.past is None else "not those that a change cannot reach"


def _kept_in(outputs: dict[nn.Module, Any]) -> Callable[..., None]:
    return lambda module, args, output: outputs.update({module: output})


def _said(error: Exception) -> str:
    """What an error of the model says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def require_proof(vlm: VLM) -> None:
    """Raise `ModelCheckFailed` unless every line of the proof holds."""
    failed = [line for line in prove(vlm).lines if not line.passed]
    if failed:
        what = "; ".join(f"{line.name} ({line.detail}: {line.value:.3g})" for line in failed)
        raise ModelCheckFailed(
            f"{vlm.name} is not read rightly: {what}. Numbers from it would be wrong. See `diptych check {vlm.name}`."
        )


def describe(subject: Subject) -> dict[str, str]:
    """What the probe found, in words."""
    vlm, layout = subject.vlm, subject.prompts[0].layout
    found = {
        "class": type(vlm.model).__name__,
        "decoder": f"{type(vlm.sites.decoder).__name__}, {len(vlm.layers)} layers",
        "heads": _counted(vlm.sites.heads, ", width {}"),
        "neurons": _counted(vlm.sites.neurons),
        "parameters": f"{sum(p.numel() for p in vlm.model.parameters()) / 1e6:.1f} M, {str(vlm.dtype).removeprefix('torch.')}",
        "attention": vlm.attention,
        "image prompt": f"{layout.length} positions, data {layout.data.start}–{layout.data.stop - 1}",
        "image tokens": str(int(vlm.image_positions(subject.prompts[0].inputs).sum())),
    }
    if subject.calls[0].tokens:
        found["token ids"] = "looked up by layers themselves: no attribution of texts, no ablation"
    if vlm.sites.routed:
        found["experts"] = (
            f"neurons of routed experts in {len(vlm.sites.routed)} of {len(vlm.layers)} layers: which experts are chosen "
            f"jumps along a path of inputs, so AP-IG is not complete however many steps it takes"
        )
    if vlm.sites.unread:
        found["not read"] = f"{_placed(vlm.sites.unread)}: no nodes, so ablations refuse this model"
    return found


def _counted(sites: Sequence[Site], width: str = "") -> str:
    """The numbers of nodes per layer, widths, and how many layers have any."""
    there = [site for site in sites if site.there]
    if not there:
        return "none"
    counts, widths = (
        "–".join(map(str, sorted({min(n), max(n)}))) for n in ([s.there for s in there], [s.width for s in there])
    )
    layers = "" if len(there) == len(sites) else f" in {len(there)} of {len(sites)} layers"
    return f"{counts} per layer{width.format(widths)}{layers}"


def _placed(mixers: Sequence[Mixer]) -> str:
    """The classes of some mixers, each with its layers."""
    layers: dict[str, list[int]] = {}
    for mixer in mixers:
        layers.setdefault(type(mixer.module).__name__, []).append(mixer.layer)
    return ", ".join(f"{kind} of layers {', '.join(map(str, sorted(set(found))))}" for kind, found in layers.items())


def _counting(fired: dict[Site, int], site: Site, positions: int) -> Edit:
    """Count the runs in which the site has values for one prompt and all its positions."""

    def tick(live: Tensor) -> Tensor:
        fired[site] += live.shape[:2] == (1, positions)
        return live

    return tick
