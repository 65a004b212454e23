"""Metrics of the last position's logits: one number per prompt (methods §4)."""

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor

from diptych.errors import InputError

Logits = Float[Tensor, "batch vocab"]
Tokens = Int[Tensor, " batch"]
PerPrompt = Float[Tensor, " batch"]
Metric = Callable[[Logits, Tokens, Tokens, Logits], PerPrompt]
"""Logits, answers, counter-answers and the clean run's logits (which only relative metrics read) → one number per prompt."""


def logit_diff(logits: Logits, answers: Tokens, counter_answers: Tokens, clean: Logits | None = None) -> PerPrompt:
    """logit(r) − logit(r'), in nats of log-odds."""
    return _pick(logits, answers) - _pick(logits, counter_answers)


def logit(logits: Logits, answers: Tokens, counter_answers: Tokens, clean: Logits | None = None) -> PerPrompt:
    """logit(r) minus the mean logit over the vocabulary, so that it does not depend on a common shift."""
    return _pick(logits, answers) - logits.mean(-1)


def probability(logits: Logits, answers: Tokens, counter_answers: Tokens, clean: Logits | None = None) -> PerPrompt:
    """p(r), between 0 and 1."""
    return _pick(logits.softmax(-1), answers)


def indirect_effect(logits: Logits, answers: Tokens, counter_answers: Tokens, clean: Logits) -> PerPrompt:
    """Mean of the two relative probability changes against the run `clean`: ½[(p*(r')−p(r'))/p(r') + (p(r)−p*(r))/p*(r)]."""
    now, before = logits.softmax(-1), clean.softmax(-1)
    towards = (_pick(now, counter_answers) - _pick(before, counter_answers)) / _pick(before, counter_answers)
    away = (_pick(before, answers) - _pick(now, answers)) / _pick(now, answers)
    return (towards + away) / 2


def correct(logits: Logits, answers: Tokens, choices: Int[Tensor, " choice"]) -> Float[Tensor, " batch"]:
    """1 where the highest logit among `choices` is the answer's, else 0."""
    choices = choices.to(logits.device)
    return (choices[logits[:, choices].argmax(-1)] == answers.to(logits.device)).float()


METRICS: dict[str, Metric] = {
    "logit_diff": logit_diff,
    "logit": logit,
    "probability": probability,
    "indirect_effect": indirect_effect,
}


def accuracy(choices: Int[Tensor, " choice"]) -> Metric:
    """The metric that is 1 where the highest logit among `choices` is the answer's, else 0; it has no gradient."""
    return lambda logits, answers, counter_answers, clean: correct(logits, answers, choices)


def metric(name: str | Metric) -> Metric:
    """The metric of that name, or the given function itself."""
    if not isinstance(name, str):
        return name
    if name not in METRICS:
        raise InputError(f"No metric named '{name}'. Known: {', '.join(METRICS)}.")
    return METRICS[name]


def _pick(values: Tensor, tokens: Tensor) -> Tensor:
    return values.gather(-1, tokens[:, None].to(values.device)).squeeze(-1)
