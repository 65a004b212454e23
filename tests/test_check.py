"""The proof at load: it holds on three families, and each line fails on a model that is read wrongly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from diptych.errors import ModelCheckFailed
from diptych.models.calls import DecoderCall
from diptych.models.check import prove, require_proof
from diptych.models.hooks import replaced_forward
from diptych.models.stacking import prompts
from diptych.models.vlm import VLM
from tiny import FAMILIES, KERNELS, tiny
from zoo import QUIET
from zoo import tiny as random_model

pytestmark = QUIET


def failed_lines(vlm: VLM) -> set[str]:
    return {line.name for line in prove(vlm).lines if not line.passed}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_proof_holds_on_every_family(family: str, kernel: str, dtype: torch.dtype) -> None:
    proof = prove(tiny(family, kernel, dtype))

    assert [line.name for line in proof.lines if not line.passed] == []
    assert len(proof.lines) == 11
    assert proof.found["heads"] == "4 per layer, width 16" and proof.found["neurons"] == "64 per layer"


def test_the_proof_costs_fewer_than_ten_forwards() -> None:
    vlm = tiny("qwen2_vl")
    runs = 0

    def count(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        nonlocal runs
        runs += 1

    handles = [layer.self_attn.q_proj.register_forward_pre_hook(count) for layer in vlm.layers]
    prove(vlm)
    for handle in handles:
        handle.remove()

    assert 5 < runs / len(vlm.layers) < 10


def fresh(kind: type[VLM] = VLM, family: str = "qwen2_vl") -> VLM:
    """A handle of its own on a shared tiny model."""
    shared = tiny(family)
    return kind(shared.model, shared.processor, shared.name, digest=shared.digest)


def random(architecture: str) -> tuple[object, object, str]:
    """What a handle on a tiny random model is made of."""
    shared = random_model(architecture)
    return shared.model, shared.processor, shared.name


def with_a_site_that_never_fires() -> VLM:
    vlm = fresh()
    unused = replace(vlm.sites.heads[1], module=torch.nn.Linear(64, 64))
    vlm.sites = replace(vlm.sites, heads=(vlm.sites.heads[0], unused, *vlm.sites.heads[2:]))
    return vlm


def with_every_site_beside_the_stream() -> VLM:
    vlm = fresh()
    vlm.sites = replace(
        vlm.sites, heads=tuple(replace(site, module=torch.nn.Linear(64, 64)) for site in vlm.sites.heads)
    )
    return vlm


def with_half_heads() -> VLM:
    """Takes each head for two of half the width."""
    vlm = fresh()
    vlm.sites = replace(
        vlm.sites,
        heads=tuple(
            replace(site, count=2 * site.count, there=2 * site.there, stop=2 * site.stop, width=site.width // 2)
            for site in vlm.sites.heads
        ),
    )
    return vlm


class RunsTheWrongPositions(VLM):
    """Replays one-dimensional positions instead of the model's own."""

    def capture(self, inputs):  # type: ignore[no-untyped-def]
        call = super().capture(inputs)
        return call.with_leaves(lambda name, leaf: torch.zeros_like(leaf) if name.endswith("position_ids") else leaf)


class ForgetsAnEdit(VLM):
    """Edits all sites but those of one layer."""

    @contextmanager
    def edit_inputs(self, edits) -> Iterator[None]:  # type: ignore[no-untyped-def]
        with super().edit_inputs(
            {site: edit for site, edit in edits.items() if site.layer != 2 or site.kind != "heads"}
        ):
            yield


class SkipsALayer(VLM):
    """Resumes one layer too high."""

    @contextmanager
    def resume(self, start, residual) -> Iterator[None]:  # type: ignore[no-untyped-def]
        with super().resume(start + 1, residual):
            yield


class BlocksOneLayerTooFew(VLM):
    @contextmanager
    def knockout(self, rows, columns, layers) -> Iterator[None]:  # type: ignore[no-untyped-def]
        with super().knockout(rows, columns, list(layers)[:-1]):
            yield


class SwapsPictures(VLM):
    """Gives each prompt of a batch its neighbour's picture."""

    def capture(self, inputs):  # type: ignore[no-untyped-def]
        prompts = inputs["input_ids"].shape[0]
        pixels = inputs["pixel_values"].unflatten(0, (prompts, -1)).flip(0).flatten(0, 1)
        return super().capture({**inputs, "pixel_values": pixels})


class DropsThePicture(VLM):
    """Never shows the picture: text-only positions and embeddings."""

    def capture(self, inputs):  # type: ignore[no-untyped-def]
        return super().capture({name: inputs[name] for name in ("input_ids", "attention_mask")})


class ShowsOnePicture(VLM):
    """Shows the first picture that it saw for every prompt."""

    def capture(self, inputs):  # type: ignore[no-untyped-def]
        prompts = inputs["input_ids"].shape[0]
        self.first = getattr(self, "first", inputs["pixel_values"])
        return super().capture({**inputs, "pixel_values": torch.cat([self.first] * prompts)})


class PadsABatch(VLM):
    """Puts a padding token before each prompt of a batch, and does not say that it is one."""

    def capture(self, inputs):  # type: ignore[no-untyped-def]
        padded = dict(inputs)
        if inputs["input_ids"].shape[0] > 1:
            for name, with_ in (("input_ids", 0), ("attention_mask", 1), ("mm_token_type_ids", 0)):
                padded[name] = torch.nn.functional.pad(inputs[name], (1, 0), value=with_)
        return super().capture(padded)


class StacksABatchItself(VLM):
    """Gives all prompts of a batch to the vision tower at once, as if their tensors stacked along the first dimension."""

    def capture(self, inputs):  # type: ignore[no-untyped-def]
        super().capture(prompts(inputs)[0])  # learns the dimensions
        call = self._reach_decoder(inputs)
        return DecoderCall(call.input_ids, call.args, call.kwargs, self._capturing._dims[call.signature])


class LeavesALayerOut(VLM):
    """Resumes, but skips the first layer above too."""

    @contextmanager
    def resume(self, start, residual) -> Iterator[None]:  # type: ignore[no-untyped-def]
        skipped = self.layers[start]
        with super().resume(start, residual), replaced_forward(skipped, lambda hidden, **kwargs: hidden):
            yield


class CutsInsideTheDecoder(VLM):
    """Asks the decoder for its last position, by a number (adapter §7)."""

    def capture(self, inputs):  # type: ignore[no-untyped-def]
        call = super().capture(inputs)
        return replace(call, kwargs={**call.kwargs, "logits_to_keep": 1})


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (with_a_site_that_never_fires, "each site fires exactly once"),
        (lambda: CutsInsideTheDecoder(*random("gemma4")), "each site fires exactly once"),
        (with_half_heads, "a head is one block of numbers"),
        (lambda: fresh(ShowsOnePicture), "the picture changes the logits"),
        (lambda: fresh(DropsThePicture), "the picture changes the logits"),
        (lambda: fresh(PadsABatch), "a batch gives what single prompts give"),
        (lambda: StacksABatchItself(*random("hunyuan_vl")), "a batch gives what single prompts give"),
        (lambda: StacksABatchItself(*random("molmo2")), "a batch gives what single prompts give"),
        (lambda: fresh(LeavesALayerOut), "resuming at a layer is the full forward"),
        (lambda: fresh(RunsTheWrongPositions), "hooks and splice change nothing"),
        (with_every_site_beside_the_stream, "zeroing the heads changes the logits"),
        (lambda: fresh(ForgetsAnEdit), "the empty circuit is the counterfactual run"),
        (lambda: fresh(DropsThePicture), "image positions hold the image features"),
        (lambda: fresh(BlocksOneLayerTooFew), "knocking out the data hides the picture"),
        (lambda: fresh(SkipsALayer), "resuming at a layer is the full forward"),
        (lambda: fresh(SwapsPictures), "a batch gives what single prompts give"),
        (lambda: fresh(RunsTheWrongPositions), "the first step of generate is the forward"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_model_that_is_read_wrongly_fails_the_line_that_says_so(broken: Callable[[], VLM], line: str) -> None:
    vlm = broken()

    assert line in failed_lines(vlm)
    with pytest.raises(ModelCheckFailed, match="not read rightly"):
        require_proof(vlm)


def test_a_failed_proof_names_the_line_and_its_number() -> None:
    with pytest.raises(
        ModelCheckFailed, match=r"resuming at a layer is the full forward \(relative logit difference: [\d.e+-]+\)"
    ):
        require_proof(fresh(SkipsALayer))
