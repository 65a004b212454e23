"""The claims of the proof at load: each is one line, shown by one number (design §5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.calls import DecoderCall, Path
from diptych.models.encode import Prompt, collate
from diptych.models.hooks import hooks
from diptych.models.resume import stream
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
class Subject:
    """What the lines of the proof share: two prompts that differ in their picture alone."""

    vlm: VLM
    prompts: tuple[Prompt, Prompt]
    calls: tuple[DecoderCall, DecoderCall]
    logits: Tensor  # of the first prompt, with a hook that changes nothing at every site and layer
    outputs: dict[int, Any]  # what each layer returned
    fired: dict[Site, int]

    def close(self, name: str, a: Tensor, b: Tensor, detail: str, *, share: float = 1.0) -> ProofLine:
        """A line that holds if two logits agree to a share of the dtype's tolerance."""
        error = float((a - b).abs().max()) / max(float(self.logits.abs().max()), 1e-9)
        return ProofLine(name, error <= share * TOLERANCE[self.vlm.dtype], error, detail)


def _sites_fire_once(claim: str, subject: Subject) -> ProofLine:
    wrong = sum(count != len(site.parts) for site, count in subject.fired.items())
    return ProofLine(claim, wrong == 0, wrong, f"sites of {len(subject.fired)} that did not")


def _hooks_change_nothing(claim: str, subject: Subject) -> ProofLine:
    plain = subject.vlm.run_inputs(subject.prompts[0].inputs)
    error = float((plain - subject.logits).abs().max())
    return ProofLine(claim, error == 0, error, "largest logit difference from the plain forward")


def _zeroed_heads_matter(claim: str, subject: Subject) -> ProofLine:
    with subject.vlm.edit_inputs(dict.fromkeys(subject.vlm.sites.heads, torch.zeros_like)):
        change = float((subject.vlm.run(subject.calls[0]) - subject.logits).abs().max())
    return ProofLine(claim, change > 0, change, "largest logit change")


def _empty_circuit_is_counterfactual(claim: str, subject: Subject) -> ProofLine:
    """What has no nodes but mixes positions is held at the counterfactual too, so that nothing else may mix them."""
    vlm = subject.vlm
    unread = [mixer.module for mixer in vlm.sites.unread if mixer.module is not None]
    outputs: dict[nn.Module, Any] = {}
    with vlm.record() as recording, hooks(*(m.register_forward_hook(_kept_in(outputs)) for m in unread)):
        counterfactual = vlm.run(subject.calls[1])
    held = (module.register_forward_hook(_always_returns(output)) for module, output in outputs.items())
    with vlm.edit_inputs({site: _always(value) for site, value in recording.values.items()}), hooks(*held):
        ablated = vlm.run(subject.calls[0])
    return subject.close(claim, ablated, counterfactual, "relative logit error")


def _pictures_reach_their_positions(claim: str, subject: Subject) -> ProofLine:
    """Every image position holds a feature, and no other position changes with the picture.

    A feature need not change with the picture (a learned row break); it must not be the embedding of the image token.
    """
    vlm, inputs = subject.vlm, subject.prompts[0].inputs
    changed = vlm.changed_positions(*subject.calls)[0]
    if not changed.any() and (others := _differing(*subject.calls)):
        raise UnsupportedModel(
            f"No position of {vlm.name} holds the picture: it enters beside them, as {', '.join(others)}. Segments "
            f"and knockouts of the data are about the image token alone."
        )
    places = vlm.image_positions(inputs)[0].to(changed.device)
    tokens = vlm.sites.decoder.get_input_embeddings()(vlm.place(inputs["input_ids"]))  # type: ignore[operator]
    bare = (subject.calls[0].embeddings == tokens).all(-1)[0].to(changed.device)
    wrong = int((changed & ~places).sum() + (places & ~changed & bare).sum())
    return ProofLine(claim, wrong == 0 and bool(changed.any()), wrong, f"positions of {int(places.sum())} that differ")


def _knockout_hides_the_picture(claim: str, subject: Subject) -> ProofLine:
    vlm, layout = subject.vlm, subject.prompts[0].layout
    after = slice(layout.query.start, layout.length)
    both = vlm.capture(collate(subject.prompts))
    with vlm.knockout(after, layout.data, range(len(vlm.layers))):
        logits = vlm.run(both)
    # two rows of one batch go through the same kernels: a leak of a few per cent must show in half precision too
    return subject.close(claim, logits[0], logits[1], "relative logit change with the picture", share=0.1)


def _resume_is_exact(claim: str, subject: Subject) -> ProofLine:
    vlm, last = subject.vlm, len(subject.vlm.layers) - 1
    errors = []
    for start in sorted({max(1, last // 2), last}):
        with vlm.resume(start, stream(subject.outputs[start - 1])):
            errors.append(float((vlm.run(subject.calls[0]) - subject.logits).abs().max()))
    return ProofLine(claim, all(error == 0 for error in errors), max(errors), "largest logit difference")


def _batch_is_single(claim: str, subject: Subject) -> ProofLine:
    swapped = subject.vlm.run(subject.vlm.capture(collate(subject.prompts[::-1])))  # the last prompt shows misstacking
    return subject.close(claim, swapped[1:], subject.logits, "relative logit error")


def _forward_is_generate(claim: str, subject: Subject) -> ProofLine:
    inputs = {name: subject.vlm.place(value) for name, value in subject.prompts[0].inputs.items()}
    step = subject.vlm.model.generate(  # type: ignore[operator]
        **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return subject.close(claim, step.logits[0].float(), subject.logits, "relative logit error")


def _always(value: Tensor) -> Edit:
    return lambda live: value


def _kept_in(outputs: dict[nn.Module, Any]) -> Callable[..., None]:
    return lambda module, args, output: outputs.update({module: output})


def _always_returns(output: Any) -> Callable[..., Any]:
    return lambda module, args, live: output


def _differing(a: DecoderCall, b: DecoderCall) -> list[str]:
    """The arguments, by their last name, in which two calls differ."""
    path = Path.between(a, b)
    changed = [name for name, step in zip(path.entries, path.steps(), strict=True) if bool(step.any())]
    return sorted({name.rsplit(".", 1)[-1] for name in changed})


LINES: dict[str, Callable[[str, Subject], ProofLine]] = {
    "each site fires exactly once": _sites_fire_once,
    "hooks and splice change nothing": _hooks_change_nothing,
    "zeroing the heads changes the logits": _zeroed_heads_matter,
    "the empty circuit is the counterfactual run": _empty_circuit_is_counterfactual,
    "image positions hold the image features": _pictures_reach_their_positions,
    "knocking out the data hides the picture": _knockout_hides_the_picture,
    "resuming at a layer is the full forward": _resume_is_exact,
    "a batch gives what single prompts give": _batch_is_single,
    "the first step of generate is the forward": _forward_is_generate,
}
