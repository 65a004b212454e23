"""What docs/steps.json is made from, of one organism, task and panel: scores by many rules, and faithfulness by size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

import diptych
from diptych.attribution._integrate import Attribution, Integral
from diptych.attribution._rules import RULES
from diptych.batch import Batch
from diptych.grid import Circuit, Scores
from diptych.interventions import run_circuits
from diptych.items import Contrast, Modality, Split, Task
from diptych.layout import Layout
from diptych.metrics import correct, logit_diff
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.tasks import small_task

MODELS = ("organism/qwen2vl", "organism/gemma3", "organism/llava")
TASKS = ("counting", "arithmetic", "ordering", "factual_recall", "sentiment")
PANELS: tuple[Modality, ...] = ("text", "image")
CONTRASTS = 24
"""Of discover, that scores are the mean of; and of select, on which their circuits are compared."""
MOST = 100
"""Contrasts of select on which the minimal circuit is looked for; fewer where fewer are answered correctly."""
SIZES = (0.01, 0.05, 0.2)
"""Circuits that ways to integrate are compared by."""
SWEEP = tuple(round(10 ** (-3 + 3 * index / 26), 6) for index in range(27))
"""Sizes of the sweep, .001 to 1 in 26 equal ratios."""
TOP = 0.05
DRAWS = 20
"""Random choices of the prompts to refine, as a control."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Way:
    """A way to integrate: one number of steps, or as many of `steps` as take each prompt's error below `tolerance`.

    The error is a share of the prompt's own effect, as in `ap_ig`, or, if `pooled`, of the mean effect of all prompts.
    """

    rule: str
    steps: tuple[int, ...]
    tolerance: float = 0.0
    pooled: bool = False

    def __str__(self) -> str:
        counts = f"{self.rule} {'→'.join(map(str, self.steps))}"
        return counts + f" at {self.tolerance}{' pooled' * self.pooled}" if len(self.steps) > 1 else counts

    def used(self, errors: "Errors") -> Array:
        """The number of steps of each prompt, from its completeness error at each number."""
        weights = errors.effects / errors.effects.mean() if self.pooled else np.ones(len(errors.effects))
        found = np.full(len(weights), self.steps[0])
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            found[(found == before) & (errors.at[Way(self.rule, (before,))] * weights > self.tolerance)] = after
        return found


@dataclass(frozen=True, eq=False)
class Errors:
    """Size of each prompt's effect m(x) − m(x'), and its completeness error as a share of it by number of steps."""

    effects: Array
    at: dict[Way, Array]


CHAINS = (
    *(("midpoint", chain) for chain in ((5, 15, 45), (3,), (7,), (10,), (60,))),
    ("right", (5, 10)),
)
"""Nested numbers of steps: each keeps the points of the one before."""
FIXED = tuple(Way(rule, (steps,)) for rule, chain in CHAINS for steps in chain)
REFERENCE = Way("midpoint", (60,))
TOLERANCES = (0.02, 0.05, 0.1, 0.2, 0.4)
REFINED = (("midpoint", (5, 15)), ("midpoint", (5, 15, 45)), ("right", (5, 10)))
ADAPTIVE = tuple(Way(rule, chain, tolerance) for rule, chain in REFINED for tolerance in TOLERANCES)
CONTROLLED = ADAPTIVE[: len(TOLERANCES)]
POOLED = tuple(replace(way, pooled=True) for way in CONTROLLED)
WAYS = (*FIXED, *ADAPTIVE, *POOLED)
DEFAULT = Way("midpoint", (5, 15), 0.1)
"""What `ap_ig` does if nothing is asked for."""


def measure(vlm: VLM, name: str, modality: Modality) -> dict[str, Array]:
    """Numbers per prompt: steps and errors of each way, its likeness to the reference, and its circuits' effects."""
    task = small_task(name)
    answers = diptych.answer_tokens(vlm, task)
    encoded = encode(vlm, answered(vlm, task, answers, modality, "discover")[:CONTRASTS], answers, batch_size=1)
    grids, errors = integrated(vlm, encoded.batches, encoded.layout)
    steps = {way: way.used(errors) for way in WAYS}
    means = {way: mean(grids, way.rule, steps[way]) for way in WAYS}
    found = {"steps": np.stack([steps[way] for way in WAYS]), "errors": np.stack([errors.at[way] for way in FIXED])}
    found |= {"likeness": np.array([like(means[way], means[REFERENCE]) for way in WAYS])}
    found |= {"effects": errors.effects}
    found |= {"control": np.array([_random(grids, way, steps[way], means[REFERENCE]) for way in CONTROLLED])}
    select = answered(vlm, task, answers, modality, "select")[:MOST]
    found |= effects(vlm, select[:CONTRASTS], answers, [means[way].top(size) for way in WAYS for size in SIZES])
    ranked = means[DEFAULT]
    curve = effects(vlm, select, answers, [ranked.top(size) for size in SWEEP])
    found |= {f"sweep {name}": values for name, values in curve.items()}
    return found | {"share": np.array([share(ranked, size) for size in SWEEP])}


@torch.no_grad()
def answered(vlm: VLM, task: Task, answers: AnswerTokens, modality: Modality, split: Split) -> list[Contrast]:
    """The contrasts whose clean prompt is answered correctly, in the task's order."""
    contrasts = task.contrasts(modality, split, 0)
    right: set[str] = set()
    for batch in encode(vlm, contrasts, answers, batch_size=CONTRASTS).batches:
        good = correct(vlm.run(vlm.capture(batch.clean)), batch.answers, answers.choices)
        right |= {name for name, yes in zip(batch.ids, good.tolist(), strict=True) if yes}
    return [contrast for contrast in contrasts if contrast.clean.id in right]


def integrated(vlm: VLM, batches: Sequence[Batch], layout: Layout) -> tuple[dict[Way, list[Scores]], Errors]:
    """Scores and completeness error of each prompt by each number of steps; points are run once per chain."""
    grids: dict[Way, list[Scores]] = {way: [] for way in FIXED}
    errors: dict[Way, list[float]] = {way: [] for way in FIXED}
    effects = []
    for batch in batches:
        for way, found in attributed(vlm, batch):
            grids[way].append(found.scores.pool(layout))
            errors[way].append(float(found.completeness))
        effects.append(abs(float(found.effect)))
    return grids, Errors(np.array(effects), {way: np.array(values) for way, values in errors.items()})


def attributed(vlm: VLM, batch: Batch) -> Iterator[tuple[Way, Attribution]]:
    """Every number of steps of every chain, of a batch of one prompt."""
    for rule, chain in CHAINS:
        integral = Integral(vlm, batch, logit_diff, at_once=15)
        done: set[Any] = set()
        for steps in chain:
            points = RULES[rule].points(steps)
            integral.add({point: weight for point, weight in points.items() if point not in done}, [0])
            done = set(points)
            yield Way(rule, (steps,)), integral.result("l1")


def mean(grids: dict[Way, list[Scores]], rule: str, steps: Array) -> Scores:
    """Mean scores over prompts, each by its own number of steps."""
    some = [grids[Way(rule, (int(count),))][prompt] for prompt, count in enumerate(steps)]
    heads, neurons = (torch.stack([getattr(one, kind) for one in some]).mean(0) for kind in ("heads", "neurons"))
    return Scores(heads, neurons, some[0].layout, some[0].model, some[0].there)


def like(scores: Scores, reference: Scores) -> list[float]:
    """Pearson's correlation and the share of the top nodes that are shared, each the mean of heads and neurons."""
    kinds = list(zip(scores, reference, strict=True))
    correlations = [np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1] for a, b in kinds]
    tops = list(zip(scores.top(TOP), reference.top(TOP), strict=True))
    return [float(np.mean(correlations)), float(np.mean([float((a & b).sum() / b.sum()) for a, b in tops]))]


def _random(grids: dict[Way, list[Scores]], way: Way, steps: Array, reference: Scores) -> list[float]:
    """Likeness on average if as many prompts are refined, but random ones."""
    chance = np.random.default_rng(0)
    drawn = (mean(grids, way.rule, chance.permutation(steps)) for _ in range(DRAWS))
    return list(np.mean([like(scores, reference) for scores in drawn], 0))


@torch.no_grad()
def effects(
    vlm: VLM, contrasts: Sequence[Contrast], answers: AnswerTokens, circuits: Sequence[Circuit]
) -> dict[str, Array]:
    """m(circuit) − m(empty) [circuit, prompt], m(model) − m(empty) and cluster [prompt]."""
    kept, total, clusters = [], [], []
    for batch in encode(vlm, contrasts, answers, batch_size=CONTRASTS).batches:
        call = vlm.capture(batch.clean)
        with vlm.record() as recording:
            empty = value(vlm.run(vlm.capture(batch.counterfactual)), batch)
        own = (circuit.expand(batch.layout) for circuit in circuits)
        logits = run_circuits(vlm, call, own, recording.activations(), batch_size=2 * CONTRASTS)
        kept.append(torch.stack([value(some, batch) for some in logits]) - empty)
        total.append(value(vlm.run(call), batch) - empty)
        clusters += batch.clusters
    return {"kept": torch.cat(kept, 1).numpy(), "total": torch.cat(total).numpy(), "clusters": np.array(clusters)}


def value(logits: Tensor, batch: Batch) -> Tensor:
    return logit_diff(logits, batch.answers, batch.counter_answers).double()


def share(scores: Scores, size: float) -> list[float]:
    """The part of all heads' and of all neurons' scores that the circuit of this size holds."""
    return [float(nodes[kept].sum() / nodes.sum()) for nodes, kept in zip(scores, scores.top(size), strict=True)]
