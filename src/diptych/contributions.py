"""Direct contributions: what each head and MLP itself writes towards an answer, through the final norm and unembedding."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diptych.attribution._relevance import fixed_norms
from diptych.errors import UnsupportedModel
from diptych.models.calls import DecoderCall, Path
from diptych.models.hooks import hooks
from diptych.models.site import Site
from diptych.models.vlm import VLM


@dataclass(frozen=True, eq=False)
class Contributions:
    """Parts of logit(r) − logit(r') at the last position, in logits before any soft cap or scale behind the unembedding.

    `heads` are those of the last position, as only they are read by its unembedding. `neurons`: all of a layer together.
    `rest`: what is neither node nor embedding, such as biases; `total` is the sum of all.
    """

    heads: Float[Tensor, "batch layer head"]
    neurons: Float[Tensor, "batch layer"]
    embedding: Float[Tensor, " batch"]
    total: Float[Tensor, " batch"]

    @property
    def rest(self) -> Float[Tensor, " batch"]:
        """What is no node: biases, per-layer embeddings, experts that cannot be read."""
        return self.total - self.heads.sum((1, 2)) - self.neurons.sum(1) - self.embedding


def direct_contributions(
    vlm: VLM, call: DecoderCall, answers: Int[Tensor, " batch"], counter_answers: Int[Tensor, " batch"]
) -> Contributions:
    """Each node's value times the gradient of the logit difference when no node depends on another.

    Every node is cut off from what is below it, so what is left is its own way: output projection, norms behind it,
    residual stream, final norm, unembedding. The scales of norms are constants of the clean run, so the way is linear
    and the parts add up. Cost 1F and a backward pass through no attention. Raises `UnsupportedModel` where positions
    are mixed beside the nodes, and for norms that are not x times a scale and a weight.
    """
    if vlm.sites.unread:
        raise UnsupportedModel(
            f"{vlm.name} has layers that mix positions without heads, so what other positions write reaches the answer "
            f"beside all nodes. Direct contributions need a model whose attention is all that mixes positions."
        )
    leaves = _Leaves()
    clean, entries = Path.between(call, call).at(1.0)
    logits: list[Tensor] = []
    with (
        torch.enable_grad(),
        fixed_norms(vlm),
        vlm.edit_inputs({site: leaves.cut(site) for site in vlm.sites}),
        hooks(vlm.sites.unembedding.register_forward_hook(lambda module, args, output: logits.append(output))),
    ):
        vlm.run(clean)
        total = _difference(logits[0][:, -1], answers, counter_answers)
        embedding, *parts = _products([entries[0], *leaves.values], total)
    heads = parts[0].new_zeros(call.batch, len(vlm.layers), vlm.sites.heads[0].count)
    neurons = parts[0].new_zeros(call.batch, len(vlm.layers))
    for site, part in zip(leaves.sites, parts, strict=True):
        if site.kind == "heads":
            heads[:, site.layer] += part.sum(-1)
        else:
            neurons[:, site.layer] += part.sum(-1)
    return Contributions(heads, neurons, embedding.sum(-1), total.detach().to(heads))


@dataclass
class _Leaves:
    """The nodes' values of a run, each cut off from what it was computed from, with their sites."""

    sites: list[Site] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def cut(self, site: Site) -> Callable[[Tensor], Tensor]:
        def edit(live: Tensor) -> Tensor:
            self.sites.append(site)
            self.values.append(live.detach().requires_grad_())
            return self.values[-1]

        return edit


def _difference(logits: Tensor, answers: Tensor, counter_answers: Tensor) -> Tensor:
    """logit(r) − logit(r') per prompt, in at least float32."""
    right, wrong = (logits.gather(-1, tokens[:, None].to(logits.device))[:, 0] for tokens in (answers, counter_answers))
    return (right - wrong) if logits.dtype == torch.float64 else right.float() - wrong.float()


def _products(leaves: list[Tensor], total: Tensor) -> list[Tensor]:
    """Value times gradient at the last position: [batch, node, d_head], [batch, neuron] or [batch, d_model]."""
    gradients = torch.autograd.grad(total.sum(), leaves, allow_unused=True, materialize_grads=True)
    found = [(leaf.detach()[:, -1] * gradient[:, -1]) for leaf, gradient in zip(leaves, gradients, strict=True)]
    return [part.to("cpu", torch.promote_types(part.dtype, torch.float32)) for part in found]
