"""Parity of what is read from single runs and pairs of runs: logits, activations, attribution and exact patching."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from diptych.activations import Activations
from diptych.attribution._integrate import Integral
from diptych.attribution._rules import right_points
from diptych.attribution.exact import effects, set_effects
from diptych.grid import Circuit
from diptych.metrics import logit_diff, metric
from diptych.models.handed import record_handed
from diptych.paper_compat import PAPER_A

from .golden import PANELS, Golden
from .quantity import ATTRIBUTION, LOGITS, Quantity, compare

KINDS = {"heads": "z", "neurons": "mlp_post"}
VARIANTS = {
    "ap": ("logit_diff", 1),
    "ig3": ("logit_diff", 3),
    "ig5": ("logit_diff", 5),
    "ap_logit": ("logit", 1),
    "ig5_logit": ("logit", 5),
    "ap_ie": ("indirect_effect", 1),
}
"""Variant → metric and right-rule steps. Without `ig`, it is signed per element; with it, absolute per prompt."""

Pairs = list[tuple[Tensor, Tensor]]

READ: dict[str, Callable[[Golden, Activations, list[Tensor], int], Tensor]] = {
    "z": lambda golden, nodes, residuals, layer: nodes.heads[layer][0] - _value_bias(golden, layer),
    "mlp_post": lambda golden, nodes, residuals, layer: nodes.neurons[layer][0],
    "resid_post": lambda golden, nodes, residuals, layer: residuals[layer][0],
}
"""What is read of a run of one prompt; MLP outputs are not nodes."""


def quantities(golden: Golden) -> Iterator[Quantity]:
    """Everything about nodes that the set holds."""
    yield compare("logits", _logits(golden), LOGITS)
    activations = _activations(golden)
    for name in sorted(activations):
        yield compare(f"activations {name}", activations[name], LOGITS)
    for variant in VARIANTS:
        yield from _attribution(golden, variant)
    yield from _merged(golden)
    yield from _patching(golden)


def _logits(golden: Golden) -> Pairs:
    """The reference's logits have the mean of the vocabulary subtracted."""
    stored, found = golden.tensors("logits"), []
    for name, value in stored.items():
        panel, index, side, kind = name.split(".")
        if kind == "ref":
            with torch.no_grad():
                logits = golden.vlm.run(golden.vlm.capture(golden.prompt(panel, int(index), side)))[0]
            found.append((logits - logits.mean(), value))
    return found


def _activations(golden: Golden) -> dict[str, Pairs]:
    vlm, found, runs = golden.vlm, {}, {}
    for name, value in golden.tensors("activations").items():
        panel, index, side, layer, kind = name.split(".")
        if (panel, index, side) not in runs:
            with torch.no_grad(), vlm.record() as recording, record_handed(vlm) as residuals:
                vlm.run(vlm.capture(golden.prompt(panel, int(index), side)))
            runs[panel, index, side] = (recording.activations(), residuals)
        if kind in READ:
            value_of = READ[kind](golden, *runs[panel, index, side], int(layer[1:]))
            found.setdefault(kind, []).append((value_of, value))
    return found


def _value_bias(golden: Golden, layer: int) -> Tensor:
    """The reference folds the value bias, which heads then do not carry: one per key/value head, for its query heads."""
    site = golden.vlm.sites.heads[layer]
    bias: Any = golden.vlm.sites.mixers[layer].module.v_proj.bias  # type: ignore[union-attr]
    if bias is None:
        return torch.zeros(site.count, site.width)
    by_head = bias.detach().view(-1, site.width)
    return by_head.repeat_interleave(site.count // len(by_head), 0)


def _attribution(golden: Golden, variant: str) -> Iterator[Quantity]:
    """Per element of a head, so before any reduction: as stored per pair, and as their mean."""
    by_pair: Pairs = []
    by_mean: Pairs = []
    for panel in PANELS:
        stored = {k: v for k, v in golden.tensors(f"attribution_{panel}").items() if k.startswith(f"{variant}.")}
        products = _products(golden, panel, *VARIANTS[variant])
        for name, value in stored.items():
            _, which, layer, kind = name.split(".")
            elements = products[kind, int(layer[1:])]
            elements = elements.abs() if variant.startswith("ig") else elements
            if which == "mean":
                by_mean.append((elements.mean(0), value))
            else:
                by_pair.append((elements[int(which.removeprefix("pair"))], value))
    for name, pairs in (("mean", by_mean), ("per pair", by_pair)):
        if pairs:
            yield compare(f"{variant} {name}", pairs, ATTRIBUTION)


def _merged(golden: Golden) -> Iterator[Quantity]:
    """Not the reference: images interpolated, by a script of its own over plain Hugging Face modules."""
    if not golden.has("ext_not_reference.safetensors"):
        return
    products = {panel: _products(golden, panel, "logit_diff", 5, images=True) for panel in PANELS}
    pairs = []
    for name, value in golden.tensors("ext_not_reference").items():
        panel, _, which, layer, kind = name.split(".")
        pairs.append((products[panel][kind, int(layer[1:])][int(which.removeprefix("pair"))], value))
    yield compare("ig5, images interpolated (not the reference)", pairs, ATTRIBUTION)


def _products(
    golden: Golden, panel: str, name: str, steps: int, *, images: bool = False
) -> dict[tuple[str, int], Tensor]:
    """(kind, layer) → direction × mean gradient of each pair."""
    batch = golden.batch(panel)
    interpolate = images or PAPER_A.interpolate_images
    integral = Integral(golden.vlm, batch, metric(name), interpolate_images=interpolate)
    integral.add(right_points(steps), list(range(len(batch))))
    found: dict[tuple[str, int], Tensor] = {}
    integral.products(lambda site, products: found.update({(KINDS[site.kind], site.layer): products}))
    return found


def _patching(golden: Golden) -> Iterator[Quantity]:
    stored = golden.json("activation_patching")
    clean = {panel: _clean(golden, panel) for panel in PANELS}
    singles, sets = [], []
    for case in stored["single_node"]:
        nodes = [[case["layer_pos_index"]], []]
        circuit = golden.circuit(case["modality"], *(nodes if case["kind"] == "head" else nodes[::-1]))
        effect = effects(golden.vlm, golden.batch(case["modality"]), circuit)[0]
        singles.append((clean[case["modality"]] + effect, torch.tensor(case["patched_ld"])))
    for panel in PANELS:
        cases = [case for case in stored["component"] if case["modality"] == panel]
        found = set_effects(golden.vlm, golden.batch(panel), [_component(golden, case) for case in cases])
        sets += [
            (clean[panel] + effect, torch.tensor(case["patched_ld"])) for case, effect in zip(cases, found, strict=True)
        ]
    yield compare("logit difference, one node patched", singles, LOGITS)
    yield compare("logit difference, a head or MLP patched", sets, LOGITS)


def _component(golden: Golden, case: Any) -> Circuit:
    """A head, or all neurons of a layer (which is its MLP's output), at one position or all."""
    empty = golden.circuit(case["modality"], [], [])
    position = slice(None) if case["token_pos"] is None else case["token_pos"] % empty.layout.length
    if case["kind"] == "z":
        empty.heads[case["layer"], position, case["head"]] = True
    else:
        empty.neurons[case["layer"], position] = True
    return empty


@torch.no_grad()
def _clean(golden: Golden, panel: str) -> Tensor:
    batch = golden.batch(panel)
    return logit_diff(golden.vlm.run(golden.vlm.capture(batch.clean)), batch.answers, batch.counter_answers)
