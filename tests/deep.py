"""Deep organisms: a model with silent layers before its own, so that its own reading begins at a known depth."""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from diptych.models.vlm import VLM


@torch.no_grad()
def deepened(vlm: VLM, silent: int) -> VLM:
    """A copy of the model behind `silent` layers that write nothing: its layer l is layer `silent` + l of the copy."""
    model = deepcopy(vlm.model)
    copy = replace(vlm, model=model, name=f"{vlm.name} behind {silent} layers", digest=f"{vlm.digest}+{silent}")
    added = [deepcopy(copy.layers[0]) for _ in range(silent)]
    for layer in added:
        for name, parameter in layer.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
    whole = [*added, *copy.layers]
    copy.sites.decoder.layers = nn.ModuleList(whole)
    for index, layer in enumerate(whole):
        layer.self_attn.layer_idx = index
    text = model.config.get_text_config()
    text.num_hidden_layers = copy.sites.decoder.config.num_hidden_layers = len(whole)
    for config in {id(c): c for c in (text, copy.sites.decoder.config)}.values():
        config.layer_types = [config.layer_types[0]] * silent + list(config.layer_types)
    return replace(copy, model=model)
