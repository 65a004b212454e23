"""Relevance propagation: while open, a backward pass follows the rules of RelP instead of the gradient (methods §4)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from diptych.errors import UnsupportedModel
from diptych.models.hooks import hooks
from diptych.models.sites import ATTENTION_OUT, Site
from diptych.models.vlm import VLM

ACTIVATIONS = ("act_fn", "act", "activation_fn", "activation")
EPSILONS = ("variance_epsilon", "eps", "epsilon")
ATTENTION_PARTS = (
    *("q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "q_norm", "k_norm"),
    *("q_layernorm", "k_layernorm", "rotary_emb", "attention_dropout"),
)
"""What an attention module may hold beside its output: nothing that gates it."""

Surrogate = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Module, input, output → a tensor of the output's shape whose gradient the output gets."""


@contextmanager
def relevance(vlm: VLM) -> Iterator[None]:
    """While open, backward passes propagate relevance coefficients; values of forward passes stay the same to the bit.

    The scale of a norm is a constant; act(x) is x times the constant act(x)/x; each factor of a gated product gets half
    of its gradient; linear layers and attention have their own gradient. (Jafari et al., RelP, arXiv 2508.21258.)
    Raises `UnsupportedModel` for a layer with a part for which there is no rule.
    """
    layers = [_read(vlm, site) for site in vlm.sites.neurons]
    rules: list[tuple[nn.Module, Surrogate]] = [
        *((activation, _activation) for activation, _ in layers),
        *((factor, _factor) for _, factors in layers for factor in factors),
    ]
    with fixed_norms(vlm), _with_gradients_of(rules):
        yield


@contextmanager
def fixed_norms(vlm: VLM) -> Iterator[None]:
    """While open, backward passes take the scale of every norm of the decoder for a constant; no value changes.

    Raises `UnsupportedModel` for a norm that is not x times a scale and a weight.
    """
    norms = [module for module in vlm.sites.decoder.modules() if _is_norm(module)]
    with _with_gradients_of([(norm, _norm) for norm in norms]):
        yield


def _with_gradients_of(rules: Sequence[tuple[nn.Module, Surrogate]]) -> AbstractContextManager[None]:
    return hooks(*(module.register_forward_hook(_with_gradient_of(surrogate)) for module, surrogate in rules))


def _with_gradient_of(surrogate: Surrogate) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def on_output(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        other = surrogate(module, args[0], output)
        return output.detach() + (other - other.detach())  # adds exact zeros

    return on_output


def _norm(module: nn.Module, live: Tensor, output: Tensor) -> Tensor:
    """x times a constant; a LayerNorm's mean is still subtracted, which is linear."""
    wide = live if live.dtype == torch.float64 else live.float()
    centred = wide - wide.mean(-1, keepdim=True) if isinstance(module, nn.LayerNorm) else wide
    epsilon = next(float(getattr(module, name)) for name in EPSILONS if hasattr(module, name))
    scale = (centred.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt().detach()
    found = centred * scale * _gain(module, live, epsilon)
    shift = getattr(module, "bias", None)
    _require_equal(module, found.detach() if shift is None else found.detach() + shift.detach(), output.detach())
    return found.to(output.dtype)


def _gain(module: nn.Module, live: Tensor, epsilon: float) -> Tensor:
    """What the normalised vector is multiplied by, however the module writes it (w, or 1 + w)."""
    if isinstance(module, nn.LayerNorm):
        return module.weight if module.weight is not None else live.new_ones(live.shape[-1])
    with torch.no_grad():
        ones: Tensor = module.forward(live.new_ones(live.shape[-1]))
    return ones * (1 + epsilon) ** 0.5


def _require_equal(module: nn.Module, found: Tensor, output: Tensor) -> None:
    error = float((found - output).abs().max() / output.abs().max().clamp_min(1e-9))
    if error > (1e-3 if output.dtype in (torch.float32, torch.float64) else 5e-2):
        raise UnsupportedModel(
            f"{type(module).__name__} is not x times a scale and a weight: it differs from that by {error:.1%}. "
            f"RelP has no rule for it, nor have direct contributions. Use ap or ap_ig."
        )


def _activation(module: nn.Module, live: Tensor, output: Tensor) -> Tensor:
    """x · (act(x)/x), the ratio constant; at 0 the ratio just beside it."""
    at = live.detach().where(live.detach() != 0, torch.finfo(live.dtype).eps)
    with torch.no_grad():
        ratio = module.forward(at) / at
    return live * ratio


def _factor(module: nn.Module, live: Tensor, output: Tensor) -> Tensor:
    return output / 2


def _read(vlm: VLM, site: Site) -> tuple[nn.Module, list[nn.Module]]:
    """The activation of a layer's MLP, and the projections that make the factors of its gated product, if it is gated."""
    layer, mixer = vlm.layers[site.layer], vlm.sites.mixers[site.layer]
    routed = site.layer in vlm.sites.routed or bool(site.beside)
    if site.module is None or routed or mixer.module is None or mixer.mixing != "attention":
        raise _no_rule(layer, "it is not one attention and one dense MLP")
    mlp = next((child for child in layer.children() if site.module in child.children()), layer)
    _require_known(layer, mlp, mixer.module)
    _require_plain_attention(layer, mixer.module, vlm.sites.heads[site.layer])
    activations = [child for name, child in mlp.named_children() if name in ACTIVATIONS]
    projections = [child for child in mlp.children() if _is_linear(child) and child is not site.module]
    width = sum(int(child.out_features) for child in projections)  # type: ignore[arg-type, misc]
    if len(activations) != 1 or width not in (site.there, 2 * site.there):
        raise _no_rule(layer, f"{type(mlp).__name__} is neither down(act(up)) nor down(act(gate) · up)")
    return activations[0], projections if width == 2 * site.there else []


def _require_known(layer: nn.Module, mlp: nn.Module, attention: nn.Module) -> None:
    inside = {id(child) for name, child in mlp.named_children() if name in ACTIVATIONS or _is_linear(child)}
    for owner in (layer, mlp):
        for name, child in owner.named_children():
            harmless = _is_norm(child) or isinstance(child, nn.Dropout | nn.Identity)
            if not (harmless or child in (mlp, attention) or id(child) in inside):
                raise _no_rule(layer, f"it holds '{name}'")


def _require_plain_attention(layer: nn.Module, attention: nn.Module, site: Site) -> None:
    for name, child in attention.named_children():
        if name not in (*ATTENTION_PARTS, *ATTENTION_OUT):
            raise _no_rule(layer, f"its attention holds '{name}'")
        if name == "q_proj" and int(child.out_features) != site.there * site.width:  # type: ignore[arg-type]
            raise _no_rule(layer, "its queries are wider than its heads, so they hold a gate")


def _is_linear(module: nn.Module) -> bool:
    return hasattr(module, "in_features")


def _is_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("Norm")


def _no_rule(layer: nn.Module, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"RelP has no rule for {type(layer).__name__}: {why}. Expected attention and a dense MLP with one activation. "
        f"Use ap or ap_ig."
    )
