"""AP-IG and a faithfulness curve against the floors of methods §15: bare forwards and backwards of the same shapes."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from benchmarks.bench import Subject
from benchmarks.ratios import Line, Work, in_turns, ratios
from diptych.activations import Activations
from diptych.attribution.ap_ig import ap_ig
from diptych.faithfulness import MIB_SIZES
from diptych.interventions import run_circuits
from diptych.metrics import logit_diff

STEPS = 5
FEW = MIB_SIZES[:2]
"""A curve of two sizes; what more sizes cost, each of the others adds."""
BATCH = 16
"""Circuits × prompts that share a run: the batch size of `diptych run` if nothing else is said."""


def lines(subject: Subject, runs: int) -> Iterator[Line]:
    """The floor as a share of what AP-IG takes; forwards of the decoder that one more size of a curve costs."""
    work = Bare(subject)
    work.sweep(FEW)  # warm
    found = in_turns({"ours": work.ap_ig, "floor": work.floor}, runs)
    yield Line(f"AP-IG, {STEPS} points: floor / diptych", subject.called, ratios(found["floor"], found["ours"]), 0.95)
    curves: Mapping[str, Work] = {
        "few": lambda: work.sweep(FEW),
        "all": lambda: work.sweep(MIB_SIZES),
        "ranking": lambda: list(work.scores.tops(MIB_SIZES)),
        "forward": work.forward,
    }
    found = in_turns(curves, runs)
    extra = len(MIB_SIZES) - len(FEW)
    more = [whole - few for whole, few in zip(found["all"], found["few"], strict=True)]
    whole = ratios(more, found["forward"], 1 / extra)
    ranked = ratios(found["ranking"], found["forward"], 1 / len(MIB_SIZES))
    yield Line("curve: forwards per extra size", subject.called, whole, 1.1, at_least=False)
    yield Line("of these, ranking", subject.called, ranked)
    yield Line("and all else", subject.called, [a - b for a, b in zip(whole, ranked, strict=True)])


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
            self.step()

    def step(self) -> None:
        """One forward and backward of the decoder, to its embeddings."""
        embeddings = self.call.embeddings.clone().requires_grad_()
        torch.autograd.grad(self.value(embeddings), embeddings)

    def value(self, embeddings: Tensor) -> Tensor:
        """The metric, summed over prompts, if the decoder is given these embeddings."""
        return logit_diff(self._logits(embeddings), self.batch.answers, self.batch.counter_answers).sum()

    @torch.no_grad()
    def forward(self) -> None:
        """One forward of the decoder, with the last position unembedded."""
        self._logits(self.call.embeddings)

    @torch.no_grad()
    def run(self) -> None:
        """One forward as diptych makes it."""
        self.vlm.run(self.call)

    @torch.no_grad()
    def sweep(self, sizes: tuple[float, ...]) -> None:
        """A curve over some sizes, a circuit a run: as of a batch that is full (`each` has what sharing runs changes)."""
        self.run()
        run_circuits(self.vlm, self.call, self.scores.tops(sizes), self.replacement(), batch_size=len(self.batch))

    @torch.no_grad()
    def replacement(self) -> Activations:
        """The values of all nodes in the counterfactual run."""
        with self.vlm.record() as recording:
            self.vlm.run(self.vlm.capture(self.batch.counterfactual))
        return recording.activations()

    def _logits(self, embeddings: Tensor) -> Tensor:
        given = {**self.call.kwargs, "inputs_embeds": embeddings}
        hidden = self.vlm.sites.decoder(**given).last_hidden_state
        logits: Tensor = self.vlm.sites.unembedding(hidden[:, -1:])
        return logits[:, -1]
