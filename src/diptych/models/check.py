"""The proof at load: a few forwards that show a model is read rightly, or a refusal (design §5)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diptych.errors import ModelCheckFailed
from diptych.items import Item
from diptych.models.calls import DecoderCall
from diptych.models.encode import Prompt, collate, encode_item
from diptych.models.sites import Site
from diptych.models.vlm import VLM, Edit

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest difference allowed where kernels may change with the batch, as a share of the largest logit."""


@dataclass(frozen=True)
class ProofLine:
    """One claim, the number that shows it, and whether it holds."""

    name: str
    passed: bool
    value: float
    detail: str


@dataclass(frozen=True)
class Proof:
    """What was found in a model, and each line of the proof."""

    found: dict[str, str]
    lines: tuple[ProofLine, ...]

    @property
    def passed(self) -> bool:
        return all(line.passed for line in self.lines)


@dataclass(frozen=True)
class _Noise:
    """A picture of random pixels, so that two of them share no feature."""

    seed: int
    side: int = 224

    def open(self):  # type: ignore[no-untyped-def]
        from PIL import Image

        pixels = np.random.default_rng(self.seed).integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    def digest(self) -> str:
        return f"noise-{self.seed}-{self.side}"


@dataclass(frozen=True)
class _Subject:
    """What the lines of the proof share: two prompts that differ in their picture alone."""

    vlm: VLM
    prompts: tuple[Prompt, Prompt]
    calls: tuple[DecoderCall, DecoderCall]
    logits: Tensor  # of the first prompt, with a hook that changes nothing at every site and layer
    residuals: list[Tensor]
    fired: dict[Site, int]

    def close(self, name: str, a: Tensor, b: Tensor, detail: str) -> ProofLine:
        """A line that holds if two logits agree to the dtype's tolerance."""
        error = float((a - b).abs().max()) / max(float(self.logits.abs().max()), 1e-9)
        return ProofLine(name, error <= TOLERANCE[self.vlm.dtype], error, detail)


@torch.no_grad()
def prove(vlm: VLM) -> Proof:
    """Run the proof on two pictures of noise; costs fewer than ten forwards."""
    items = [Item(f"noise-{n}", None, _Noise(n), "What is in the picture?", "nothing") for n in (1, 2)]
    first, second = (encode_item(vlm, item, "image") for item in items)
    calls = (vlm.capture(first.inputs), vlm.capture(second.inputs))
    fired: dict[Site, int] = dict.fromkeys(vlm.sites, 0)
    with vlm.edit_inputs({site: _counting(fired, site) for site in fired}), vlm.record_residuals() as residuals:
        logits = vlm.run(calls[0])
    subject = _Subject(vlm, (first, second), calls, logits, residuals, fired)
    return Proof(describe(vlm, first), tuple(line(subject) for line in LINES))


def require_proof(vlm: VLM) -> None:
    """Raise `ModelCheckFailed` unless every line of the proof holds."""
    failed = [line for line in prove(vlm).lines if not line.passed]
    if failed:
        what = "; ".join(f"{line.name} ({line.detail}: {line.value:.3g})" for line in failed)
        raise ModelCheckFailed(
            f"{vlm.name} is not read rightly: {what}. Numbers from it would be wrong. See `diptych check {vlm.name}`."
        )


def describe(vlm: VLM, prompt: Prompt) -> dict[str, str]:
    """What the probe found, in words."""
    heads, neurons = vlm.sites.heads[0], vlm.sites.neurons[0]
    return {
        "class": type(vlm.model).__name__,
        "decoder": f"{type(vlm.sites.decoder).__name__}, {len(vlm.layers)} layers",
        "heads": f"{heads.count} per layer, width {heads.width}",
        "neurons": f"{neurons.count} per layer",
        "parameters": f"{sum(p.numel() for p in vlm.model.parameters()) / 1e6:.1f} M, {str(vlm.dtype).removeprefix('torch.')}",
        "attention": vlm.attention,
        "image prompt": f"{prompt.layout.length} positions, data {prompt.layout.data.start}–{prompt.layout.data.stop - 1}",
    }


def _sites_fire_once(subject: _Subject) -> ProofLine:
    wrong = sum(count != 1 for count in subject.fired.values())
    return ProofLine("each site fires exactly once", wrong == 0, wrong, f"sites of {len(subject.fired)} that did not")


def _hooks_change_nothing(subject: _Subject) -> ProofLine:
    plain = subject.vlm.run_inputs(subject.prompts[0].inputs)
    error = float((plain - subject.logits).abs().max())
    return ProofLine(
        "hooks and splice change nothing", error == 0, error, "largest logit difference from the plain forward"
    )


def _zeroed_heads_matter(subject: _Subject) -> ProofLine:
    with subject.vlm.edit_inputs(dict.fromkeys(subject.vlm.sites.heads, torch.zeros_like)):
        change = float((subject.vlm.run(subject.calls[0]) - subject.logits).abs().max())
    return ProofLine("zeroing the heads changes the logits", change > 0, change, "largest logit change")


def _empty_circuit_is_counterfactual(subject: _Subject) -> ProofLine:
    vlm = subject.vlm
    with vlm.record() as recording:
        counterfactual = vlm.run(subject.calls[1])
    with vlm.edit_inputs({site: _always(value) for site, value in recording.values.items()}):
        ablated = vlm.run(subject.calls[0])
    return subject.close("the empty circuit is the counterfactual run", ablated, counterfactual, "relative logit error")


def _pictures_reach_their_positions(subject: _Subject) -> ProofLine:
    a, b = (_embeddings(call) for call in subject.calls)
    changed = (a != b).any(-1)[0]
    placeholders = subject.prompts[0].inputs["input_ids"][0].to(changed.device) == subject.vlm.image_token_id
    wrong = int((changed != placeholders).sum())
    return ProofLine(
        "image positions hold the image features",
        wrong == 0,
        wrong,
        f"positions of {int(placeholders.sum())} that differ",
    )


def _knockout_hides_the_picture(subject: _Subject) -> ProofLine:
    vlm, layout = subject.vlm, subject.prompts[0].layout
    after = slice(layout.query.start, layout.length)
    both = vlm.capture(collate(subject.prompts))
    with vlm.knockout(after, layout.data, range(len(vlm.layers))):
        logits = vlm.run(both)
    return subject.close(
        "knocking out the data hides the picture", logits[0], logits[1], "relative logit change with the picture"
    )


def _resume_is_exact(subject: _Subject) -> ProofLine:
    vlm, last = subject.vlm, len(subject.vlm.layers) - 1
    errors = []
    for start in sorted({max(1, last // 2), last}):
        with vlm.resume(start, subject.residuals[start - 1]):
            errors.append(float((vlm.run(subject.calls[0]) - subject.logits).abs().max()))
    return ProofLine(
        "resuming at a layer is the full forward", max(errors) == 0, max(errors), "largest logit difference"
    )


def _batch_is_single(subject: _Subject) -> ProofLine:
    both = subject.vlm.run(subject.vlm.capture(collate(subject.prompts)))
    return subject.close("a batch gives what single prompts give", both[:1], subject.logits, "relative logit error")


def _forward_is_generate(subject: _Subject) -> ProofLine:
    inputs = {name: subject.vlm.place(value) for name, value in subject.prompts[0].inputs.items()}
    step = subject.vlm.model.generate(  # type: ignore[operator]
        **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return subject.close(
        "the first step of generate is the forward", step.logits[0].float(), subject.logits, "relative logit error"
    )


def _counting(fired: dict[Site, int], site: Site) -> Edit:
    def tick(live: Tensor) -> Tensor:
        fired[site] += 1
        return live

    return tick


def _always(value: Tensor) -> Edit:
    return lambda live: value


def _embeddings(call: DecoderCall) -> Tensor:
    embeddings: Tensor = next(leaf for name, leaf in call.leaves().items() if name.endswith("inputs_embeds"))
    return embeddings


LINES: tuple[Callable[[_Subject], ProofLine], ...] = (
    _sites_fire_once,
    _hooks_change_nothing,
    _zeroed_heads_matter,
    _empty_circuit_is_counterfactual,
    _pictures_reach_their_positions,
    _knockout_hides_the_picture,
    _resume_is_exact,
    _batch_is_single,
    _forward_is_generate,
)
