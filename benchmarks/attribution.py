"""AP-IG and a faithfulness curve against the floors of methods §15: bare forwards and backwards of the same shapes."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from benchmarks.bench import Subject
from benchmarks.ratios import Line, Work, in_turns, ratios
from diptych.attribution.ap_ig import ap_ig
from diptych.faithfulness import MIB_SIZES
from diptych.interventions import run_circuits
from diptych.metrics import logit_diff

STEPS = 5
FEW = MIB_SIZES[:2]
"""A curve of two sizes; what more sizes cost, each of the others adds."""


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """The floor as a share of what AP-IG takes; forwards of the decoder that one more size of a curve costs."""
    work = Bare(subject)
    work.sweep(FEW)  # warm
    found = in_turns({"ours": work.ap_ig, "floor": work.floor}, runs)
    yield Line(f"AP-IG, {STEPS} points: floor / diptych", subject.called, ratios(found["floor"], found["ours"]), 0.95)
    curves: Mapping[str, Work] = {
        "few": lambda: work.sweep(FEW),
        "all": lambda: work.sweep(MIB_SIZES),
        "forward": work.forward,
    }
    found = in_turns(curves, runs)
    more = [whole - few for whole, few in zip(found["all"], found["few"], strict=True)]
    each = ratios(more, found["forward"], 1 / (len(MIB_SIZES) - len(FEW)))
    yield Line("curve: forwards per extra size", subject.called, each, 1.1, at_least=False)


class Bare:
    """What is measured of one subject; the decoder's own arguments are made once, before anything is measured."""

    def __init__(self, subject: Subject) -> None:
        self.vlm, self.batch, self.scores = subject.vlm, subject.batch, subject.scores
        self.call = self.vlm.capture(self.batch.clean)

    def ap_ig(self) -> None:
        ap_ig(self.vlm, self.batch, rule="right", steps=STEPS)

    def floor(self) -> None:
        """2F and k(F + B): parameters frozen, vision once per picture, the last position unembedded."""
        with torch.no_grad():
            for inputs in (self.batch.clean, self.batch.counterfactual):
                self.vlm.model(**inputs, logits_to_keep=1, use_cache=False)
        for _ in range(STEPS):
            embeddings = self.call.embeddings.clone().requires_grad_()
            value = logit_diff(self._logits(embeddings), self.batch.answers, self.batch.counter_answers).sum()
            torch.autograd.grad(value, embeddings)

    @torch.no_grad()
    def forward(self) -> None:
        """One forward of the decoder, with the last position unembedded."""
        self._logits(self.call.embeddings)

    @torch.no_grad()
    def sweep(self, sizes: tuple[float, ...]) -> None:
        """A curve over some sizes."""
        self.vlm.run(self.call)
        with self.vlm.record() as recording:
            self.vlm.run(self.vlm.capture(self.batch.counterfactual))
        circuits = (self.scores.top(size) for size in sizes)
        run_circuits(self.vlm, self.call, circuits, recording.activations(), batch_size=1)

    def _logits(self, embeddings: Tensor) -> Tensor:
        given = {**self.call.kwargs, "inputs_embeds": embeddings}
        hidden = self.vlm.sites.decoder(**given).last_hidden_state
        logits: Tensor = self.vlm.sites.unembedding(hidden[:, -1:])
        return logits[:, -1]
