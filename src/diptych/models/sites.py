"""Sites: the modules whose inputs are the nodes, found by asking the model, not its name (adapter rules R1–R5)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

from torch import nn

from diptych.errors import UnsupportedModel
from diptych.models.experts import ExpertNodes, find_experts, has_nodes
from diptych.models.site import Kind
from diptych.models.site import Mixer as Mixer
from diptych.models.site import Site as Site
from diptych.there import PerLayer

ATTENTION = ("self_attn", "cross_attn", "attention", "attn", "mixer")
ATTENTION_OUT = ("o_proj", "out_proj", "wo", "dense", "c_proj", "output", "o")
QUERIES = ("q_proj", "q_b_proj", "qkv_proj", "qkv", "query_key_value", "query", "wq", "att_proj")
RECURRENT = ("linear_attn", "conv", "short_conv", "mamba", "mixer", "self_attn")
CONVOLUTIONS = ("conv", "conv1d")
MLP = ("mlp", "feed_forward", "ffn", "mixer")
MLP_OUT = ("down_proj", "w2", "fc2", "dense_4h_to_h", "wo", "c_proj")
SHARED = ("shared_experts", "shared_expert")
INNER_NORMS = ("inner_attn_ln", "ffn_layernorm", "attn_sub_norm", "ffn_sub_norm")
WIDTHS = ("v_head_dim", "head_dim", "head_v_dim")
LAYERS = ("layers", "h", "block", "blocks")
INNER_DECODERS = ("decoder", "model", "text_model", "language_model")


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
    def there(self) -> tuple[PerLayer, PerLayer]:
        """How many heads and how many neurons each layer has."""
        return tuple(site.there for site in self.heads), tuple(site.there for site in self.neurons)

    @property
    def unread(self) -> tuple[Mixer, ...]:
        """What mixes positions and has no nodes: an ablation leaves it running, a knockout cannot cut it."""
        pairs = zip(self.mixers, self.heads, strict=True)
        recurrences = (mixer for mixer, site in pairs if mixer.mixing == "recurrence" and not site.there)
        return (*recurrences, *self.convolutions)

    @property
    def routed(self) -> tuple[int, ...]:
        """The layers whose neurons are those of routed experts: the choice of experts jumps along a path of inputs."""
        return tuple(site.layer for site in self.neurons if isinstance(site.module, ExpertNodes))


def find_sites(model: nn.Module) -> Sites:
    """Find decoder, layers, projections and head sizes; raises `UnsupportedModel` naming the part that is missing."""
    decoder = find_decoder(model)
    layers = find_layers(decoder)
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
        if mixer.mixing == "none" and not site.there and not find_experts(layer):
            raise UnsupportedModel(
                f"Layer {mixer.layer} ({type(layer).__name__}) has no attention or MLP output projection that diptych "
                f"knows; it holds {_names(layer)}. Such a model cannot be read."
            )
    convolutions = tuple(found for mixer in mixers for found in _convolutions(mixer, layers[mixer.layer]))
    return Sites(decoder, layers, _unembedding(model), heads, neurons, mixers, convolutions)


def find_decoder(model: nn.Module) -> nn.Module:
    """The module whose direct child is the list of layers; raises `UnsupportedModel` if there is none."""
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


def find_layers(decoder: nn.Module) -> nn.ModuleList:
    """The decoder's list of layers: the named one, else its longest."""
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
    """The heads of attention, or of a recurrence that states how wide its heads are; a convolution has none."""
    attention = mixer.module
    width = next((w for w in (getattr(attention, name, None) for name in WIDTHS) if w), None)
    if attention is None or (mixer.mixing == "recurrence" and width is None):
        return _site("heads", mixer.layer, 0, 0, None)
    projection = _child(attention, ATTENTION_OUT)
    if projection is None:
        raise UnsupportedModel(
            f"Layer {mixer.layer}: {type(attention).__name__} has no attention output projection that diptych knows "
            f"({', '.join(ATTENTION_OUT)}); it holds {_names(attention)}."
        )
    inputs = _inputs(projection)
    if width is None or inputs % width:
        raise UnsupportedModel(
            f"Layer {mixer.layer}: attention output has {inputs} inputs and heads of width {width}; expected a multiple."
        )
    receiver = _receiver(attention, projection)
    if mixer.mixing == "recurrence":
        receiver = _scan_norm(attention, inputs) or receiver
    return _site("heads", mixer.layer, inputs // width, width, receiver)


def _neuron_site(index: int, layer: nn.Module) -> Site:
    """The neurons of the MLP, or of routed experts and what is beside them; all of them, or none.

    None where the experts cannot be read, and where several groups of experts share out the positions: half an MLP
    would pass for a whole one.
    """
    routed = find_experts(layer)
    if not routed:
        return _joined(index, _receivers([_child(layer, MLP) or layer]))
    path, experts = routed[0]
    if len(routed) > 1 or not has_nodes(experts):
        return _joined(index, [])
    around = layer.get_submodule(path.rpartition(".")[0])
    dense = _receivers([child for name, child in around.named_children() if name in (*MLP, *SHARED)])
    return _joined(index, [ExpertNodes(experts), *dense])


def _receivers(mlps: list[nn.Module]) -> list[nn.Module]:
    """What takes the neurons of each MLP."""
    found = [(mlp, _child(mlp, MLP_OUT)) for mlp in mlps]
    return [_receiver(mlp, projection) for mlp, projection in found if projection is not None]


def _joined(index: int, modules: list[nn.Module]) -> Site:
    """One site of all the neurons that the modules take, in their order."""
    stops = list(accumulate(map(_inputs, modules), initial=0))
    parts = [
        Site("neurons", index, 0, 1, module, stops[-1], start, stop)
        for module, (start, stop) in zip(modules, pairwise(stops), strict=True)
    ]
    return replace(parts[0], beside=tuple(parts[1:])) if parts else _site("neurons", index, 0, 1, None)


def _site(kind: Kind, layer: int, there: int, width: int, module: nn.Module | None) -> Site:
    return Site(kind, layer, 0, width, module, there, 0, there)


def _inputs(module: nn.Module) -> int:
    """How many numbers per position a projection takes, or a norm over all of them."""
    inputs: Any = getattr(module, "in_features", None)
    weight: Any = getattr(module, "weight", None)
    return int(inputs if inputs is not None else len(weight))


def _receiver(parent: nn.Module, projection: nn.Module) -> nn.Module:
    """The first module that takes the nodes: a norm over all of them, where there is one before the projection."""
    return _child(parent, INNER_NORMS) or projection


def _scan_norm(recurrence: nn.Module, inputs: int) -> nn.Module | None:
    """Mamba's norm over groups of heads; a norm of each head by itself leaves them apart."""
    norm = _child(recurrence, ("norm",))
    return norm if norm is not None and _inputs(norm) == inputs else None


def _aligned(sites: Iterable[Site]) -> tuple[Site, ...]:
    """The sites with one count for all layers, and a width for those that have none."""
    found = tuple(sites)
    count, width = max(site.there for site in found), max(site.width for site in found)
    return tuple(
        replace(
            site, count=count, width=site.width or width, beside=tuple(replace(b, count=count) for b in site.beside)
        )
        for site in found
    )


def _child(module: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    children = dict(module.named_children())
    return next((children[name] for name in names if name in children), None)


def _names(module: nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_children()) or "no modules"
