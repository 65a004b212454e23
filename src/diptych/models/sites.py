"""Sites: the modules whose inputs are the nodes, found by asking the model, not its name (adapter rules R1–R5)."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from diptych.errors import UnsupportedModel

ATTENTION = ("self_attn", "attention", "attn", "mixer")
ATTENTION_OUT = ("o_proj", "out_proj", "wo", "dense", "c_proj", "output", "o")
MLP = ("mlp", "feed_forward", "ffn")
MLP_OUT = ("down_proj", "w2", "fc2", "dense_4h_to_h", "wo", "c_proj")
LAYERS = ("layers", "h", "block", "blocks")
INNER_DECODERS = ("decoder", "model", "text_model", "language_model")


@dataclass(frozen=True, eq=False)
class Site:
    """The input of one layer's output projection: `count` nodes of `width` numbers each, per position."""

    kind: Literal["heads", "neurons"]
    layer: int
    count: int
    width: int
    module: nn.Module = field(repr=False)

    def nodes(self, flat: Tensor) -> Tensor:
        """[batch, pos, count·width] → heads [batch, pos, head, d_head] or neurons [batch, pos, neuron]."""
        return flat.unflatten(-1, (self.count, self.width)) if self.kind == "heads" else flat

    def flat(self, nodes: Tensor) -> Tensor:
        """The inverse of `nodes`."""
        return nodes.flatten(-2) if self.kind == "heads" else nodes


@dataclass(frozen=True, eq=False)
class Sites:
    """The decoder, its layers, its unembedding, and one site of each kind per layer."""

    decoder: nn.Module = field(repr=False)
    layers: nn.ModuleList = field(repr=False)
    unembedding: nn.Module = field(repr=False)
    heads: tuple[Site, ...]
    neurons: tuple[Site, ...]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter((*self.heads, *self.neurons))


def find_sites(model: nn.Module) -> Sites:
    """Find decoder, layers, projections and head sizes; raises `UnsupportedModel` naming the part that is missing."""
    decoder = _decoder(model)
    layers = _layers(decoder)
    unembedding = model.get_output_embeddings()  # type: ignore[operator]
    if unembedding is None:
        raise UnsupportedModel(
            f"{type(model).__name__} has no output embeddings. Expected a model that predicts tokens."
        )
    heads = tuple(_head_site(index, layer) for index, layer in enumerate(layers))
    neurons = tuple(_neuron_site(index, layer) for index, layer in enumerate(layers))
    for sites in (heads, neurons):
        if len({(site.count, site.width) for site in sites}) > 1:
            raise UnsupportedModel(
                f"Layers of {type(model).__name__} differ in size: {sorted({(s.count, s.width) for s in sites})}. "
                f"diptych needs the same heads and neurons in every layer."
            )
    return Sites(decoder, layers, unembedding, heads, neurons)


def _decoder(model: nn.Module) -> nn.Module:
    decoder: nn.Module = model.get_decoder()  # type: ignore[operator]
    while not any(isinstance(child, nn.ModuleList) and len(child) for child in decoder.children()):
        inner = next((getattr(decoder, name) for name in INNER_DECODERS if hasattr(decoder, name)), None)
        if inner is None:
            raise UnsupportedModel(
                f"{type(decoder).__name__} holds no list of layers. Expected a decoder-only language model."
            )
        decoder = inner
    return decoder


def _layers(decoder: nn.Module) -> nn.ModuleList:
    named = [getattr(decoder, name) for name in LAYERS if isinstance(getattr(decoder, name, None), nn.ModuleList)]
    lists = named or sorted((c for c in decoder.children() if isinstance(c, nn.ModuleList)), key=len, reverse=True)
    found: nn.ModuleList = lists[0]
    return found


def _head_site(index: int, layer: nn.Module) -> Site:
    attention = _child(layer, ATTENTION)
    projection = _child(attention, ATTENTION_OUT) if attention is not None else None
    if attention is None or projection is None:
        raise UnsupportedModel(
            f"Layer {index} ({type(layer).__name__}) has no attention output projection that diptych knows."
        )
    width = next(
        (w for w in (getattr(attention, n, None) for n in ("v_head_dim", "head_dim", "head_v_dim")) if w), None
    )
    inputs = int(projection.in_features)  # type: ignore[arg-type]
    if width is None or inputs % width:
        raise UnsupportedModel(
            f"Layer {index}: attention output has {inputs} inputs and heads of width {width}; expected a multiple."
        )
    return Site("heads", index, inputs // width, width, projection)


def _neuron_site(index: int, layer: nn.Module) -> Site:
    mlp = _child(layer, MLP)
    projection = _child(mlp if mlp is not None else layer, MLP_OUT)
    if projection is None:
        raise UnsupportedModel(
            f"Layer {index} ({type(layer).__name__}) has no MLP output projection that diptych knows. "
            f"Routed experts have none: such models are refused."
        )
    return Site("neurons", index, int(projection.in_features), 1, projection)  # type: ignore[arg-type]


def _child(module: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    children = dict(module.named_children())
    return next((children[name] for name in names if name in children), None)
