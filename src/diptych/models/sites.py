"""Sites: the modules whose inputs are the nodes, found by asking the model, not its name (adapter rules R1–R5)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from diptych.errors import UnsupportedModel

ATTENTION = ("self_attn", "cross_attn", "attention", "attn", "mixer")
ATTENTION_OUT = ("o_proj", "out_proj", "wo", "dense", "c_proj", "output", "o")
QUERIES = ("q_proj", "q_b_proj", "qkv_proj", "qkv", "query_key_value", "query", "wq", "att_proj")
RECURRENT = ("linear_attn", "conv", "short_conv", "mamba", "mixer", "self_attn")
CONVOLUTIONS = ("conv", "conv1d")
MLP = ("mlp", "feed_forward", "ffn", "mixer")
MLP_OUT = ("down_proj", "w2", "fc2", "dense_4h_to_h", "wo", "c_proj")
INNER_NORMS = ("inner_attn_ln", "ffn_layernorm", "attn_sub_norm", "ffn_sub_norm")
EXPERTS = "experts"
LAYERS = ("layers", "h", "block", "blocks")
INNER_DECODERS = ("decoder", "model", "text_model", "language_model")

Mixing = Literal["attention", "cross attention", "recurrence", "convolution", "none"]


@dataclass(frozen=True, eq=False)
class Site:
    """The input of one layer's output projection (or of a norm before it): nodes of `width` numbers, per position.

    `count` nodes per layer are in a grid, the same number for all layers of a model; this layer has `there` of them.
    The others are never there: their values are zero, and no edit reaches them. A layer without such a projection has
    no module and no nodes.
    """

    kind: Literal["heads", "neurons"]
    layer: int
    count: int
    width: int
    module: nn.Module | None = field(repr=False)
    there: int

    def nodes(self, flat: Tensor) -> Tensor:
        """[batch, pos, there·width] → heads [batch, pos, count, d_head] or neurons [batch, pos, count]."""
        if self.there < self.count:
            flat = F.pad(flat, (0, (self.count - self.there) * self.width))
        return flat.unflatten(-1, (self.count, self.width)) if self.kind == "heads" else flat

    def flat(self, nodes: Tensor) -> Tensor:
        """The inverse of `nodes`."""
        flat = nodes.flatten(-2) if self.kind == "heads" else nodes
        return flat[..., : self.there * self.width]

    def nothing(self, like: Tensor) -> Tensor:
        """The values of a site whose layer has no such nodes, or was not called: zeros, prompts and positions as in `like`."""
        return like.new_zeros(*like.shape[:2], self.count, *([self.width] if self.kind == "heads" else []))


@dataclass(frozen=True, eq=False)
class Mixer:
    """The part of a layer that moves information between positions, and how it does."""

    layer: int
    mixing: Mixing
    module: nn.Module | None = field(repr=False)


@dataclass(frozen=True, eq=False)
class Sites:
    """The decoder, its layers, its unembedding, and per layer one site of each kind and what mixes positions."""

    decoder: nn.Module = field(repr=False)
    layers: nn.ModuleList = field(repr=False)
    unembedding: nn.Module = field(repr=False)
    heads: tuple[Site, ...]
    neurons: tuple[Site, ...]
    mixers: tuple[Mixer, ...]
    convolutions: tuple[Mixer, ...] = ()  # beside the mixers: a layer may have several

    def __iter__(self) -> Iterator[Site]:
        """The sites that exist: heads, then neurons."""
        return (site for site in (*self.heads, *self.neurons) if site.module is not None)

    @property
    def unread(self) -> tuple[Mixer, ...]:
        """What mixes positions and has no nodes: an ablation leaves it running, a knockout cannot cut it."""
        return tuple(mixer for mixer in self.mixers if mixer.mixing == "recurrence") + self.convolutions


def find_sites(model: nn.Module) -> Sites:
    """Find decoder, layers, projections and head sizes; raises `UnsupportedModel` naming the part that is missing."""
    decoder = _decoder(model)
    layers = _layers(decoder)
    _require_one_list(decoder, layers)
    mixers = tuple(_mixer(index, layer) for index, layer in enumerate(layers))
    heads = _aligned([_head_site(mixer) for mixer in mixers])
    if not any(site.there for site in heads):
        raise UnsupportedModel(
            f"Layer 0 ({type(layers[0]).__name__}) has no attention output projection that diptych knows, nor has any "
            f"other layer; it holds {_names(layers[0])}. Expected one of {', '.join(ATTENTION_OUT)} in one of "
            f"{', '.join(ATTENTION)}. Such a model cannot be read."
        )
    neurons = _aligned([_neuron_site(index, layer) for index, layer in enumerate(layers)])
    for mixer, site, layer in zip(mixers, neurons, layers, strict=True):
        if mixer.mixing == "none" and not site.there and not _routed(layer):
            raise UnsupportedModel(
                f"Layer {mixer.layer} ({type(layer).__name__}) has no attention or MLP output projection that diptych "
                f"knows; it holds {_names(layer)}. Such a model cannot be read."
            )
    convolutions = tuple(found for mixer in mixers for found in _convolutions(mixer, layers[mixer.layer]))
    return Sites(decoder, layers, _unembedding(model), heads, neurons, mixers, convolutions)


def _decoder(model: nn.Module) -> nn.Module:
    decoder: nn.Module = model.get_decoder()  # type: ignore[operator]
    while not any(isinstance(child, nn.ModuleList) and len(child) for child in decoder.children()):
        inner = next((getattr(decoder, name) for name in INNER_DECODERS if hasattr(decoder, name)), None)
        if inner is None:
            raise UnsupportedModel(
                f"{type(decoder).__name__} holds no list of layers. Expected a decoder-only language model whose decoder "
                f"has its layers in one list; such a model cannot be read."
            )
        decoder = inner
    return decoder


def _layers(decoder: nn.Module) -> nn.ModuleList:
    named = [getattr(decoder, name) for name in LAYERS if isinstance(getattr(decoder, name, None), nn.ModuleList)]
    lists = named or sorted((c for c in decoder.children() if isinstance(c, nn.ModuleList)), key=len, reverse=True)
    found: nn.ModuleList = lists[0]
    return found


def _require_one_list(decoder: nn.Module, layers: nn.ModuleList) -> None:
    """Refuse attention in a second list of layers: nothing there would be read."""
    for name, child in decoder.named_children():
        others = child.children() if isinstance(child, nn.ModuleList) and child is not layers else ()
        if any(_mixer(0, other).mixing != "none" for other in others):
            raise UnsupportedModel(
                f"{type(decoder).__name__} has attention in a second list of layers, '{name}', beside its own. "
                f"diptych reads one list, so the picture would pass unseen."
            )


def _unembedding(model: nn.Module) -> nn.Module:
    found = model.get_output_embeddings()  # type: ignore[operator]
    if found is None:
        found = next((module for name, module in model.named_modules() if name.split(".")[-1] == "lm_head"), None)
    if found is None:
        raise UnsupportedModel(
            f"{type(model).__name__} has no output embeddings. Expected a model that predicts tokens."
        )
    return found


def _mixer(index: int, layer: nn.Module) -> Mixer:
    """Attention has queries and no convolution over positions; anything else that writes to the stream is a recurrence."""
    for name in ATTENTION:
        attention = _child(layer, (name,))
        if attention is not None and _child(attention, QUERIES) and not _child(attention, CONVOLUTIONS):
            return Mixer(index, "cross attention" if name.startswith("cross") else "attention", attention)
    for name in RECURRENT:
        recurrence = _child(layer, (name,))
        if recurrence is not None and _child(recurrence, ATTENTION_OUT) is not None:
            return Mixer(index, "recurrence", recurrence)
    return Mixer(index, "none", None)


def _convolutions(mixer: Mixer, layer: nn.Module) -> list[Mixer]:
    """What else of a layer mixes positions: its children, beside the mixer, that own a convolution over positions."""
    beside = (child for child in layer.children() if child is not mixer.module)
    owners = (child for child in beside if any(isinstance(part, nn.Conv1d) for part in child.modules()))
    return [Mixer(mixer.layer, "convolution", owner) for owner in owners]


def _head_site(mixer: Mixer) -> Site:
    attention = mixer.module
    if attention is None or "attention" not in mixer.mixing:
        return Site("heads", mixer.layer, 0, 0, None, 0)
    projection = _child(attention, ATTENTION_OUT)
    if projection is None:
        raise UnsupportedModel(
            f"Layer {mixer.layer}: {type(attention).__name__} has no attention output projection that diptych knows "
            f"({', '.join(ATTENTION_OUT)}); it holds {_names(attention)}."
        )
    width = next(
        (w for w in (getattr(attention, n, None) for n in ("v_head_dim", "head_dim", "head_v_dim")) if w), None
    )
    inputs = int(projection.in_features)  # type: ignore[arg-type]
    if width is None or inputs % width:
        raise UnsupportedModel(
            f"Layer {mixer.layer}: attention output has {inputs} inputs and heads of width {width}; expected a multiple."
        )
    count = inputs // width
    return Site("heads", mixer.layer, count, width, _receiver(attention, projection), count)


def _neuron_site(index: int, layer: nn.Module) -> Site:
    """No neurons in a layer with routed experts: those are fused, and half an MLP would pass for a whole one."""
    mlp = _child(layer, MLP) or layer
    projection = _child(mlp, MLP_OUT)
    if projection is None or _routed(layer):
        return Site("neurons", index, 0, 1, None, 0)
    inputs = int(projection.in_features)  # type: ignore[arg-type]
    return Site("neurons", index, inputs, 1, _receiver(mlp, projection), inputs)


def _receiver(parent: nn.Module, projection: nn.Module) -> nn.Module:
    """The first module that takes the nodes: a norm over all of them, where there is one before the projection."""
    return _child(parent, INNER_NORMS) or projection


def _routed(layer: nn.Module) -> bool:
    return any(name.split(".")[-1] == EXPERTS for name, _ in layer.named_modules())


def _aligned(sites: Iterable[Site]) -> tuple[Site, ...]:
    """The sites with one count for all layers, and a width for those that have none."""
    found = tuple(sites)
    count, width = max(site.there for site in found), max(site.width for site in found)
    return tuple(replace(site, count=count, width=site.width or width) for site in found)


def _child(module: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    children = dict(module.named_children())
    return next((children[name] for name in names if name in children), None)


def _names(module: nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_children()) or "no modules"
