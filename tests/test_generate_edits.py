"""The law of edits at prefill (methods §12): what the cache carries on is what editing the whole text anew would give."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.activations import Activations
from diptych.batch import Batch
from diptych.grid import Circuit
from diptych.interventions import ablate_outside, patch_residuals
from diptych.layout import Layout
from diptych.models.encode import encode_item
from diptych.models.generate import generate_tokens
from diptych.models.handed import record_handed
from diptych.models.hooks import hooks
from diptych.models.prompts import PER_TOKEN
from diptych.models.vlm import VLM
from prompts import batch
from test_attribution import nodes_like
from test_interventions import counterfactual_values, random_circuit
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET
from zoo import tiny as random_model

STEPS = 3
Edited = Callable[[VLM, Batch, int], AbstractContextManager[Any]]
"""The model, two prompts with their counterfactuals, and how many tokens stand behind them → the prompts, edited."""


def residuals(vlm: VLM, some: Batch, added: int) -> AbstractContextManager[None]:
    """Layer 1 leaves the counterfactual picture's states where the picture is."""
    with torch.no_grad(), record_handed(vlm) as donor:
        vlm.run(vlm.capture(some.counterfactual))
    return patch_residuals(vlm, some.layout.data, {1: donor[1]})


def nodes(vlm: VLM, some: Batch, added: int) -> AbstractContextManager[None]:
    """Heads of layer 1 and neurons of layer 2 are zero in the whole prompt."""

    def clear(live: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(live[:, : some.layout.length]), live[:, some.layout.length :]], 1)

    return vlm.edit_inputs({vlm.sites.heads[1]: clear, vlm.sites.neurons[2]: clear})


def blindness(vlm: VLM, some: Batch, added: int) -> AbstractContextManager[None]:
    """What follows the picture does not see it in layers 0 to 2."""
    data = some.layout.data
    return vlm.knockout(slice(data.stop, some.layout.length), data, range(3))


def ablation(vlm: VLM, some: Batch, added: int) -> AbstractContextManager[None]:
    """Half of the nodes of the prompt have their counterfactual values; all nodes of the tokens behind it are live."""
    _, values = counterfactual_values(vlm, some)
    circuit = random_circuit(nodes_like(vlm, some), 0.5, seed=0)
    longer = Layout.of((some.layout.data.start, some.layout.data.stop), some.layout.length + added)
    grown = [F.pad(part, (0, 0, 0, added), value=True) for part in circuit]
    padded = [tuple(F.pad(part, (0,) * (2 * part.ndim - 3) + (added,)) for part in kind) for kind in kinds(values)]
    return ablate_outside(vlm, [Circuit(*grown, longer, circuit.model, circuit.there)], Activations(*padded))


def kinds(values: Activations) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return tuple(values.heads), tuple(values.neurons)


MECHANISMS: dict[str, Edited] = {edited.__name__: edited for edited in (residuals, nodes, blindness, ablation)}
MODELS = list(product(FAMILIES, KERNELS, MECHANISMS))
OTHERS = list(product(("aria", "glm4v", "internvl", "qwen3_vl"), ("residuals", "blindness")))
SEEDS = {"qwen2_vl": 0, "llava": 1, "gemma3": 0}
"""Of models that write neither an end nor an image token in their first steps, whatever is edited."""


def with_cache(vlm: VLM, some: Batch, edited: Edited | None) -> tuple[list[list[int]], list[Tensor]]:
    """The tokens that are generated, and the logits that they are the likeliest of, step by step."""
    seen: list[Tensor] = []

    def look(module: Any, args: Any, output: Tensor) -> None:
        seen.append(output[:, -1].detach())

    prompts = [encode_item(vlm, contrast.clean, "image") for contrast in some.contrasts]
    with hooks(vlm.sites.unembedding.register_forward_hook(look)):
        tokens = generate_tokens(
            vlm,
            prompts,
            max_new_tokens=STEPS,
            edits=lambda places: edited(vlm, some, 0) if edited else nullcontext(),
        )
    return tokens, seen[-STEPS:]


@torch.no_grad()
def without_cache(vlm: VLM, some: Batch, edited: Edited, tokens: list[list[int]]) -> list[Tensor]:
    """Logits behind the prompts and the first tokens, each time read anew under the edit."""
    found = []
    for count in range(STEPS):
        call = vlm.capture(longer(some.clean, torch.tensor(tokens)[:, :count]))
        with edited(vlm, some, count):
            found.append(vlm.run(call))
    return found


def longer(inputs: dict[str, Tensor], tokens: Tensor) -> dict[str, Tensor]:
    added = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return {
        name: torch.cat([value, added.get(name, torch.zeros_like(tokens))], 1) if name in PER_TOKEN else value
        for name, value in inputs.items()
    }


def require_law(vlm: VLM, edited: Edited) -> None:
    some = batch(vlm, "image", 2)

    tokens, cached = with_cache(vlm, some, edited)
    _, plain = with_cache(vlm, some, None)
    anew = without_cache(vlm, some, edited, tokens)

    assert [len(written) for written in tokens] == [STEPS, STEPS]
    for step in range(STEPS):
        assert (cached[step] - plain[step]).abs().max() > 1e-2
        torch.testing.assert_close(cached[step].to(anew[step]), anew[step], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("family", "kernel", "mechanism"), MODELS)
def test_an_edit_of_the_prompt_is_carried_on_by_the_cache(family: str, kernel: str, mechanism: str) -> None:
    require_law(tiny(family, kernel, seed=SEEDS[family]), MECHANISMS[mechanism])


@QUIET
@pytest.mark.parametrize(("name", "mechanism"), OTHERS)
def test_the_cache_carries_edits_on_in_other_architectures(name: str, mechanism: str) -> None:
    require_law(random_model(name), MECHANISMS[mechanism])
