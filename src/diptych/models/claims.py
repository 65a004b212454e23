"""The claims of the proof at load: each is one line, shown by one number (design §5)."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diptych.models.calls import DecoderCall
from diptych.models.encode import Prompt, collate
from diptych.models.entry import stopped_at
from diptych.models.hooks import hooks
from diptych.models.knockout import block
from diptych.models.places import changed_positions
from diptych.models.resume import stream
from diptych.models.sites import Mixer, Site, Sites
from diptych.models.vlm import VLM, Edit

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference allowed where kernels may change with the batch, as a share of the largest logit."""


@dataclass(frozen=True)
class ProofLine:
    """One claim, the number that shows it, and whether it holds."""

    name: str
    passed: bool
    value: float
    detail: str


@dataclass(frozen=True)
class Subject:
    """What the lines of the proof share: two prompts that differ in their picture alone."""

    vlm: VLM
    prompts: tuple[Prompt, Prompt]
    calls: tuple[DecoderCall, DecoderCall]
    logits: Tensor  # of the first prompt, with a hook that changes nothing at every site and layer
    outputs: dict[int, Any]  # what each layer returned
    fired: dict[Site, int]
    counterfactual: Tensor  # logits of the second prompt
    values: dict[Site, Tensor]  # of its nodes
    held: dict[nn.Module, Any]  # what its unread mixers returned

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.vlm.dtype]

    def difference(self, a: Tensor, b: Tensor) -> float:
        """The largest difference of two logits [..., vocab], as a share of the largest logit.

        Tokens that the model rules out (Chameleon its picture tokens) are left aside: theirs is the lowest number there is.
        """
        possible = self.logits[0].abs() < torch.finfo(self.vlm.dtype).max / 2
        return float((a - b)[..., possible].abs().max()) / max(float(self.logits[0, possible].abs().max()), 1e-9)

    def close(self, name: str, a: Tensor, b: Tensor, detail: str, *, share: float = 1.0) -> ProofLine:
        """A line that holds if two logits agree to a share of the dtype's tolerance."""
        error = self.difference(a, b)
        return ProofLine(name, error <= share * self.tolerance, error, detail)


def _sites_fire_once(claim: str, subject: Subject) -> ProofLine:
    wrong = sum(count != len(site.parts) for site, count in subject.fired.items())
    return ProofLine(claim, wrong == 0, wrong, f"sites of {len(subject.fired)} that did not")


def _hooks_change_nothing(claim: str, subject: Subject) -> ProofLine:
    plain = subject.vlm.run_inputs(subject.prompts[0].inputs)
    error = subject.difference(plain, subject.logits)
    return ProofLine(claim, error == 0, error, "relative logit difference from the plain forward")


def _zeroed_heads_matter(claim: str, subject: Subject) -> ProofLine:
    with subject.vlm.edit_inputs(dict.fromkeys(subject.vlm.sites.heads, torch.zeros_like)):
        change = subject.difference(subject.vlm.run(subject.calls[0]), subject.logits)
    return ProofLine(claim, change > 0, change, "relative logit change")


def _heads_are_blocks(claim: str, subject: Subject) -> ProofLine:
    """One head that may look at itself alone changes its own numbers at that position, and no other head's.

    In the first layer of each number and width of heads; a wrong number or order of heads would show in a neighbour.
    """
    vlm, last = subject.vlm, subject.prompts[1].layout.length - 1
    wrong = 0
    for mixer, site in {(site.there, site.width): (mixer, site) for mixer, site in _attending(vlm.sites)}.values():
        chosen = [head == site.there // 2 for head in range(site.there)]
        hook = block(mixer, slice(last, last + 1), slice(0, last), chosen)
        blocked = vlm.layers[site.layer].register_forward_pre_hook(hook, with_kwargs=True)
        above = vlm.layers[site.layer + 1 : site.layer + 2]  # nothing higher is looked at
        with ExitStack() as stack:
            recording = stack.enter_context(vlm.record())
            for context in (hooks(blocked), *map(stopped_at, above)):
                stack.enter_context(context)
            vlm.run(subject.calls[1])
        before, after = (values[site][0, last, : site.there].float() for values in (subject.values, recording.values))
        changed = (after - before).abs().amax(-1) > subject.tolerance * before.abs().max()
        wrong += int((changed.cpu() != torch.tensor(chosen)).sum())
    return ProofLine(claim, wrong == 0, wrong, "heads that a cut of one head did not leave alone")


def _picture_matters(claim: str, subject: Subject) -> ProofLine:
    """More than the other lines tolerate: they tell the two pictures apart, and would hold of a model that sees neither."""
    effect = subject.difference(subject.logits, subject.counterfactual)
    return ProofLine(claim, effect > subject.tolerance, effect, f"relative logit change, above {subject.tolerance}")


def _empty_circuit_is_counterfactual(claim: str, subject: Subject) -> ProofLine:
    """What has no nodes but mixes positions is held at the counterfactual too, so that nothing else may mix them."""
    held = (module.register_forward_hook(_always_returns(output)) for module, output in subject.held.items())
    with subject.vlm.edit_inputs({site: _always(value) for site, value in subject.values.items()}), hooks(*held):
        ablated = subject.vlm.run(subject.calls[0])
    return subject.close(claim, ablated, subject.counterfactual, "relative logit error")


def _pictures_reach_their_positions(claim: str, subject: Subject) -> ProofLine:
    """Every image position holds a feature, and no other position changes with the picture.

    A feature need not change with the picture (a learned row break); it must not be the embedding of the image token.
    Where layers read the picture by cross attention, its position is that of the image token and none changes.
    """
    vlm, inputs = subject.vlm, subject.prompts[0].inputs
    changed = changed_positions(vlm, *subject.calls)[0]
    places = vlm.image_positions(inputs)[0].to(changed.device)
    if any(mixer.mixing == "cross attention" for mixer in vlm.sites.mixers):
        wrong = int(changed.sum()) + int(not places.any())
        return ProofLine(claim, wrong == 0, wrong, "positions that hold what layers are to read by cross attention")
    tokens = vlm.sites.decoder.get_input_embeddings()(vlm.place(inputs["input_ids"]))  # type: ignore[operator]
    bare = (subject.calls[0].embeddings == tokens).all(-1)[0].to(changed.device)
    wrong = int((changed & ~places).sum() + (places & ~changed & bare).sum())
    return ProofLine(claim, wrong == 0 and bool(changed.any()), wrong, f"positions of {int(places.sum())} that differ")


def _knockout_hides_the_picture(claim: str, subject: Subject) -> ProofLine:
    vlm, layout = subject.vlm, subject.prompts[0].layout
    before, after = slice(0, layout.data.start), slice(layout.data.stop, layout.length)
    every = range(len(vlm.layers))
    both = vlm.capture(collate(subject.prompts))
    with vlm.knockout(before, layout.data, every), vlm.knockout(after, layout.data, every):
        logits = vlm.run(both)
    # two rows of one batch go through the same kernels: a leak of a few per cent must show in half precision too
    return subject.close(claim, logits[0], logits[1], "relative logit change with the picture", share=0.1)


def _resume_is_exact(claim: str, subject: Subject) -> ProofLine:
    vlm, last = subject.vlm, len(subject.vlm.layers) - 1
    errors = []
    for start in sorted({max(1, last // 2), last}):
        with vlm.resume(start, stream(subject.outputs[start - 1])):
            errors.append(subject.difference(vlm.run(subject.calls[0]), subject.logits))
    return ProofLine(claim, all(error == 0 for error in errors), max(errors), "relative logit difference")


def _batch_is_single(claim: str, subject: Subject) -> ProofLine:
    swapped = subject.vlm.run(subject.vlm.capture(collate(subject.prompts[::-1])))  # the last prompt shows misstacking
    return subject.close(claim, swapped[1:], subject.logits, "relative logit error")


def _forward_is_generate(claim: str, subject: Subject) -> ProofLine:
    inputs = {name: subject.vlm.place(value) for name, value in subject.prompts[0].inputs.items()}
    step = subject.vlm.model.generate(  # type: ignore[operator]
        **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return subject.close(claim, step.logits[0].float(), subject.logits, "relative logit error")


def _attending(sites: Sites) -> list[tuple[Mixer, Site]]:
    """The layers of self-attention, topmost first."""
    pairs = zip(sites.mixers, sites.heads, strict=True)
    return [(mixer, site) for mixer, site in pairs if mixer.mixing == "attention"][::-1]


def _always(value: Tensor) -> Edit:
    return lambda live: value


def _always_returns(output: Any) -> Callable[..., Any]:
    return lambda module, args, live: output


LINES: dict[str, Callable[[str, Subject], ProofLine]] = {
    "each site fires exactly once": _sites_fire_once,
    "hooks and splice change nothing": _hooks_change_nothing,
    "a head is one block of numbers": _heads_are_blocks,
    "zeroing the heads changes the logits": _zeroed_heads_matter,
    "the picture changes the logits": _picture_matters,
    "the empty circuit is the counterfactual run": _empty_circuit_is_counterfactual,
    "image positions hold the image features": _pictures_reach_their_positions,
    "knocking out the data hides the picture": _knockout_hides_the_picture,
    "resuming at a layer is the full forward": _resume_is_exact,
    "a batch gives what single prompts give": _batch_is_single,
    "the first step of generate is the forward": _forward_is_generate,
}
