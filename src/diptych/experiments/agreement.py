"""Agreement: how well each attribution method foretells what patching a node really does."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from diptych.attribution.exact import effects
from diptych.errors import InputError, UnsupportedModel
from diptych.experiments._folds import FoldScores
from diptych.experiments._parameters import Count, MetricName, Names, Options, Positions, Seed, Share
from diptych.experiments._survey import Survey, clusters
from diptych.experiments._text import fixed, from_tensor, interval, to_tensor
from diptych.experiments.discover import attribute
from diptych.figures import Bars, Series
from diptych.grid import KINDS, Circuit, Scores
from diptych.items import Contrast, Modality
from diptych.models.encode import AnswerTokens, encode
from diptych.models.vlm import VLM
from diptych.result import Row, numbers
from diptych.run import Finding, Run
from diptych.statistics import INTERVAL, expanded, resampled_means

VERSION = 2
USES = ("accuracy", "discover")
EXACT = "exact"
REFUSED = ".refused"

Array = NDArray[np.float64]


def agreement(
    run: Run,
    *,
    modality: Modality = "image",
    methods: Names = ("ap", "ap_ig", "relp"),
    metric: MetricName = "logit_diff",
    nodes: Count = 48,
    prompts: Count = 32,
    top: Share = 0.25,
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """Mean effect of patching single nodes on *test* against the signed scores of each method, over a sample of nodes.

    The sample of each kind is `nodes` large: half the strongest of `discover`, half drawn from the others outside the
    prefix. `prompts`: contrasts used at most. `top`: share of the sample that counts as strongest. `positions`: what a
    position is if prompts differ in length; a node of a span is patched at all of its tokens.
    """
    if EXACT in methods or len(set(methods)) < len(methods):
        raise InputError(
            f"methods are {', '.join(methods)}; expected different ones, which `{EXACT}` is measured against."
        )
    survey = Survey.of(run)
    asked: Options = {"metric": metric, "seed": seed, "positions": positions} | discovery
    found = run.get("discover", modality=modality, **asked)
    chosen = sample(FoldScores.of(run, found).mean(), nodes, seed)
    contrasts = survey.contrasts(modality, "test", seed=seed, positions=asked["positions"])
    work = partial(
        measure, nodes=chosen, methods=methods, metric=metric, answers=survey.answers, batch_size=run.batch_size
    )
    units = contrasts.units(1)[:prompts]
    values = [value for _, value in run.map(work, units)]
    measured = Measured.of(values, chosen, clusters(units), top, seed)
    rows = [row for kind in KINDS for row in measured.rows(kind)]
    refused = {m: from_tensor(values[0][m + REFUSED]) for m in methods if m + REFUSED in values[0]}
    return Finding(
        summary=_summary(run.task.name, modality, rows),
        rows=rows,
        conditions=survey.conditions
        | contrasts.conditions()
        | contrasts.alignment_conditions()
        | {"prompts patched": len(units), "metric": metric, "seed": seed, "split": "test (nodes from discover)"}
        | {"interval": f"{INTERVAL}; {len(set(measured.clusters))} clusters, the nodes stay the same"},
        figures=[_bars(kind, modality, [row for row in rows if row["kind"] == kind]) for kind in KINDS],
        notes=[
            f"Half of the nodes are the strongest of discover ({found.conditions['method']}), half are drawn from the "
            f"others outside the prefix; a sample of strong nodes alone would correlate less.",
            f"Strongest: the {top:.0%} of the sample with the largest mean effects in size; chance shares {top:.0%} of them.",
            "Resampled prompts hold fewer different ones than the whole, so intervals tend to lie below their values.",
            *(f"{method} is left out: {reason}" for method, reason in refused.items()),
        ],
    )


def sample(scores: Scores, count: int, seed: int) -> Circuit:
    """`count` nodes of each kind: half of the highest score, half drawn from the others outside the prefix."""
    chance = torch.Generator().manual_seed(seed)
    outside = scores.map(torch.ones_like).without("prefix")

    def choose(ranked: Tensor, allowed: Tensor) -> Tensor:
        order = ranked.flatten().where(allowed.flatten() > 0, -math.inf)
        strong = order.topk(min(count // 2, int(allowed.sum()))).indices
        others = allowed.flatten().clone()
        others[strong] = 0
        drawn = (torch.rand(others.shape, generator=chance) * others).topk(min(count - len(strong), int(others.sum())))
        chosen = torch.zeros(order.shape, dtype=torch.bool)
        chosen[torch.cat([strong, drawn.indices])] = True
        return chosen.view(ranked.shape)

    heads, neurons = (choose(ranked, allowed) for ranked, allowed in zip(scores, outside, strict=True))
    return replace(scores, heads=heads, neurons=neurons)


def measure(
    vlm: VLM,
    payload: tuple[int, list[Contrast]],
    *,
    nodes: Circuit,
    methods: Sequence[str],
    metric: str,
    answers: AnswerTokens,
    batch_size: int,
) -> dict[str, Tensor]:
    """Of one contrast: the effect of each node, and what each method says it is; or why a method refuses the model."""
    _, contrasts = payload
    (batch,) = encode(vlm, contrasts, answers, batch_size=1).batches
    found = {EXACT: effects(vlm, batch, nodes, metric=metric, batch_size=batch_size)[:, 0]}
    for method in methods:
        try:
            scores = attribute(method, vlm, batch, {"metric": metric, "reduction": "signed"}).scores.pool(nodes.layout)
        except UnsupportedModel as error:
            found[method + REFUSED] = to_tensor(str(error))
        else:
            found[method] = torch.cat([part[mask] for part, mask in zip(scores, nodes, strict=True)])
    return found


@dataclass(frozen=True, eq=False)
class Measured:
    """Values of all nodes and prompts, by what they come from: [node, prompt]; heads before neurons."""

    values: Mapping[str, Array]
    heads: int
    clusters: Sequence[str]
    top: float
    seed: int

    @classmethod
    def of(
        cls, units: Sequence[dict[str, Tensor]], nodes: Circuit, clusters: Sequence[str], top: float, seed: int
    ) -> "Measured":
        names = [name for name in units[0] if not name.endswith(REFUSED)]
        values = {name: torch.stack([unit[name] for unit in units], 1).double().cpu().numpy() for name in names}
        return cls(values, nodes.count()[0], clusters, top, seed)

    def rows(self, kind: str) -> list[Row]:
        """One row per method."""
        return [self._row(kind, method) for method in self.values if method != EXACT]

    def _row(self, kind: str, method: str) -> Row:
        part = slice(0, self.heads) if kind == "heads" else slice(self.heads, None)
        real, said = self.values[EXACT][part], self.values[method][part]
        both = np.concatenate([real, said])
        drawn = resampled_means(both, self.clusters, seed=self.seed)
        tail = (1 - expanded(0.95, len(set(self.clusters)))) / 2
        row: dict[str, str | float | int | bool | None] = {
            "kind": kind,
            "method": method,
            "nodes": len(real),
            "prompts": real.shape[1],
        }
        for name, statistic in MEASURES.items():
            value, samples = (_apply(statistic, means, self.top) for means in (both.mean(1)[None], drawn))
            row |= {
                name: float(value[0]),
                f"{name} low": _quantile(samples, tail),
                f"{name} high": _quantile(samples, 1 - tail),
            }
        return row


def pearson(a: Array, b: Array) -> Array:
    """Correlation along the last axis; nan where either side is constant."""
    a, b = (x - x.mean(-1, keepdims=True) for x in (a, b))
    sizes = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.divide((a * b).sum(-1), sizes, out=np.full(sizes.shape, math.nan), where=sizes > 0)


def spearman(a: Array, b: Array) -> Array:
    """Correlation of ranks along the last axis."""
    return pearson(rankdata(a, axis=-1), rankdata(b, axis=-1))


def same_sign(a: Array, b: Array) -> Array:
    """Share of the nodes with an effect whose score has its sign; nan if there are none."""
    there = (a != 0).sum(-1)
    agree = ((a != 0) & (np.sign(a) == np.sign(b))).sum(-1)
    return np.divide(agree, there, out=np.full(there.shape, math.nan), where=there > 0)


def shared_top(a: Array, b: Array, top: float) -> Array:
    """Share of the largest in size that both sides have."""
    count = max(1, round(top * a.shape[-1]))
    kept = [np.argsort(-np.abs(x), axis=-1, kind="stable")[..., :count] for x in (a, b)]
    return np.array([len(set(x) & set(y)) / count for x, y in zip(*kept, strict=True)])


MEASURES: Mapping[str, Callable[[Array, Array, float], Array]] = {
    "Pearson": lambda a, b, top: pearson(a, b),
    "Spearman": lambda a, b, top: spearman(a, b),
    "sign agreement": lambda a, b, top: same_sign(a, b),
    "overlap of the strongest": shared_top,
}


def _apply(statistic: Callable[[Array, Array, float], Array], means: Array, top: float) -> Array:
    """A measure of [draw, exact nodes + scored nodes]."""
    real, said = np.split(means, 2, axis=-1)
    return statistic(real, said, top)


def _quantile(samples: Array, level: float) -> float:
    return float(np.quantile(samples, level)) if np.isfinite(samples).all() else math.nan


def _summary(task: str, modality: Modality, rows: Sequence[Row]) -> str:
    def said(row: Row) -> str:
        bounds = {"low": row["Pearson low"], "high": row["Pearson high"]}
        return f"{row['method']} {fixed(row['Pearson'])} {interval(bounds)}"

    parts = [f"{kind}: " + ", ".join(said(row) for row in rows if row["kind"] == kind) for kind in KINDS]
    return (
        f"From {modality}, scores of {task} correlate with the exact effects of single nodes (Pearson) by "
        + "; ".join(parts)
        + "."
    )


def _bars(kind: str, modality: Modality, rows: Sequence[Row]) -> Bars:
    def column(row: Row, ending: str) -> list[float | int | None]:
        return [numbers([row], name + ending)[0] for name in MEASURES]

    return Bars(
        title=f"Agreement with exact patching, {kind}, {modality}",
        caption="Signed scores of each method against the exact effect of patching one node, both means over test prompts. "
        "Bars: 95% bootstrap over clusters of prompts.",
        x_title="measure",
        y_title="agreement",
        categories=list(MEASURES),
        series=[Series(str(row["method"]), *(column(row, end) for end in ("", " low", " high"))) for row in rows],
    )
