"""Exact patching: the effect of nodes, one by one or in sets, measured instead of approximated (methods §4)."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from diptych.attribution._integrate import REDUCTIONS, Attribution, Reduction
from diptych.batch import Batch
from diptych.errors import InputError
from diptych.grid import KINDS, Circuit, Grid, Scores
from diptych.interventions import require_own, run_circuits
from diptych.layout import Layout
from diptych.metrics import Metric
from diptych.metrics import metric as find_metric
from diptych.models.calls import DecoderCall
from diptych.models.handed import record_handed, started
from diptych.models.sites import Site
from diptych.models.vlm import VLM, Edit


def exact(
    vlm: VLM,
    batch: Batch,
    *,
    metric: str | Metric = "logit_diff",
    reduction: Reduction = "l1",
    among: Circuit | None = None,
    batch_size: int = 64,
) -> Attribution:
    """The mean effect of each node in `among` (all outside the prefix by default), patched alone from x' into x.

    Absolute values per prompt, unless `reduction` is `"signed"`; nodes that are not in `among` score 0.
    Cost ≤ 2F + 1F per node. Raises `InputError` for an unknown reduction.
    """
    if reduction not in REDUCTIONS:
        raise InputError(f"No reduction named '{reduction}'. Known: {', '.join(REDUCTIONS)}.")
    nodes = everywhere(vlm, batch).without("prefix") if among is None else among
    found, effect = _measure(vlm, batch, nodes, find_metric(metric), batch_size)
    scores = _scatter(nodes, (found if reduction == "signed" else found.abs()).mean(1))
    steps = torch.zeros(len(batch), dtype=torch.int64)
    return Attribution(scores, torch.full((len(batch),), float("nan")), effect, steps)


def effects(
    vlm: VLM, batch: Batch, nodes: Circuit, *, metric: str | Metric = "logit_diff", batch_size: int = 64
) -> Float[Tensor, "node batch"]:
    """m(x with one node patched from x') − m(x), per node and prompt: heads first, in the order of `nonzero`.

    Where `nodes` has one position for a span of the prompts, the node is patched at all of its tokens. Layers below the
    node are not run again; as many nodes share a run as keep nodes × prompts within `batch_size`.
    """
    return _measure(vlm, batch, nodes, find_metric(metric), batch_size)[0]


@torch.no_grad()
def set_effects(
    vlm: VLM, batch: Batch, sets: Iterable[Circuit], *, metric: str | Metric = "logit_diff", batch_size: int = 64
) -> Float[Tensor, "set batch"]:
    """m(x with each set of nodes patched from x') − m(x), per prompt. Cost 2F + 1F per set."""
    call = vlm.capture(batch.clean)
    with vlm.record() as recording:
        vlm.run(vlm.capture(batch.counterfactual))
    others = (~some for some in sets)
    patched = run_circuits(vlm, call, others, recording.activations(), batch_size=batch_size)
    clean = vlm.run(call)
    measure, answers = find_metric(metric), (batch.answers, batch.counter_answers, clean)
    return torch.stack([measure(logits, *answers) for logits in patched]) - measure(clean, *answers)


def everywhere(vlm: VLM, batch: Batch) -> Circuit:
    """The circuit of all nodes that a model has in a batch's layout."""
    sites, length = vlm.sites, batch.layout.length
    heads, neurons = (
        torch.ones(len(kind), length, kind[0].count, dtype=torch.bool) for kind in (sites.heads, sites.neurons)
    )
    return Grid(heads, neurons, batch.layout, vlm.digest, sites.there)


@dataclass(frozen=True, eq=False)
class _Patch:
    """Nodes of one site, each to be patched alone: (its tokens, its index). A span's one position stands for its tokens."""

    site: Site
    nodes: list[tuple[Tensor, int]]

    def chunks(self, values: list[Tensor], size: int) -> Iterator[tuple["_Patch", list[Tensor]]]:
        """At most `size` nodes at a time, with their values."""
        for start in range(0, len(self.nodes), size):
            some = slice(start, start + size)
            yield _Patch(self.site, self.nodes[some]), values[some]

    def taken(self, live: Tensor) -> list[Tensor]:
        """The values of each node, [batch, token, ...]."""
        return [live[:, tokens.to(live.device), node] for tokens, node in self.nodes]

    def written(self, live: Tensor, values: list[Tensor]) -> Tensor:
        """`live` [node·batch, pos, ...] with the first node patched in the first prompts, the second in the next, ..."""
        changed = live.clone().unflatten(0, (len(self.nodes), -1))
        for prompts, (tokens, node), value in zip(changed, self.nodes, values, strict=True):
            prompts[:, tokens.to(live.device), node] = value.to(live)
        return changed.flatten(0, 1)


def _patches(vlm: VLM, nodes: Circuit, layout: Layout) -> Iterator[_Patch]:
    positions = layout.onto(nodes.layout)
    tokens = [(positions == position).nonzero()[:, 0] for position in range(nodes.layout.length)]
    for kind, sites in zip(KINDS, (vlm.sites.heads, vlm.sites.neurons), strict=True):
        for site in sites:
            places = getattr(nodes, kind)[site.layer].nonzero().tolist()
            if places:
                yield _Patch(site, [(tokens[position], node) for position, node in places])


@torch.no_grad()
def _measure(
    vlm: VLM, batch: Batch, nodes: Circuit, metric: Metric, batch_size: int
) -> tuple[Float[Tensor, "node batch"], Float[Tensor, " batch"]]:
    """The effect of each node, and m(x) − m(x')."""
    require_own(vlm, nodes)
    call, patches = vlm.capture(batch.clean), list(_patches(vlm, nodes, batch.layout))
    with record_handed(vlm) as residuals:
        clean = vlm.run(call)
    values, counterfactual = _values(vlm, vlm.capture(batch.counterfactual), patches)

    def value(logits: Tensor) -> Tensor:
        return metric(logits, batch.answers, batch.counter_answers, clean)

    found = [
        value(logits) - value(clean)
        for patch, other in zip(patches, values, strict=True)
        for chunk in patch.chunks(other, max(1, batch_size // len(batch)))
        for logits in _run(vlm, call, residuals, *chunk)
    ]
    effect = (value(clean) - value(counterfactual)).cpu()
    return torch.stack(found).cpu() if found else effect.new_zeros(0, len(batch)), effect


def _values(vlm: VLM, call: DecoderCall, patches: list[_Patch]) -> tuple[list[list[Tensor]], Tensor]:
    """The values of the nodes alone in a run, so that no whole network is kept, and its logits."""
    # a layer that is not called keeps zeros
    kept = {patch.site: patch.taken(patch.site.nothing(call.embeddings)) for patch in patches}

    def keep(patch: _Patch) -> Edit:
        def look(live: Tensor) -> Tensor:
            # a site made of parts is seen part by part, with zeros for the others
            kept[patch.site] = [a + b for a, b in zip(kept[patch.site], patch.taken(live), strict=True)]
            return live

        return look

    with vlm.edit_inputs({patch.site: keep(patch) for patch in patches}):
        logits = vlm.run(call)
    return [kept[patch.site] for patch in patches], logits


def _run(
    vlm: VLM, call: DecoderCall, residuals: Sequence[Tensor], patch: _Patch, values: list[Tensor]
) -> Float[Tensor, "node batch vocab"]:
    times, layer = len(patch.nodes), patch.site.layer
    start: AbstractContextManager[None] = nullcontext()
    if layer > 0:
        start = started(vlm, layer - 1, residuals[layer - 1].repeat(times, 1, 1))
    with start, vlm.edit_inputs({patch.site: lambda live: patch.written(live, values)}):
        return vlm.run(call.repeat(times)).unflatten(0, (times, call.batch))


def _scatter(nodes: Circuit, values: Tensor) -> Scores:
    """Values at the nodes, in their order; 0 elsewhere."""
    parts = values.split([int(kind.sum()) for kind in nodes])
    grids = [torch.zeros(kind.shape, dtype=values.dtype) for kind in nodes]
    for grid, kind, part in zip(grids, nodes, parts, strict=True):
        grid[kind] = part
    return replace(nodes, heads=grids[0], neurons=grids[1])
